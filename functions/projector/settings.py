"""The settings of the projector and of the notary: one folder, two functions, each with rights of its own."""

import msgspec

HEAD = "head"
ROUND = "round"
"""The kinds of items in the table `proofs`, its partition keys (docs/interfaces.md)."""


class ProjectorSettings(msgspec.Struct, frozen=True, rename="upper"):
    """What the projector writes to."""

    reconciliation_bucket: str
    balances_table: str = "balances"
    accounts_table: str = "accounts"
    proofs_table: str = "proofs"


class NotarySettings(msgspec.Struct, frozen=True, rename="upper"):
    """What the notary takes from, and where it puts it."""

    archive_bucket: str
    proofs_table: str = "proofs"
