"""Typed settings from the environment, read once. Nothing else in the platform reads the environment."""

import os
from functools import cache
from typing import TypeVar, cast

import msgspec

Settings = TypeVar("Settings", bound=msgspec.Struct)


class InvalidSettings(RuntimeError):
    """A setting is missing or not of its type; the message names it."""


class CommonSettings(msgspec.Struct, frozen=True, rename="upper"):
    """What every function may ask: where it runs."""

    aws_region: str = "us-east-1"


class TableSettings(msgspec.Struct, frozen=True, rename="upper"):
    """Physical names of the tables, as docs/interfaces.md lists them; a function sees only those it may use."""

    payments_table: str = "payments"
    ledger_table: str = "ledger"
    merchants_table: str = "merchants"
    shards_table: str = "shards"
    balances_table: str = "balances"
    accounts_table: str = "accounts"


def load(kind: type[Settings]) -> Settings:
    """The settings of this kind; a field is the environment variable of its name in capitals.

    Raises `InvalidSettings` when a required variable is missing or one has the wrong form.
    """
    return cast(Settings, _read(kind))


@cache
def _read(kind: type[msgspec.Struct]) -> msgspec.Struct:
    try:
        return msgspec.convert(dict(os.environ), kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidSettings(f"{kind.__name__}: {error}") from None
