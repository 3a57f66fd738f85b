"""Which payment an envelope serves: the first that presents it, and no other."""

from hashlib import sha256

from functions.vault.sealing import Envelope
from functions.vault.table import Table, number

STORING = "tokens"
"""The nonce of envelopes, and what stands for the payment, where a card is stored ahead of its charge."""

_PAYMENT = "pay_"


class Envelopes:
    """What was served is remembered, under a digest of merchant and nonce, until the envelope expires."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def serves(self, envelope: Envelope, merchant_id: str, payment_id: str) -> bool:
        """Whether an envelope may serve this payment (or STORING); a retry of it may present the envelope again.

        A nonce that names a payment, or STORING, serves that; there is nothing to remember then.
        """
        if envelope.nonce == payment_id:
            return True
        if envelope.nonce == STORING or envelope.nonce.startswith(_PAYMENT):
            return False
        digest = sha256(f"{merchant_id}#{envelope.nonce}".encode()).hexdigest()
        served = {"payment_id": {"S": payment_id}, "delete_after": number(envelope.expires_at)}
        condition, values = "attribute_not_exists(#token) OR #payment_id = :payment", {":payment": {"S": payment_id}}
        return self._table.put((f"envelope#{digest}", "served"), served, condition, values)
