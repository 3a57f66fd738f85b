"""The settings of reconciliation's functions."""

import msgspec


class Settings(msgspec.Struct, frozen=True, rename="upper"):
    """See docs/reconciliation.md, "Functions"."""

    reconciliation_bucket: str
    settlements_table: str = "settlements"
    balances_table: str = "balances"
    reconciliation_parts: int = 128
    """Fixed for the life of the store."""
    lease_minutes: int = 30
    """After so long without a sign of life, a run's execution is taken for dead. Longer than a function may run."""
    drift_seconds: int = 60
    """How long the report waits for the projector to count what the run has booked."""
    duckdb_memory: str = "3GB"
    """DuckDB's limit; what does not fit goes to the function's temporary disk."""
    duckdb_threads: int = 2


class LedgerSettings(msgspec.Struct, frozen=True, rename="upper"):
    """What a part asks of the ledger."""

    book_function: str
    command_function: str
