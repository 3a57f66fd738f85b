"""What an operator books: disputes as the card network reports them, payouts, fees, adjustments, reversals.

Each is one invocation of the ledger's own functions, in the region that writes for the merchant's shard; repeating it
with the same case or reference changes nothing.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from local.ledger import PAYMENTS, SHARDS, Item, Refused, Region
from local.ledger_reports import available
from payments import identifiers, proofs

_COMMAND, _BOOK = "payments-ledger-command", "payments-ledger-book"
DISPUTE = {"open": "open_dispute", "won": "win_dispute", "lost": "lose_dispute"}
"""The command for each turn of a dispute."""


class Desk:
    """The ledgers of all regions, in the order of the platform's setting."""

    def __init__(self, regions: Mapping[str, Region]):
        self._regions = regions

    def dispute(self, turn: str, payment_id: str, case: str, amount: int | None, reason: str | None) -> Item:
        """Opens, wins or loses a dispute under the network's case number. Raises `Refused`."""
        region = self._writer(payment_id)
        payment = region.get(PAYMENTS, payment_id=payment_id)
        if payment is None or "amount" not in payment:
            raise Refused(f"there is no payment {payment_id}")
        asked = {"command": DISPUTE[turn], "payment_id": payment_id, "amount": amount, "reason": reason}
        return _told(
            region.invoke(
                _COMMAND,
                asked
                | {
                    "merchant_id": payment["merchant_id"]["S"],
                    "key": f"{case}#{turn}",
                    "fingerprint": sha256(proofs.canonical(asked).encode()).hexdigest(),
                    "final": False,
                },
            )
        )

    def payout(self, merchant_id: str, booking: Mapping[str, Any], *, overdraw: bool = False) -> Item:
        """Pays out to the merchant's bank. Raises `Refused` when it is more than available, unless `overdraw`.

        A payout that was booked before under its reference is found again, whatever is available now.
        """
        region = self._of_shard(identifiers.merchant_shard(merchant_id))
        booked = region.journals(identifiers.transfer_id("out", merchant_id, booking["reference"]))
        there = available(region, merchant_id, booking["currency"])
        if booking["amount"] > there and not (overdraw or booked):
            raise Refused(f"{there} are available, in minor units of {booking['currency']}; to pay more: --overdraw")
        return self.book(merchant_id, "payout", booking)

    def book(self, merchant_id: str, kind: str, booking: Mapping[str, Any]) -> Item:
        """Books a `payout`, `fee` or `adjustment` with reference, amount, currency and reason. Raises `Refused`."""
        region = self._of_shard(identifiers.merchant_shard(merchant_id))
        return _told(region.invoke(_BOOK, {"kind": kind, "merchant_id": merchant_id, **booking}))

    def reverse(self, payment_id: str, journal_id: str, reason: str) -> Item:
        """Takes a journal back. Raises `Refused`."""
        event = {"kind": "reversal", "payment_id": payment_id, "journal_id": journal_id, "reason": reason}
        return _told(self._writer(payment_id).invoke(_BOOK, event))

    def _writer(self, identifier: str) -> Region:
        try:
            return self._of_shard(identifiers.shard_of(identifier))
        except ValueError:
            raise Refused(f"{identifier} is no id of a payment or transfer") from None

    def _of_shard(self, shard: int) -> Region:
        """The region that writes for the shard: as the shard map says, else shards are spread evenly."""
        names = list(self._regions)
        first = self._regions[names[0]]
        key = {"shard": {"N": str(shard)}}
        item = first.dynamodb.get_item(TableName=SHARDS, Key=key, ConsistentRead=True).get("Item")
        name = item["primary"]["S"] if item else names[shard % len(names)]
        if name not in self._regions:
            raise Refused(f"shard {shard} is written in {name}, which is not among {', '.join(names)}")
        return self._regions[name]


def _told(answer: Item) -> Item:
    """The answer, unless it says no. Raises `Refused`."""
    if answer["result"] == "refused":
        raise Refused(f"{answer['code']}: {answer['message']}")
    if answer["result"] == "conflict":
        raise Refused(f"another booking has this reference: {answer['journal']}")
    return answer
