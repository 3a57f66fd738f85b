"""The report of a run as a value (docs/reconciliation.md, "The report"): its parts, added up. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

WHOLE = 100_000
"""The match rate is of so many."""

_PLACE = ("class", "type", "network", "currency")
_SUMS = ("lines", "expected", "settled", "difference", "fees", "at_risk")
_BOOKED = ("captured", "returned", "fees", "written_off")
_OWN = ("class", "type", "currency")
_OWN_SUMS = ("lines", "amount", "difference", "at_risk")
_FILE = ("file", "key", "network", "business_date", "rows", "rejected", "result", "reason")

_AGES = ("0-1", "2-7", "8-30", "31+")

Row = dict[str, Any]
Place = tuple[Any, ...]


class Totals:
    """Takes the summaries of a run's parts, one after the other, and has their sums."""

    def __init__(self) -> None:
        self._totals: defaultdict[Place, Counter[str]] = defaultdict(Counter)
        self._own: defaultdict[str, defaultdict[Place, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
        self._bookings: defaultdict[Place, Counter[str]] = defaultdict(Counter)
        self._aged: defaultdict[Place, Counter[str]] = defaultdict(Counter)
        self.open_claims: Counter[tuple[str, str]] = Counter()
        self.counts: Counter[str] = Counter()

    def add(self, summary: Mapping[str, Any]) -> None:
        """Adds a part's summary (`comparison.summary`)."""
        for row in summary["totals"]:
            self._totals[_place(row)].update(_sums(row))
        for row in summary["by_merchant"]:
            self._add_own(row)
        for row in summary["bookings"]:
            amounts = {name: row[name] for name in _BOOKED}
            place = row["network"], row["currency"]
            self._bookings[place].update(amounts | {"journals": int(any(amounts.values()))})
        for row in summary["open_claims"]:
            self.open_claims[row["network"], row["currency"]] += row["amount"]
        for row in summary["open_by_age"]:
            self._aged[row["days"], row["currency"]].update({name: row[name] for name in ("lines", "at_risk")})
        self.counts.update({name: summary[name] for name in ("results", "open", "changed", "told", "settled")})

    @property
    def match_rate(self) -> int | None:
        """Per 100,000, rounded down, so that only what is all settled is all; None where nothing was told."""
        told = self.counts["told"]
        return self.counts["settled"] * WHOLE // told if told else None

    @property
    def at_risk(self) -> dict[str, int]:
        """By currency."""
        found: Counter[str] = Counter()
        for (*_, currency), sums in self._totals.items():
            found[currency] += sums["at_risk"]
        return dict(sorted(found.items()))

    def report(self, file: Mapping[str, Any] | None, clearing: Sequence[Row]) -> Row:
        """The report but for what names it."""
        ages = sorted(self._aged, key=lambda place: (_AGES.index(place[0]), place[1]))
        return {
            "match_rate": self.match_rate,
            "at_risk": self.at_risk,
            "files": [{name: file[name] for name in _FILE}] if file else [],
            "totals": [_row(_PLACE, _SUMS, place, sums) for place, sums in _sorted(self._totals)],
            "bookings": [
                _row(("network", "currency"), ("journals", *_BOOKED), place, sums)
                for place, sums in _sorted(self._bookings)
            ],
            "clearing": list(clearing),
            "open_by_age": [
                _row(("days", "currency"), ("lines", "at_risk"), place, self._aged[place]) for place in ages
            ],
        }

    def merchants(self) -> Iterator[tuple[str, list[Row]]]:
        """Every merchant's own totals."""
        for merchant_id, totals in sorted(self._own.items()):
            yield merchant_id, [_row(_OWN, _OWN_SUMS, place, sums) for place, sums in _sorted(totals)]

    def _add_own(self, row: Mapping[str, Any]) -> None:
        """A merchant's own. What the network keeps is between it and the platform: that its fee is another than agreed
        is no difference to the merchant."""
        settled = row["result_class"] == "fee_mismatch"
        place = "matched" if settled else row["result_class"], row["type"], row["currency"]
        sums = {"lines": row["lines"], "amount": row["settled"], "difference": row["difference"]}
        self._own[row["merchant_id"]][place].update(sums | {"at_risk": 0 if settled else row["at_risk"]})


def _place(row: Mapping[str, Any]) -> Place:
    return row["result_class"], row["type"], row["network"], row["currency"]


def _sums(row: Mapping[str, Any]) -> dict[str, int]:
    names = ("lines", "expected", "settled", "difference", "fee_settled", "at_risk")
    return dict(zip(_SUMS, (row[name] for name in names), strict=True))


def _row(names: Iterable[str], counters: Iterable[str], place: Place, sums: Counter[str]) -> Row:
    return dict(zip(names, place, strict=True)) | {name: sums[name] for name in counters}


def _sorted(sums: Mapping[Place, Counter[str]]) -> list[tuple[Place, Counter[str]]]:
    """By place; what has no network comes first."""
    return sorted(sums.items(), key=lambda found: tuple(part or "" for part in found[0]))
