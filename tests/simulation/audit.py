"""The promises of the platform (README.md), held against a run: `Books` looks at every journal and event as it is
written, `audit` at everything once the run has come to rest. Each finding is a sentence."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from payments import conflicts, events, identifiers, lifecycle, replay
from payments.conflicts import Conflict
from payments.journal import Journal
from payments.lifecycle import Payment, Status
from payments.records import StoredJournal, payment_of, plain

if TYPE_CHECKING:
    from tests.simulation.world import World

Item = dict[str, Any]

READ_AFTER = 200.0
"""Seconds after a shard's move in which what its former primary accepted may not be here: `LONGEST_CUT` and lag."""

Terms = tuple[int, str | None]
"""Amount and customer: what tells two requests under one key apart."""


class Books:
    """What is looked at as it happens."""

    def __init__(self) -> None:
        self.broken: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.made_by: defaultdict[str, set[str]] = defaultdict(set)
        """The attempts that made a payment: one, or one in each region."""

    def look(self, table: str, key: tuple[str, ...], item: Item, number: int, regions: list[Any]) -> None:
        """A region writes an item: a journal must balance and be new there, and be as whatever copy of it there is."""
        if table == "payments" and item["status"]["S"] == "pending" and key not in regions[number].tables.items[table]:
            self.made_by[key[0]].add(item["attempt"]["S"])
        if table == "ledger":
            self._journal(key, item, number, regions)

    def _journal(self, key: tuple[str, ...], item: Item, number: int, regions: list[Any]) -> None:
        sums: Counter[tuple[str, str]] = Counter()
        for entry in (line["M"] for line in item["entries"]["L"]):
            sign = 1 if entry["side"]["S"] == "debit" else -1
            sums[entry["currency"]["S"], entry["phase"]["S"]] += sign * int(entry["amount"]["N"])
        if any(sums.values()):
            self.broken.append(f"journal {key} does not balance")
        if key in regions[number].tables.items["ledger"]:
            self.broken.append(f"journal {key} was written over")
        for region in regions:
            other = region.tables.items["ledger"].get(key)
            if other and other["entries"] != item["entries"]:
                self.broken.append(f"journal {key} was written again with other entries")

    def hears(self, event: dict[str, Any], regions: list[Any]) -> None:
        """A bus takes an event: what it is about must be in some region's books by then."""
        self.events.append(event)
        if not any(event["payment_id"] == key[0] for region in regions for key in region.tables.items["ledger"]):
            self.broken.append(f"event {event['id']} {event['type']} is of no payment")


def audit(world: "World") -> list[str]:
    """Everything that does not hold at the end."""
    view = _View(world)
    checks = (_equal, _one_payment, _answers, _reads, _payments, _conflicts, _network, _events, _commands, _tokens)
    return [finding for check in checks for finding in check(view)]


class _View:
    """The run's end as the checks look at it: payments and journals of the first region, once they are equal."""

    def __init__(self, world: "World"):
        self.world = world
        items = world.regions[0].tables.items
        self.payments: dict[str, Payment] = {
            key: payment_of(plain(item))
            for (key,), item in items["payments"].items()
            if identifiers.is_identifier(key, "pay")
        }
        self.conflicts: dict[str, Conflict] = {
            key.partition("#")[0]: conflicts.of_record(plain(item))
            for (key,), item in items["payments"].items()
            if key.endswith("#conflict")
        }
        self.journals: defaultdict[str, list[Journal]] = defaultdict(list)
        for (payment_id, _), item in items["ledger"].items():
            self.journals[payment_id].append(StoredJournal.of(plain(item)).journal())
        self.by_event: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self.by_type: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for event in world.books.events:
            self.by_event[event["id"]].append(event)
            self.by_type[event["type"]].append(event)

    @property
    def accepted(self) -> list[Payment]:
        return [payment for payment in self.payments.values() if payment.status is not Status.FRAUD_BLOCKED]


def _equal(view: _View) -> Iterator[str]:
    """Both regions have the same tables."""
    first, second = (region.tables.items for region in view.world.regions)
    for table in ("payments", "ledger"):
        for key in sorted(first[table].keys() | second[table].keys()):
            if first[table].get(key) != second[table].get(key):
                yield f"{table} {key} differs between the regions"


def _one_payment(view: _View) -> Iterator[str]:
    """One key, at most one payment, and one authorization at the network, of that payment."""
    keys = Counter((payment.merchant_id, payment.description) for payment in view.payments.values())
    for (merchant, key), count in keys.items():
        if count > 1:
            yield f"{key} of {merchant} is {count} payments"
    known = {payment.network_ref for payment in view.accepted}
    for reference in view.world.record.authorizations:
        if reference not in known:
            yield f"{reference} was authorized without a payment"


def _answers(view: _View) -> Iterator[str]:
    """Whoever was answered was answered the truth, the same to each, and the patient ones all were. Of two requests
    under one key that were both accepted, operators know."""
    named: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    accepted: defaultdict[tuple[str, str], set[Terms]] = defaultdict(set)
    for request in view.world.merchants.charges:
        if request.patient and not request.ended:
            yield f"{request.key} was never answered"
        for status, body in request.ended:
            if status == 422 or (status == 402 and body["error"]["code"] == "expired_card"):
                continue
            name = body["id"] if status == 201 else body["error"].get("payment_id")
            named[request.merchant, request.key].add(name)
            if status == 201:
                accepted[request.merchant, request.key].add(request.terms)
            if not _true(view, status, view.payments.get(name), request.terms):
                yield f"{request.key} was answered {status} {body}, but there is {view.payments.get(name)}"
    for (merchant, key), terms in accepted.items():
        if len(named[merchant, key]) > 1:
            yield f"{key} was answered in different ways: {sorted(named[merchant, key])}"
        conflict = view.conflicts.get(identifiers.payment_id(merchant, key))
        if len(terms) > 1 and (conflict is None or terms != set(map(_terms, conflict.sides))):
            yield f"{key} was accepted in different ways, and operators know {conflict}"


def _reads(view: _View) -> Iterator[str]:
    """What a region has just answered it also shows, unless the shard has moved to it from where the payment is."""
    for request in view.world.merchants.charges:
        moved = [
            when for when, shard in view.world.shards.moves if shard == identifiers.merchant_shard(request.merchant)
        ]
        for when, status in request.reads:
            if status == 404 and not any(when - READ_AFTER < move <= when for move in moved):
                yield f"{request.key} was answered 201 and, right afterwards, is not there"


def _terms(payment: Payment) -> Terms:
    return payment.amount, payment.customer_id


def _true(view: _View, status: int, payment: Payment | None, terms: Terms) -> bool:
    """Whether the answer fits the payment. While a region stands in for another, one may block what the other has
    accepted, before they hear of each other: then it is accepted, and who was answered 402 will hear of it later. Of
    two requests that were both accepted only one is the payment."""
    if payment is None:
        return False
    blocked, stand_in = payment.status is Status.FRAUD_BLOCKED, view.world.faults.stand_in
    if _terms(payment) == terms:
        return not blocked if status == 201 else blocked or stand_in
    return stand_in and (status == 402 or payment.payment_id in view.conflicts)


def _payments(view: _View) -> Iterator[str]:
    """Every payment is decided and is what its journals say."""
    for payment_id, payment in view.payments.items():
        journals = view.journals[payment_id]
        if payment.pending or payment.outstanding:
            yield f"{payment_id} still waits"
        if cause := replay.ahead(payment, journals):
            yield f"{payment_id} is ahead of its journals: {cause}"
        elif replay.mended(payment, journals, payment.updated_at) is not payment:
            yield f"{payment_id} is not what its journals say: {payment}"
    for payment_id in view.journals:
        if payment_id not in view.payments:
            yield f"{payment_id} has journals and is no payment"


def _conflicts(view: _View) -> Iterator[str]:
    """Every conflict is resolved: one side is the payment, what the other one reserved is withdrawn, all are told."""
    for payment_id, conflict in view.conflicts.items():
        payment, resolution = view.payments[payment_id], conflict.resolution
        if resolution is None or resolution.stands != payment.fingerprint:
            yield f"{payment_id} is in conflict: {conflict}"
        names = {journal.journal_id for journal in view.journals[payment_id]}
        both = all(lifecycle.authorization_id(side.fingerprint) in names for side in conflict.sides)
        if both and lifecycle.withdrawal_id(conflict.other(payment).fingerprint) not in names:
            yield f"{payment_id}: what the other request reserved was not withdrawn"
        if lifecycle.withdrawal_id(payment.fingerprint) in names:
            yield f"{payment_id}: what its own request reserved was withdrawn"
        if both and not any(event["payment_id"] == payment_id for event in view.by_type["payment.conflict"]):
            yield f"{payment_id}: its merchant never heard of the conflict"


def _network(view: _View) -> Iterator[str]:
    """The network did what the books say, and had to refuse nothing."""
    record = view.world.record
    disputed = {conflict.sides[0].network_ref for conflict in view.conflicts.values()}
    for order in record.refusals:
        if "operation_ref" in order or order["network_ref"] not in disputed:
            yield f"the network refused {order}"
    if not view.world.faults.long_silence:
        for order in record.exceeded:
            yield f"the network had to decline {order}"
    for payment in view.accepted:
        held = record.authorizations.get(payment.network_ref)
        if held is None:
            yield f"{payment.payment_id} was never authorized"
            continue
        if (held["request"], held["amount"]) != (lifecycle.request_id(payment.fingerprint), payment.amount):
            yield f"{payment.payment_id} is {payment}, and another request at the network: {held}"
        declined = held["status"] == "declined"
        if declined is not bool(payment.failure):
            yield f"{payment.payment_id} is {payment.status}, and {held['status']} at the network"
        reference = payment.network_ref
        released = payment.amount if declined else record.released(reference)
        at_network = record.captured(reference), record.refunded(reference), released
        booked = payment.amount_captured, payment.amount_refunded, payment.amount_released
        if at_network != booked:
            yield f"{payment.payment_id}: {at_network} at the network, {booked} in the books"


def _events(view: _View) -> Iterator[str]:
    """Every event was published, under an id and a sequence that do not change."""
    for name, found in view.by_event.items():
        if len({(event["payment_id"], event["type"], _place(event, view)) for event in found}) > 1:
            yield f"event {name} is several: {[(event['type'], event['sequence']) for event in found]}"
    for payment in view.accepted:
        wanted = [events.charge_authorized(payment), events.payment_result(payment)]
        names = {journal.journal_id.partition("#")[0] for journal in view.journals[payment.payment_id]}
        for operation in sorted(name for name in names if identifiers.is_identifier(name, name[:3])):
            wanted += filter(None, [events.operation_result(payment, view.journals[payment.payment_id], operation)])
        for event in wanted:
            if event["id"] not in view.by_event:
                yield f"{payment.payment_id}: {event['type']} was never published"


def _place(event: dict[str, Any], view: _View) -> int | None:
    """An event's place among its payment's. A `payment_command`, which no merchant sees, has that of the payment when
    it is sent, and so another one when the sweeper sends it again; nobody reads it. Of a command that both regions
    carried out, each has a place of its own."""
    unsteady = event["type"] == events.PAYMENT_COMMAND or event["payment_id"] in view.world.fences.repeated
    return None if unsteady else int(event["sequence"])


def _commands(view: _View) -> Iterator[str]:
    """What was answered as done is in the books, and everybody was answered."""
    for request in view.world.merchants.commands:
        if not request.ended:
            yield f"{request.key} {request.path} was never answered"
        command = identifiers.command_id(request.merchant, request.key, "merchant")
        kind = request.path.rpartition("/")[2]
        operation = identifiers.operation_id({"capture": "cap", "void": "vod", "refund": "ref"}[kind], command)
        payment_id = request.path.split("/")[4]
        done = any(journal.journal_id == operation for journal in view.journals[payment_id])
        if any(status in (200, 201) for status, _ in request.ended) and not done:
            yield f"{operation} of {payment_id} was answered and is not in the books"


def _tokens(view: _View) -> Iterator[str]:
    """The attempt that made a payment still holds its token; what no payment needs was never used.

    Where each region made it, the one whose payment the last writer's replaced may let go; where a block replaced it,
    the payment does not name the attempt that made it.
    """
    for payment in view.accepted:
        made_by = view.world.books.made_by[payment.payment_id]
        if ({payment.attempt} & made_by or made_by) <= view.world.released:
            yield f"{payment.payment_id}: its attempt let go of its token"
    needed = {payment.card["token"] for payment in view.accepted}
    needed |= {side.card["token"] for conflict in view.conflicts.values() for side in conflict.sides}
    for token in sorted(view.world.used - needed):
        yield f"{token} was used and no payment needs it"
