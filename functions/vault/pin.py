"""The PIN of a token, read from where `pin-source` says each time a login needs it, and kept nowhere.

No error here carries anything of what was read: not in its text, and not in what it was raised from.
"""

import json
import re
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from functions.vault.errors import InvalidRequest, KeyStoreForbidden, KeyStoreUnavailable, KeyStoreUnusable

_SECRET_ARN = re.compile(r"arn:aws[a-z-]*:secretsmanager:([a-z0-9-]+):[0-9]{12}:secret:\S+")
_REFUSALS = {"AccessDeniedException", "ResourceNotFoundException", "DecryptionFailure", "InvalidRequestException"}


def pin_reader(source: str, environment: str) -> Callable[[], str]:
    """What reads the PIN: from `file:<absolute path>` where `environment` is `local`, or from a Secrets Manager secret.

    Raises InvalidRequest for another source, KeyStoreForbidden for a file outside `local`. The reader raises
    KeyStoreUnusable if there is no PIN to be had there, KeyStoreUnavailable if Secrets Manager does not answer.
    """
    if source.startswith("file:/"):
        if environment != "local":
            raise KeyStoreForbidden("a PIN may be in a file only where ENVIRONMENT is local")
        return partial(_from_file, Path(source.removeprefix("file:")))
    arn = _SECRET_ARN.fullmatch(source)
    if not arn:
        raise InvalidRequest("KEY_STORE: pin-source must be the ARN of a secret, or file:<absolute path> locally")
    return partial(_from_secret, source, arn[1])


def _from_file(path: Path) -> str:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        pin = path.read_text("ascii").strip()
    except OSError as error:
        raise KeyStoreUnusable(f"the PIN at {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        pin = ""
    if mode & 0o077:
        raise KeyStoreUnusable(f"the PIN at {path} is readable by others: its mode must be 0600")
    return _required(pin, str(path))


def _from_secret(arn: str, region: str) -> str:
    failure = ""
    try:
        answer = _secrets_client(region).get_secret_value(SecretId=arn)
    except ClientError as error:
        failure = str(error.response["Error"]["Code"])
    except BotoCoreError as error:
        failure = type(error).__name__
    if failure in _REFUSALS:
        raise KeyStoreUnusable(f"the secret with the PIN cannot be read: {failure}")
    if failure:
        raise KeyStoreUnavailable(f"the secret with the PIN cannot be read: {failure}")
    return _required(_pin_of(answer.get("SecretString", "")), arn)


def _secrets_client(region: str) -> Any:
    config = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 3})
    return botocore.session.get_session().create_client("secretsmanager", region_name=region, config=config)


def _pin_of(secret: str) -> str:
    """CloudHSM's PIN is `<user>:<password>`, kept as JSON with `username` and `password`; other text is the PIN."""
    try:
        fields = json.loads(secret)
    except ValueError:
        return secret
    if not isinstance(fields, dict):
        return secret
    user, password = fields.get("username"), fields.get("password")
    return f"{user}:{password}" if isinstance(user, str) and isinstance(password, str) and user and password else ""


def _required(pin: str, where: str) -> str:
    if not pin:
        raise KeyStoreUnusable(f"there is no PIN in {where}")
    return pin
