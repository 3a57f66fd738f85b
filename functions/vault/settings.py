"""The vault's environment, read once."""

import os
from dataclasses import dataclass
from functools import cache

from functions.vault.errors import InvalidRequest


@dataclass(frozen=True)
class Settings:
    """`environment` is `local` or `production`; `key_store` is `<scheme>:<address>`, see `keys.open_key_store`."""

    environment: str
    table: str
    key_store: str


@cache
def settings() -> Settings:
    """The settings of this container. Raises InvalidRequest naming the variable that is missing."""
    return Settings(_variable("ENVIRONMENT"), _variable("VAULT_TABLE"), _variable("KEY_STORE"))


def _variable(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise InvalidRequest(f"environment variable {name} is not set")
    return value
