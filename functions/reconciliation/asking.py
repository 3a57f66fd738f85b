"""What the matching of a part asks of others: the table, operators, the ledger. Each answer is fixed when first given.

Asked again, the others might say something else: a part that is cut off and repeated must come to the same.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

import msgspec

from functions.reconciliation import booking, store, table
from functions.reconciliation.crowd import each
from functions.reconciliation.exchange import Known, OpenedDispute, Resolution, Settled, WantedDispute
from functions.reconciliation.runs import Run
from payments import regions
from payments.clients import client
from payments.observability import logger

MOST_STRANGERS = 10_000
"""Payments of a part that are looked up in the table. A file of more that nobody knows is not one of ours."""

_SETTLES = ("matched", "fee_mismatch")

Value = TypeVar("Value")


def resolutions(run: Run, part: int) -> list[Resolution]:
    """What operators have decided of this part's discrepancies."""

    def ask() -> list[Resolution]:
        keys = store.find(store.resolutions(part))
        store.ready()
        return [found for found in each(_resolution, keys) if found]

    return _fixed(store.of_part(run.run, part, "resolutions.json"), Resolution, ask)


def known(run: Run, part: int, network_refs: Sequence[str]) -> list[Known]:
    """What the table knows of payments that no fact names; of the first `MOST_STRANGERS`."""
    if not network_refs:
        return []
    asked = sorted(network_refs)[:MOST_STRANGERS]
    if len(asked) < len(network_refs):
        logger.warning("not all strangers looked up", extra={"part": part, "strangers": len(network_refs)})
    return _fixed(store.of_part(run.run, part, "known.json"), Known, lambda: _known(table.known(asked)))


def disputes(run: Run, part: int, wanted: Sequence[WantedDispute]) -> list[OpenedDispute]:
    """The ledger's answers to chargebacks that it has no dispute of. Raises `LedgerUnavailable`."""
    if not wanted:
        return []

    def ask() -> list[OpenedDispute]:
        ledgers_ready()
        return each(_open, wanted)

    return _fixed(store.of_part(run.run, part, "disputes.json"), OpenedDispute, ask)


def opened(run: str, part: int) -> list[str]:
    """The disputes that the part has opened, by their ids, which are their journals'."""
    found = store.read_json(store.of_part(run, part, "disputes.json")) or []
    return [dispute["dispute_id"] for dispute in found if dispute["dispute_id"]]


def ledgers_ready() -> None:
    """Makes the clients of the ledger's functions, before threads ask for them."""
    client("dynamodb")
    for region in {regions.here(), *regions.endpoints()}:
        booking.functions(region)


def _fixed(key: str, kind: type[Value], ask: Callable[[], Iterable[Value]]) -> list[Value]:
    standing = store.read(key)
    if standing is None:
        made = [asdict(found) for found in ask()]  # type: ignore[call-overload]
        return msgspec.convert(store.put_once(key, made), list[kind])  # type: ignore[valid-type]
    return msgspec.json.decode(standing, type=list[kind])  # type: ignore[valid-type]


def _resolution(key: str) -> Resolution | None:
    """A decision, by what it says itself; None of one that was taken away at this moment."""
    found = store.read_json(key)
    return Resolution(found["network_ref"], found["record"], f"{found['action']}: {found['reason']}") if found else None


def _known(items: Iterable[dict[str, Any]]) -> list[Known]:
    """Of each payment that has a fact, what was settled of it."""
    payments: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for item in items:
        if item.get("payment_id"):
            payments[item["network_ref"]].append(item)
    return [
        Known(
            network_ref,
            found[0]["payment_id"],
            _first(found, "merchant_id"),
            found[0]["shard"],
            _first(found, "network"),
            _first(found, "currency"),
            [Settled(item["type"], item["movement"], item["line"]) for item in found if _is_settled(item)],
        )
        for network_ref, found in sorted(payments.items())
    ]


def _is_settled(item: Mapping[str, Any]) -> bool:
    """Whether the record is one that a line which comes later is a duplicate of."""
    if item["class"] == "resolved":  # of a movement, not of a line beside it
        return bool(item["expected"])
    return item["class"] in _SETTLES and bool(item.get("line_ref"))


def _first(items: Iterable[dict[str, Any]], name: str) -> Any:
    return next((item[name] for item in items if item.get(name)), None)


def _open(wanted: WantedDispute) -> OpenedDispute:
    answer = booking.open_dispute(
        wanted.shard, wanted.payment_id, wanted.merchant_id, wanted.case_ref, wanted.amount, wanted.reason or None
    )
    dispute = answer["dispute"]
    if dispute is None:
        return OpenedDispute(wanted.line_id, refusal=answer["refused"])
    return OpenedDispute(wanted.line_id, dispute["id"], dispute["amount"], dispute["currency"], dispute["created_at"])
