"""What a chaos run's audit looks at: the tables of the regions, the card network's record, the webhooks' receiver."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import httpx

from local.card_network_book import Book
from local.chaos_load import Load
from local.deploy import aws
from local.ledger import BALANCES, LEDGER, PAYMENTS, Region
from local.settings import ACCOUNT, Settings
from payments import identifiers, projection, records
from payments.journal import Journal
from payments.lifecycle import Payment, Status
from payments.records import StoredJournal

Item = dict[str, Any]
Key = tuple[str, str]


@dataclass
class Copy:
    """What one region has."""

    name: str
    payments: dict[str, Item] = field(default_factory=dict)
    journals: dict[Key, Item] = field(default_factory=dict)
    balances: dict[Key, dict[str, int]] = field(default_factory=dict)

    def sums(self) -> dict[Key, dict[str, int]]:
        """What the journals add up to."""
        stored = [StoredJournal.of(item) for item in self.journals.values()]
        return {key: _nonzero(counters) for key, counters in projection.sums(stored).items()}


class View:
    """One reading of everything, for the checks. `regions` are those that are looked at: one that was killed is not."""

    def __init__(self, at: Settings, endpoints: Item, load: Load, regions: Sequence[str], watched: Sequence[str] = ()):
        self.at, self.endpoints, self.load, self.regions = at, endpoints, load, tuple(regions)
        self.watched = watched
        """What an observer saw go wrong while the run went on."""
        self.copies = [read(at, region) for region in self.regions]

    @cached_property
    def payments(self) -> dict[str, Payment]:
        """The payments of the first region that is looked at."""
        items = self.copies[0].payments.items()
        return {name: records.payment_of(item) for name, item in items if identifiers.is_identifier(name, "pay")}

    @cached_property
    def accepted(self) -> list[Payment]:
        """Those that were not blocked."""
        return [payment for payment in self.payments.values() if payment.status is not Status.FRAUD_BLOCKED]

    @cached_property
    def journals(self) -> dict[str, list[Journal]]:
        """The journals of that region by payment, without those that are none: the first check names them."""
        found: defaultdict[str, list[Journal]] = defaultdict(list)
        for (payment_id, _), item in self.copies[0].journals.items():
            with suppress(ValueError):
                found[payment_id].append(StoredJournal.of(item).journal())
        return found

    @cached_property
    def network(self) -> Item:
        """The card network's own record."""
        return Book(self.at.path("card-network.sqlite")).listing()

    @cached_property
    def deliveries(self) -> list[Item]:
        """Webhooks that came with a good signature."""
        answer = httpx.get(f"{self.endpoints['webhook_inbox']}/webhooks", trust_env=False, timeout=30)
        return [found for found in answer.json()["data"] if found["verified"]]


def read(at: Settings, region: str) -> Copy:
    """A region's tables, read consistently, one after the other."""
    source, copy = Region(region, lambda service, name: aws(at, service, name), ACCOUNT), Copy(region)
    for item in _items(source, LEDGER):
        copy.journals[item["payment_id"], item["journal_id"]] = item
    for item in _items(source, PAYMENTS):
        copy.payments[item["payment_id"]] = item
    sums: defaultdict[Key, Counter[str]] = defaultdict(Counter)
    for item in _items(source, BALANCES):
        if item["period"] != "-":  # marks of how far the projector has come
            account, period = item.pop("account"), projection.without_lane(item.pop("period"))
            sums[account, period].update({name: value for name, value in item.items() if isinstance(value, int)})
    copy.balances = {key: _nonzero(counters) for key, counters in sums.items()}
    return copy


def differing(one: dict[Any, Any], other: dict[Any, Any]) -> list[Any]:
    """Keys of what is not the same in both."""
    return sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))


def _items(source: Region, table: str) -> Iterator[Item]:
    for page in source.scan(table):
        yield from map(records.plain, page)


def _nonzero(counters: Counter[str]) -> dict[str, int]:
    return {name: value for name, value in counters.items() if value}
