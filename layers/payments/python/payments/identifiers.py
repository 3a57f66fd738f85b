"""Derived identifiers: the same input gives the same id in every region, which is what lets two regions converge.

Ids are `<prefix>_<shard, 2 hex digits><24 base32 characters>`: 120 bits of SHA-256, lower case, so that an id routes
to its shard without a lookup. Inputs are joined by a zero byte, which occurs in none of them.
"""

import secrets
from base64 import b32encode
from hashlib import sha256

SHARDS = 128
"""Number of merchant shards; fixed for the life of the data, because ids carry the shard."""

ID_LENGTH = 4 + 2 + 24
_DIGEST_BYTES = 15


def merchant_shard(merchant_id: str) -> int:
    """The shard, 0 to 127, that all records of the merchant live in."""
    return int.from_bytes(sha256(merchant_id.encode()).digest()[:4], "big") % SHARDS


def payment_id(merchant_id: str, idempotency_key: str) -> str:
    """`pay_…`, derived from the merchant and the idempotency key: one key, at most one payment."""
    return _derived("pay", merchant_shard(merchant_id), merchant_id, idempotency_key)


def network_reference(payment: str) -> str:
    """`net_…`, the reference a card network is called with; it is idempotent on it."""
    return _derived("net", shard_of(payment), "network_reference", payment)


def event_id(payment: str, event_type: str, operation: str = "") -> str:
    """`evt_…`, stable over every delivery of the same event of a payment, or of one of its operations."""
    parts = (payment, event_type, operation) if operation else (payment, event_type)
    return _derived("evt", shard_of(payment), "event", *parts)


def command_id(merchant_id: str, idempotency_key: str, origin: str = "platform") -> str:
    """`cmd_…`, of a command on a payment: a merchant's key names one command, whatever the payment.

    `origin` is `merchant`, `operator` or `platform`: each has keys of its own.
    """
    return _derived("cmd", merchant_shard(merchant_id), "command", origin, merchant_id, idempotency_key)


def operation_id(prefix: str, command: str) -> str:
    """`cap_…`, `vod_…`, `ref_…` or `dsp_…`: the operation that a command (`cmd_…`) made; the card network knows it by
    this id."""
    return f"{prefix}_{command[4:]}"


def transfer_id(prefix: str, merchant_id: str, reference: str) -> str:
    """`out_…` (payout), `fee_…` or `adj_…`: a booking on a merchant's account that belongs to no payment."""
    return _derived(prefix, merchant_shard(merchant_id), "transfer", merchant_id, reference)


def settlement_id(shard: int, reference: str) -> str:
    """`set_…`: what a card network settled of a shard's payments, named by the run of reconciliation that found it."""
    return _derived("set", shard, "settlement", reference)


def move_id(origin: str, *decision: str) -> str:
    """`mov_…`, of a move of shards: one idempotency key of an operator, or one decision of the watchman, is one move.
    It carries no shard."""
    return "mov_" + _base32(sha256("\0".join(("move", origin, *decision)).encode()).digest()[:_DIGEST_BYTES])


def shard_of(identifier: str) -> int:
    """The shard a derived id carries. Raises `ValueError` when it is not such an id."""
    if not is_identifier(identifier, identifier[:3]):
        raise ValueError("not an identifier of this platform")
    return int(identifier[4:6], 16)


def is_identifier(text: str, prefix: str) -> bool:
    """Whether the text has the form of a derived id with this prefix (three letters)."""
    head, body = text[:6], text[6:]
    return (
        len(text) == ID_LENGTH
        and head.startswith(f"{prefix}_")
        and set(head[4:]) <= set("0123456789abcdef")
        and set(body) <= set("abcdefghijklmnopqrstuvwxyz234567")
        and int(head[4:], 16) < SHARDS
    )


def new_attempt() -> str:
    """`att_…`, random: names one run of the saga, so that its compensation undoes only what that run did."""
    return "att_" + _base32(secrets.token_bytes(_DIGEST_BYTES))


def new_merchant_id() -> str:
    """`mer_…`, random."""
    return "mer_" + _base32(secrets.token_bytes(_DIGEST_BYTES))


def _derived(prefix: str, shard: int, *parts: str) -> str:
    digest = sha256("\0".join(parts).encode()).digest()[:_DIGEST_BYTES]
    return f"{prefix}_{shard:02x}{_base32(digest)}"


def _base32(data: bytes) -> str:
    return b32encode(data).decode().lower()
