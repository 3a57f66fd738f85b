"""Settings of the operators' API."""

import msgspec

from payments.settings import load


class OperationsSettings(msgspec.Struct, frozen=True, rename="upper"):
    """See docs/interfaces.md, "Settings"."""

    reconciliation_bucket: str
    book_function: str
    settlements_table: str = "settlements"
    reconciliation_parts: int = 128
    environment: str = "production"


def settings() -> OperationsSettings:
    """The function's settings, read once."""
    return load(OperationsSettings)
