"""The audit after a chaos run: the seven promises of the platform, each held against what others have recorded.

Whoever is asked is not who is judged: payments are held against the card network's own record, balances against the
journals, events against what the webhooks' receiver got, answers against what the clients noted. Each check yields
what is wrong, a sentence each; nothing is wrong when it yields nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from local.chaos_load import Request, Shop
from local.chaos_view import View, differing
from local.client import Client
from local.deploy import aws
from local.hunt import Places
from local.settings import REGIONS
from payments import events, identifiers, replay
from payments.lifecycle import Payment, Status
from payments.records import StoredJournal

_PROBED = 12
"""Payments of each shop that another shop tries to see and to change."""

_COMMANDS = {"capture": "cap", "void": "vod", "refund": "ref"}

Findings = Iterator[str]


@dataclass
class Verdict:
    """What became of one promise: what was looked at, and what is wrong."""

    promise: str
    looked_at: str
    findings: list[str] = field(default_factory=list)

    @property
    def kept(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


def audit(view: View) -> list[Verdict]:
    """All seven promises, in their order."""
    return [_verdict(view, promise, *rest) for promise, *rest in _PROMISES]


def _verdict(
    view: View, promise: str, looked_at: Callable[[View], str], *checks: Callable[[View], Findings]
) -> Verdict:
    found = list(chain.from_iterable(check(view) for check in checks))
    return Verdict(promise, looked_at(view), found)


def _balanced(view: View) -> Findings:
    """Every journal of every region, at the end and whenever it was looked at, sums to zero."""
    yield from view.watched
    for copy in view.copies:
        for name, item in copy.journals.items():
            try:
                StoredJournal.of(item).journal()
            except (ValueError, TypeError, KeyError) as error:
                yield f"{copy.name}: journal {name}: {error!r}"


def _equal(view: View) -> Findings:
    """All regions have the same payments and journals, item by item."""
    first = view.copies[0]
    for other in view.copies[1:]:
        for table, one, two in (
            ("payments", first.payments, other.payments),
            ("ledger", first.journals, other.journals),
        ):
            for key in differing(one, two):
                yield f"{table} {key} differs: {one.get(key)} in {first.name}, {two.get(key)} in {other.name}"


def _counted(view: View) -> Findings:
    """The balances of every region are the sums of its journals."""
    for copy in view.copies:
        sums = copy.sums()
        for key in differing(sums, copy.balances):
            yield f"{copy.name}: {key} is {copy.balances.get(key)}, its journals say {sums.get(key)}"


def _one_payment(view: View) -> Findings:
    """A key is one payment. What the network authorized is a payment, once, and of its amount."""
    keys = Counter((payment.merchant_id, payment.description) for payment in view.payments.values())
    shops = {shop.merchant_id for shop in view.load.shops}
    for (merchant, key), times in keys.items():
        if times > 1 and merchant in shops and key:
            yield f"{key} of {merchant} is {times} payments"
    known = {payment.network_ref: payment for payment in view.accepted}
    for held in view.network["data"]:
        payment = known.pop(held["network_ref"], None)
        if payment is None:
            yield f"{held['network_ref']} was authorized for {held['amount']} and is no payment"
        elif (payment.amount, payment.currency) != (held["amount"], held["currency"]):
            yield f"{payment.payment_id} is {payment.amount}, and {held['amount']} were authorized"
    for payment in known.values():
        yield f"{payment.payment_id} is {payment.status} and was never authorized"


def _network_agrees(view: View) -> Findings:
    """What the network captured, released and refunded is what the books say."""
    held = {found["network_ref"]: found for found in view.network["data"]}
    done: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for operation in view.network["operations"]:
        if operation["status"] == "accepted":
            done[operation["network_ref"]][operation["kind"]] += operation["amount"]
    for payment in view.accepted:
        at_network = held.get(payment.network_ref)
        if at_network is None:
            continue
        declined, did = at_network["status"] == "declined", done[payment.network_ref]
        captured = did["capture"] + (payment.amount if payment.capture and not declined else 0)
        released = payment.amount if declined else did["void"]
        booked = payment.amount_captured, payment.amount_released, payment.amount_refunded
        if declined != bool(payment.failure):
            yield f"{payment.payment_id} is {payment.status}, and {at_network['status']} at the network"
        if booked != (captured, released, did["refund"]):
            yield f"{payment.payment_id}: {booked} booked, {(captured, released, did['refund'])} at the network"


def _no_card_number(view: View) -> Findings:
    """None of the load's card numbers is anywhere, in any disguise."""
    places = Places(lambda service, region: aws(view.at, service, region), view.at.home, view.endpoints)
    yield from (f"a card number is in {place}" for place in places.hits(view.load.cards, view.regions))


def _final(view: View) -> Findings:
    """Every payment that somebody was told of is decided, and is what its journals say."""
    for payment in view.payments.values():
        if payment.pending or payment.outstanding:
            yield f"{payment.payment_id} still waits: {payment.status}, {payment.outstanding}"
    for payment, cause in disagreeing(view):
        if cause:
            yield f"{payment.payment_id} is ahead of its journals: {cause}"
        else:
            yield f"{payment.payment_id} is not what its journals say: {payment}"
    for payment_id in view.journals:
        if identifiers.is_identifier(payment_id, "pay") and payment_id not in view.payments:
            yield f"{payment_id} has journals and is no payment"


def disagreeing(view: View) -> Iterator[tuple[Payment, str | None]]:
    """Payments that do not say what their journals say, each with what it says beyond them; None: it says less."""
    for payment in view.payments.values():
        journals = view.journals.get(payment.payment_id, [])
        cause = replay.ahead(payment, journals)
        if cause or replay.mended(payment, journals, payment.updated_at) is not payment:
            yield payment, cause


def expected_events(view: View, payment: Payment) -> list[str]:
    """Ids of the events that the payment's merchant must have been told of."""
    if payment.pending:
        return []
    journals = view.journals.get(payment.payment_id, [])
    names = {journal.journal_id.partition("#")[0] for journal in journals}
    operations = sorted(name for name in names if name[:3] in _COMMANDS.values() and name[3:4] == "_")
    found = [events.operation_result(payment, journals, operation) for operation in operations]
    return [events.payment_result(payment)["id"], *(event["id"] for event in found if event)]


def untold(view: View) -> list[str]:
    """Ids of events that should have come and have not; none where a region is not looked at because it was killed: its
    queues are lost with it, and what it had decided and not yet told. In AWS they come back."""
    if set(view.regions) != set(REGIONS):
        return []
    told = {delivery["body"]["id"] for delivery in view.deliveries}
    shops = {shop.merchant_id for shop in view.load.shops}
    mine = [payment for payment in view.accepted if payment.merchant_id in shops]
    return [event for payment in mine for event in expected_events(view, payment) if event not in told]


def _told(view: View) -> Findings:
    """Every event came, under an id that always means the same step of the same payment."""
    yield from (f"event {event} never came" for event in untold(view))
    meanings: defaultdict[str, set[tuple[str, str, int]]] = defaultdict(set)
    for delivery in view.deliveries:
        body = delivery["body"]
        meanings[body["id"]].add((body["payment_id"], body["type"], body["sequence"]))
    for event, meaning in meanings.items():
        if len(meaning) > 1:
            yield f"event {event} came as {sorted(meaning)}"


def _isolated(view: View) -> Findings:
    """No shop sees or changes what is another's, in any region."""
    for region in view.regions:
        url = view.endpoints["regions"][region]["api"]
        for shop, other in zip(view.load.shops, [*view.load.shops[1:], view.load.shops[0]], strict=True):
            yield from _intrusions(view, Client(url, other.api_key), shop, other)
        status = Client(url, view.load.shops[0].api_key + "x").payments().status
        if status != 401:
            yield f"{region} answers {status} to a key that is none"


def _intrusions(view: View, intruder: Client, shop: Shop, other: Shop) -> Findings:
    mine = {payment.payment_id for payment in view.payments.values() if payment.merchant_id == shop.merchant_id}
    for payment_id in sorted(mine)[:_PROBED]:
        for name, answer in (("GET", intruder.payment(payment_id)), ("refund", intruder.refund(payment_id))):
            if answer.status not in (404, 503):  # 503: whose it is was not even looked up, its primary is silent
                yield f"{other.merchant_id}: {name} of {payment_id} is answered {answer.status}"
    seen = {payment["id"] for payment in intruder.payments(limit=100).body["data"]} & mine
    yield from (f"{other.merchant_id} is shown {payment_id}" for payment_id in seen)


def _answered(view: View) -> Findings:
    """Everybody was answered, always the same, and what was answered as done is there, in every region."""
    for request in view.load.requests:
        if not request.ended:
            yield f"{request.kind} {request.key} was never answered: {[told.status for told in request.told]}"
    for request in view.load.of("charge"):
        yield from _charge_is_there(view, request)
    for request in view.load.of(*_COMMANDS):
        yield from _command_is_there(view, request)


def _charge_is_there(view: View, request: Request) -> Findings:
    said = {told.body["id"] for told in request.ended if told.status == 201}
    if not said:
        return
    if said != {request.payment_id}:
        yield f"{request.key} was answered with {sorted(said)}"
    for copy in view.copies:
        item = copy.payments.get(request.payment_id)
        if item is None:
            yield f"{copy.name}: {request.payment_id} was answered 201 and is lost"
        elif item["status"] == Status.FRAUD_BLOCKED or not _of_its_key(view, request, item["amount"]):
            yield f"{copy.name}: {request.payment_id} was answered 201, and is {item['status']}, {item['amount']}"


def _of_its_key(view: View, request: Request, amount: int) -> bool:
    """Whether the amount is the request's, or that of another one that was accepted under the same key: then two
    regions that could not see each other took one each, and the network's word stands."""
    rivals = (other for other in view.load.of("charge") if other.payment_id == request.payment_id and other.done)
    return amount in {other.body["amount"] for other in rivals}


def _command_is_there(view: View, request: Request) -> Findings:
    if not request.done:
        return
    command = identifiers.command_id(request.shop.merchant_id, request.key, "merchant")
    operation = identifiers.operation_id(_COMMANDS[request.kind], command)
    for copy in view.copies:
        if (request.payment_id, operation) not in copy.journals:
            yield f"{copy.name}: {request.kind} {operation} of {request.payment_id} was answered and is lost"


def _n(number: int, what: str) -> str:
    return f"{number:,} {what}"


def _repeated(view: View) -> str:
    tries = sum(len(request.told) for request in view.load.requests)
    return f"{len(view.load.requests):,} requests, sent {tries:,} times"


_PROMISES: tuple[tuple[str, Callable[[View], str], *tuple[Callable[[View], Findings], ...]], ...] = (
    (
        "1 The books balance, in every region, and are the same",
        lambda view: ", ".join(_n(len(copy.journals), f"journals in {copy.name}") for copy in view.copies),
        *(_balanced, _equal, _counted),
    ),
    (
        "2 One key, at most one payment and one authorization",
        lambda view: (
            _n(len(view.network["data"]), "authorizations, ") + _n(len(view.network["operations"]), "operations")
        ),
        *(_one_payment, _network_agrees),
    ),
    (
        "3 A card number never leaves the vault",
        lambda view: _n(len(view.load.cards), "numbers, hunted in tables, queues, logs, executions, objects, files"),
        _no_card_number,
    ),
    ("4 No accepted charge is lost", lambda view: _n(len(view.accepted), "accepted payments"), _final),
    (
        "5 Every event arrives at least once, under a stable id",
        lambda view: _n(len(view.deliveries), "signed webhooks"),
        _told,
    ),
    (
        "6 A merchant sees only its own",
        lambda view: _n(len(view.load.shops), "shops, each tried by another"),
        _isolated,
    ),
    ("7 No answered charge is lost or doubled", _repeated, _answered),
)
