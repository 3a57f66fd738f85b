"""A SoftHSM token for the vault's keys, where SoftHSM is installed.

Both regions use the one token: it stands for their two CloudHSM clusters, which hold the same keys.
"""

import os
import secrets
import shutil
import subprocess
from pathlib import Path
from urllib.parse import quote

TOKEN = "payments"
KEY_LABEL = "payments-vault"

_ROOT = Path("/")
_USUAL_PLACES = (
    "usr/lib/softhsm",
    "usr/lib/*/softhsm",
    "usr/lib64/softhsm",
    "usr/lib64/pkcs11",
    "opt/homebrew/lib/softhsm",
    "usr/local/lib/softhsm",
)
_LIBRARY = "libsofthsm2.so"
_TOOL = "softhsm2-util"


class SoftHsmFailed(Exception):
    """The token could not be made; the message has what SoftHSM said."""


def find_library(named: str = "", root: Path = _ROOT) -> Path | None:
    """SoftHSM's library, `named` or in a usual place; None without it or its tool, or where `named` is `none`."""
    if not shutil.which(_TOOL) or named == "none":
        return None
    places = [Path(named)] if named else [path / _LIBRARY for place in _USUAL_PLACES for path in root.glob(place)]
    return next((path for path in places if path.is_file()), None)


def prepare(library: Path, directory: Path) -> None:
    """Make an empty token with a random PIN in the directory, unless there is one. Raises `SoftHsmFailed`."""
    if _pin(directory).exists():
        return
    tokens = directory / "tokens"
    shutil.rmtree(tokens, ignore_errors=True)  # from a start that was interrupted: nobody has its PIN
    tokens.mkdir(mode=0o700, parents=True, exist_ok=True)
    _configuration(directory).write_text(
        f"directories.tokendir = {tokens}\nobjectstore.backend = file\nslots.removable = false\nlog.level = ERROR\n"
    )
    pin = secrets.token_hex(16)
    options = ["--init-token", "--free", "--label", TOKEN, "--pin", pin, "--so-pin", secrets.token_hex(16)]
    made = subprocess.run(
        [_TOOL, "--module", str(library), *options],
        env={**os.environ, **environment(directory)},
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise SoftHsmFailed(f"{_TOOL} --init-token: {made.stdout}{made.stderr}".replace(pin, "…").strip())
    _pin(directory).touch(mode=0o600)
    _pin(directory).write_text(pin)


def environment(directory: Path) -> dict[str, str]:
    """What a process needs in its environment, before it loads the library, to see the token."""
    return {"SOFTHSM2_CONF": str(_configuration(directory))}


def uri(library: Path, directory: Path, key_label: str = KEY_LABEL) -> str:
    """The token's key as the vault's `KEY_STORE` setting."""
    return (
        f"pkcs11:token={TOKEN};object={quote(key_label, safe='')}"
        f"?module-path={quote(str(library))}&pin-source=file:{quote(str(_pin(directory)))}"
    )


def _configuration(directory: Path) -> Path:
    return directory / "softhsm2.conf"


def _pin(directory: Path) -> Path:
    return directory / "pin"
