"""What each of the vault's functions may do, per table: the one place where it is written down.

The functions' roles get exactly this, and the network's endpoint to DynamoDB lets no more than the union of it pass.
"""

from dataclasses import dataclass

from cdk import names


@dataclass(frozen=True)
class Rights:
    """Actions on the vault's tables (without ``dynamodb:``), and whether the function opens the key store."""

    tokens: tuple[str, ...] = ()
    card_keys: tuple[str, ...] = ()
    opens_key_store: bool = True

    def on(self, table: str) -> tuple[str, ...]:
        """The IAM actions on one of the tables."""
        actions = {names.VAULT_TOKENS: self.tokens, names.VAULT_CARD_KEYS: self.card_keys}[table]
        return tuple(f"dynamodb:{action}" for action in actions)


VAULT_RIGHTS = {
    "tokenize": Rights(
        tokens=("GetItem", "PutItem", "Query", "UpdateItem"), card_keys=("DeleteItem", "GetItem", "PutItem")
    ),
    "store": Rights(tokens=("GetItem", "PutItem", "Query", "UpdateItem"), card_keys=("DeleteItem", "PutItem")),
    "detokenize": Rights(tokens=("GetItem", "Query", "UpdateItem"), card_keys=("DeleteItem", "GetItem", "PutItem")),
    "release": Rights(tokens=("UpdateItem",), opens_key_store=False),
    "shred": Rights(tokens=("GetItem", "Query", "UpdateItem"), card_keys=("DeleteItem",), opens_key_store=False),
    "shredder": Rights(tokens=("GetItem", "UpdateItem"), card_keys=("DeleteItem",), opens_key_store=False),
    "public-key": Rights(tokens=("Query",)),
    "walk": Rights(
        tokens=("GetItem", "PutItem", "Query", "Scan", "UpdateItem"), card_keys=("DeleteItem", "GetItem", "Scan")
    ),
    "keys": Rights(tokens=("DeleteItem", "PutItem", "Query", "UpdateItem")),
    "key-check": Rights(tokens=("Query",)),
}
"""Function, without ``payments-vault-``, to its rights."""


def union(table: str) -> list[str]:
    """Everything that some function may do to a table."""
    return sorted({action for rights in VAULT_RIGHTS.values() for action in rights.on(table)})
