"""The vault's environment, read once."""

import os
from dataclasses import dataclass
from functools import cache

from functions.vault.errors import InvalidRequest


@dataclass(frozen=True)
class Settings:
    """`environment` is `local` or `production`; `key_store` is what `keys.open_key_store` takes; `region` is ours."""

    environment: str
    region: str
    table: str
    card_keys_table: str
    key_store: str


@cache
def settings() -> Settings:
    """The settings of this container. Raises InvalidRequest naming the variable that is missing."""
    names = ("ENVIRONMENT", "AWS_REGION", "VAULT_TABLE", "CARD_KEYS_TABLE", "KEY_STORE")
    return Settings(*map(_variable, names))


def _variable(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise InvalidRequest(f"environment variable {name} is not set")
    return value
