"""The local cloud's HSM: one SoftHSM token where SoftHSM is installed, files where it is not."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from local import emulators, softhsm
from local.processes import Run
from local.settings import InvalidSetting, Settings, read
from tests import key_stores


@pytest.fixture
def library(tmp_path: Path) -> Path:
    key_stores.softhsm_setting(tmp_path)  # skips or fails without SoftHSM
    found = softhsm.find_library(os.environ.get("SOFTHSM2_MODULE", ""))
    assert found
    return found


def slots(directory: Path) -> str:
    shown = subprocess.run(
        ["softhsm2-util", "--show-slots"],
        env={**os.environ, **softhsm.environment(directory)},
        capture_output=True,
        text=True,
        check=True,
    )
    return shown.stdout


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_token_is_made_once_and_its_pin_is_its_owners(library, tmp_path):
    before = os.umask(0)
    try:
        softhsm.prepare(library, tmp_path / "hsm")
    finally:
        os.umask(before)
    pin = (tmp_path / "hsm" / "pin").read_text()

    softhsm.prepare(library, tmp_path / "hsm")

    assert (tmp_path / "hsm" / "pin").read_text() == pin
    assert len(pin) == 32
    assert mode(tmp_path / "hsm" / "pin") == 0o600
    assert mode(tmp_path / "hsm" / "tokens") == 0o700
    assert slots(tmp_path / "hsm").count(f"Label:            {softhsm.TOKEN}") == 1


def test_a_token_whose_making_was_interrupted_is_replaced(library, tmp_path):
    softhsm.prepare(library, tmp_path)
    (tmp_path / "pin").unlink()

    softhsm.prepare(library, tmp_path)

    assert slots(tmp_path).count(f"Label:            {softhsm.TOKEN}") == 1


def test_a_token_that_cannot_be_made_is_told(library, tmp_path, monkeypatch):
    monkeypatch.setattr(softhsm, "_TOOL", "false")

    with pytest.raises(softhsm.SoftHsmFailed):
        softhsm.prepare(library, tmp_path)
    assert not (tmp_path / "pin").exists()


@pytest.mark.parametrize(
    "place", ["usr/lib/softhsm", "usr/lib/aarch64-linux-gnu/softhsm", "usr/lib64/pkcs11", "opt/homebrew/lib/softhsm"]
)
def test_the_library_is_found_in_the_usual_places(tmp_path, monkeypatch, place):
    monkeypatch.setattr(softhsm.shutil, "which", lambda tool: f"/bin/{tool}")
    assert softhsm.find_library(root=tmp_path) is None

    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / "libsofthsm2.so").touch()

    assert softhsm.find_library(root=tmp_path) == tmp_path / place / "libsofthsm2.so"


def test_without_the_tool_there_is_no_softhsm(tmp_path, monkeypatch):
    library = tmp_path / "libsofthsm2.so"
    library.touch()
    monkeypatch.setattr(softhsm.shutil, "which", lambda tool: None)

    assert softhsm.find_library(str(library)) is None


def test_a_named_library_must_be_there():
    with pytest.raises(InvalidSetting, match="SOFTHSM2_MODULE"):
        read({"SOFTHSM2_MODULE": "/nowhere/libsofthsm2.so"})


def test_the_key_store_is_files_without_softhsm(tmp_path):
    at = read({"SOFTHSM2_MODULE": "none", "PAYMENTS_HOME": str(tmp_path)})

    assert at.softhsm_library is None
    assert at.key_store == f"file:{tmp_path}/keys/vault"


def test_the_key_store_is_the_token_with_softhsm(tmp_path):
    at = Settings(tmp_path / "a b", softhsm_library=Path("/lib/soft hsm.so"))
    home = f"{tmp_path}/a%20b/keys/softhsm"

    assert at.key_store == (
        f"pkcs11:token=payments;object=payments-vault?module-path=/lib/soft%20hsm.so&pin-source=file:{home}/pin"
    )


@pytest.mark.parametrize("installed", [True, False])
def test_emulators_hand_the_token_on_to_their_workers(tmp_path, monkeypatch, installed):
    monkeypatch.setenv("SOFTHSM2_CONF", "/elsewhere")
    started = []
    monkeypatch.setattr(Run, "start", lambda run, name, command, environment, *rest: started.append(environment))
    at = Settings(tmp_path, softhsm_library=Path("/lib/softhsm.so") if installed else None)

    emulators.start(at, Run(tmp_path / "pids.json"))

    expected = str(tmp_path / "keys" / "softhsm" / "softhsm2.conf") if installed else None
    assert [environment.get("SOFTHSM2_CONF") for environment in started] == [expected, expected]


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_a_test_that_needs_softhsm_fails_without_it_in_ci_only(tmp_path, monkeypatch, ci, outcome):
    monkeypatch.setenv("SOFTHSM2_MODULE", "none")
    monkeypatch.setenv("CI", ci)

    with pytest.raises(outcome, match="SoftHSM is not installed"):
        key_stores.softhsm_setting(tmp_path)
