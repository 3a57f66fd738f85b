"""Settings of the operators' API."""

from typing import Any

import msgspec

from payments import regions
from payments.settings import load


class OperationsSettings(msgspec.Struct, frozen=True, rename="upper"):
    """See docs/interfaces.md, "Settings"."""

    reconciliation_bucket: str
    """In the region that reconciles, as the table."""
    book_function: str
    command_function: str
    fraud_models_bucket: str
    """In this region."""
    shipped_model: str
    """Version of the model in the fraud function's bundle."""
    settlements_table: str = "settlements"
    fraud_rules_table: str = "fraud-rules"
    profile_digest_key: str = ""
    reconciliation_parts: int = 128
    reconciliation_region: str = ""
    """By default this one."""
    environment: str = "production"


def client(service: str) -> Any:
    """The client of a service in the region that reconciles."""
    return regions.client_in(settings().reconciliation_region or regions.here(), service)


def settings() -> OperationsSettings:
    """The function's settings, read once."""
    return load(OperationsSettings)
