"""The key-encryption key is rotated, as an operator does it."""

from functions.vault import app
from functions.vault.ring import MINIMUM_LEAD

LEAD = 60


def check_value(vault, version):
    return app.key_check({}, None)["versions"][str(version)]


def rotate_kek(vault, clock):
    vault.keys("create_kek")
    version = vault.keys("show")["kek"]["version"] + 1
    shown = vault.keys("activate_kek", version=version, check_value=check_value(vault, version), lead_s=LEAD)
    vault.replicate()
    clock(LEAD + MINIMUM_LEAD)
    return shown
