"""The authorization of one payment: ask the card network, decide the payment, tell the merchant."""

from datetime import datetime, timedelta

from functions.network import card_network, vault
from payments import books, clock, events, lifecycle
from payments.lifecycle import Authorization, Failure, Payment, Status
from payments.queues import TryLater

TOKEN_PATIENCE = timedelta(minutes=5)
"""How old a payment must be before a token that is not in the vault counts as gone: replication takes seconds."""

TOKEN_GONE = Failure("token_expired", "The card's token is no longer valid.")


def authorize(payment_id: str) -> Payment:
    """The payment after the card network's decision; may be repeated at any point.

    A repeat asks the network under the same reference, finds a decided payment as it is, and publishes the result
    again under the same event id. Raises `TryLater` when the payment has not been replicated here yet, or the
    network's answer is unknown; `card_network.OtherRequest` when it has taken another request under the same key.
    """
    payment = books.find(payment_id, consistent=True)
    if payment and payment.status is Status.FRAUD_BLOCKED:
        payment, _ = books.current(payment_id) or (None, [])  # did the other region accept it?
    if payment is None:
        raise TryLater("the payment is not here yet")
    if payment.pending:
        payment = _decide(payment)
    if payment.pending or payment.status is Status.FRAUD_BLOCKED:
        raise TryLater("the payment is not decided")  # a blocked one is none of ours: let it reach the dead letters
    events.publish(events.PAYMENT_RESULT, events.payment_result(payment))
    return payment


def _decide(payment: Payment) -> Payment:
    card = vault.detokenize(payment.card["token"], payment.payment_id, payment.merchant_id)
    answer = card_network.authorize(payment, card) if card else _without_token(payment)
    decided, journal = lifecycle.decide(payment, answer, clock.now())
    return books.step(payment, decided, journal)


def _without_token(payment: Payment) -> Authorization:
    """What becomes of a payment whose token the vault does not know here: perhaps it has not been replicated yet, and
    perhaps the other region has asked the network already."""
    known = card_network.status(payment)
    if known is None and clock.utc() - datetime.fromisoformat(payment.created_at) < TOKEN_PATIENCE:
        raise TryLater("the card's token is not here yet")
    return known or Authorization(TOKEN_GONE)
