"""Which of two requests under one idempotency key stands (`payments.conflicts`): the one that the card network took.

The network takes one request under a reference and refuses every other. So nothing is decided before it has one.
"""

from functions.network import card_network
from payments import books, clock, conflicts, events, lifecycle, regions
from payments.conflicts import Conflict, Resolution
from payments.lifecycle import Payment
from payments.observability import logger
from payments.queues import TryLater


def resolve(payment_id: str) -> Payment:
    """The payment that stands once the conflict under its id is resolved; may be repeated at any point.

    Where the network knows neither request, the one that stands is sent there first, and the conflict stays open: the
    sweeper asks again. Raises `TryLater`, or `ReplicationGap`, when not everything is here yet or the network's answer
    is unknown.
    """
    conflict, standing = _read(payment_id)
    if conflict.resolution and conflict.resolution.stands == standing.fingerprint:
        return standing
    accepted = _accepted(conflict)
    held = card_network.request_held(standing.network_ref) if len(accepted) > 1 else None
    if len(accepted) > 1 and held is None and standing.pending:
        events.publish(events.CHARGE_AUTHORIZED, events.charge_authorized(standing))
        return standing
    winner, why = _winner(conflict, accepted, standing, held)
    if len(accepted) > 1:
        stands = standing if standing.fingerprint == winner.fingerprint else winner
        told = events.payment_conflict(stands, conflict.other(winner), conflict.found_at)
        events.publish(events.PAYMENT_RESULT, told)  # before it is settled: what is resolved is not looked at again
    resolution = Resolution(winner.fingerprint, why, clock.now(), regions.here())
    settled = conflicts.settle(conflict, standing, resolution, books.journals(payment_id))
    if settled is None:
        raise TryLater("others have changed the payment, or resolved the conflict")
    logger.warning("conflict resolved", extra={"payment_id": payment_id, "why": why})
    if settled.pending:
        events.publish(events.CHARGE_AUTHORIZED, events.charge_authorized(settled))
    return settled


def _read(payment_id: str) -> tuple[Conflict, Payment]:
    conflict, standing = conflicts.find(payment_id), books.find(payment_id, consistent=True)
    if conflict is None or standing is None:
        raise TryLater("the conflict is not here yet")
    return conflict, standing


def _accepted(conflict: Conflict) -> list[Payment]:
    """The sides that were not blocked. Raises `TryLater` while the journal of one is not here."""
    accepted = [side for side in conflict.sides if side.status is not lifecycle.Status.FRAUD_BLOCKED]
    known = books.journal_ids(conflict.payment_id)
    if any(lifecycle.authorization_id(side.fingerprint) not in known for side in accepted):
        raise TryLater("an authorization is not here yet")
    return accepted


def _winner(conflict: Conflict, accepted: list[Payment], standing: Payment, held: str | None) -> tuple[Payment, str]:
    """Which side stands, and why; `held` is the request that the network has taken. Raises `TryLater`."""
    if len(accepted) == 1:
        return accepted[0], conflicts.ONLY_ACCEPTED
    winner = conflict.side(held or lifecycle.request_id(standing.fingerprint))
    if winner is None:
        raise TryLater("the card network has taken a request that nobody knows")
    return winner, conflicts.AT_NETWORK if held else conflicts.STANDING
