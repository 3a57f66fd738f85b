"""What can go wrong in the vault. No message here ever carries card data: they are fixed texts and key labels."""


class VaultError(Exception):
    """A fault of the vault or of its caller; business outcomes are return values instead."""


class InvalidRequest(VaultError):
    """The event does not have the form docs/interfaces.md gives it: a defect of the caller."""


class NotProvisioned(VaultError):
    """A key is not there yet: run payments-vault-keys, or wait for the table to replicate."""


class KeyStoreForbidden(VaultError):
    """This key store must not be used in this environment."""


class KeyStoreUnusable(VaultError):
    """The key store is misconfigured, unreadable or too widely readable, or refuses the login: a repeat is no use."""


class KeyStoreUnavailable(VaultError):
    """The key store does not answer, even over a new connection: try again later."""


class UnwrapRefused(VaultError):
    """A wrapped key was altered, or wrapped by another key or for another purpose."""


class CiphertextRefused(VaultError):
    """A stored card was altered, truncated, or belongs to another token."""


class CardKeyMissing(VaultError):
    """A stored card cannot be opened: its card key was destroyed, or has not been replicated yet."""


class Contended(VaultError):
    """Others changed the same card again and again meanwhile; try again."""


class UnexpectedFault(VaultError):
    """Anything else, reduced to the name of its type: other people's messages may quote what they were given."""
