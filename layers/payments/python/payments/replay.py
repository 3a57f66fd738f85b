"""What a payment's journals say of it: the status and amounts that were lost are found again in them. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from payments.journal import Entry, Journal, Kind, Phase, Side
from payments.lifecycle import (
    CAPTURE,
    DECLINE,
    REFUSED,
    REST,
    WITHDRAWN,
    Dispute,
    Failure,
    Operation,
    Payment,
    Status,
    authorization_id,
    status_of,
)


@dataclass(slots=True)
class Replayed:
    """What a payment's journals say of it. `operations` are those that the network may not have heard of."""

    amount: int = 0
    captured: int = 0
    released: int = 0
    refunded: int = 0
    charged_back: int = 0
    declined: str | None = None
    sequence: int = 0
    disputes: dict[str, Dispute] = field(default_factory=dict)
    operations: dict[str, Operation] = field(default_factory=dict)

    @property
    def dispute(self) -> Dispute | None:
        """The last dispute; where two regions opened one each, the one that is still open."""
        found = list(self.disputes.values())
        return next((dispute for dispute in reversed(found) if dispute.status == "open"), found[-1] if found else None)


def replay(journals: Iterable[Journal]) -> Replayed:
    """The amounts of a payment, from its journals alone.

    Every step moves the merchant's account, so its entries there tell all.
    """
    found = Replayed()
    for journal in sorted(journals, key=lambda journal: (journal.sequence, journal.created_at, journal.journal_id)):
        found.sequence = max(found.sequence, journal.sequence)
        for entry in journal.entries:
            if entry.account.startswith("merchant:"):
                _count(found, journal, entry)
    return found


def mended(payment: Payment, journals: Iterable[Journal], at: str) -> Payment:
    """The payment with the amounts and the status that its journals say; itself when they agree.

    When they do not, the network is told again of every operation: it may have been told of none, and is idempotent.
    A payment that one region blocked and the other one accepted is accepted: its card may be charged already.
    """
    told = replay(journals)
    if not told.amount:
        return payment
    blocked = payment.status is Status.FRAUD_BLOCKED
    failure = None if blocked else payment.failure
    if told.declined and not failure:
        failure = Failure(told.declined, "The card network declined the charge.")
    wanted = replace(
        payment,
        status=Status.PENDING if blocked else payment.status,
        amount_captured=told.captured,
        amount_released=told.released,
        amount_refunded=told.refunded,
        amount_charged_back=told.charged_back,
        dispute=told.dispute,
        failure=failure,
    )
    wanted = replace(wanted, status=status_of(wanted))
    if wanted == payment and _refunds(payment.outstanding) == _refunds(told.operations.values()):
        return payment
    sequence = max(payment.sequence, told.sequence) + 1
    return replace(wanted, updated_at=at, sequence=sequence, outstanding=tuple(told.operations.values()))


def ahead(payment: Payment, journals: Iterable[Journal]) -> str | None:
    """What the payment says and its journals do not, or None. Journals are never lost, so one is on its way here: to
    go by them would undo a step that was made, and to go on from the payment would make it twice."""
    known = list(journals)
    told, names = replay(known), {journal.journal_id for journal in known}
    if payment.status is Status.FRAUD_BLOCKED and not known:
        return None
    if authorization_id(payment.fingerprint) not in names or told.amount != payment.amount:
        return "the authorization is missing, or of another amount"
    if any(operation.operation_id not in names for operation in payment.outstanding):
        return "an operation has no journal"
    if any(journal.reverses and journal.reverses not in names for journal in known):
        return "what was taken back has no journal"
    said = payment.amount_captured, payment.amount_released, payment.amount_charged_back, payment.amount_refunded
    taken, released, returned = _taken_back(payment, names)
    known_of = told.captured + taken, told.released + released, told.charged_back, told.refunded + returned
    if any(more > less for more, less in zip(said, known_of, strict=True)):
        return "the payment says more than its journals"
    dispute = payment.dispute
    if dispute and _ends(dispute) > _ends(told.disputes.get(dispute.dispute_id)):
        return "a dispute has no journal"
    return None


def _taken_back(payment: Payment, names: set[str]) -> tuple[int, int, int]:
    """What the payment still says of operations that the journals have taken back: captured, released, refunded."""
    taken = released = returned = 0
    for found in payment.outstanding:
        whole = f"{found.operation_id}{REFUSED}" in names
        rest = whole or f"{found.operation_id}{REST}{REFUSED}" in names
        match found.kind:
            case "capture":
                taken += found.amount if whole else 0
                released += found.released if rest else 0
            case "void":
                released += found.amount if whole else 0
            case "refund":
                returned += found.amount if f"{found.operation_id}#failed" in names else 0
    return taken, released, returned


def _ends(dispute: Dispute | None) -> int:
    """How far a dispute has come: not opened, open, ended."""
    return 0 if dispute is None else 1 if dispute.status == "open" else 2


def _count(found: Replayed, journal: Journal, entry: Entry) -> None:
    """Adds what one entry of the merchant's account says."""
    name, amount = journal.journal_id, entry.amount
    match journal.kind, entry.phase:
        case Kind.CHARGE, Phase.PENDING:
            found.amount += amount
        case Kind.CAPTURE, Phase.POST_PENDING:
            found.captured += amount
            if name != CAPTURE:
                found.operations[name] = Operation(name, "capture", amount)
        case Kind.CAPTURE, Phase.VOID_PENDING:
            found.released += amount
            captured = found.operations.get(name, Operation(name, "capture"))
            found.operations[name] = replace(captured, released=amount)
        case Kind.VOID, Phase.VOID_PENDING if name.endswith(WITHDRAWN):
            found.amount -= amount
        case Kind.VOID, Phase.VOID_PENDING:
            found.released += amount
            if name == DECLINE:
                found.declined = journal.reason
            else:
                found.operations[name] = Operation(name, "void", amount)
        case Kind.REVERSAL, Phase.PENDING if name.endswith(REFUSED):
            found.released -= amount
            found.operations.pop(name.partition("#")[0], None)
        case Kind.REVERSAL, Phase.POSTED if name.endswith(REFUSED) and entry.side is Side.DEBIT:
            found.captured -= amount  # which is pending again, and was counted as released above
            found.released += amount
        case Kind.REFUND, Phase.PENDING:
            found.refunded += amount
            found.operations[name] = Operation(name, "refund", amount)
        case Kind.REFUND, ended:
            found.refunded -= amount if ended is Phase.VOID_PENDING else 0
            found.operations.pop(name.partition("#")[0], None)
        case Kind.CHARGEBACK, Phase.PENDING:
            found.disputes[name] = Dispute(name, amount, "open", journal.reason)
            found.operations[name] = Operation(name, "announce")
        case (Kind.CHARGEBACK, Phase.POST_PENDING) | (Kind.REPRESENTMENT, Phase.VOID_PENDING):
            lost = journal.kind is Kind.CHARGEBACK
            found.charged_back += amount if lost else 0
            opened = found.disputes.get(name.partition("#")[0])
            if opened:
                found.disputes[opened.dispute_id] = replace(opened, status="lost" if lost else "won")
            found.operations[name] = Operation(name, "announce")


def _refunds(operations: Iterable[Operation]) -> set[Operation]:
    """Those that reserve amounts until they end; of other operations the journals cannot tell whether they ended."""
    return {operation for operation in operations if operation.kind == "refund"}
