"""A payment's states follow each other only as they may, each step with its journal."""

import pytest

from payments.journal import Phase
from payments.lifecycle import (
    FOLLOWING,
    Authorization,
    Failure,
    ImpossibleTransition,
    Payment,
    Status,
    authorization_journal,
    decide,
)

AT = "2026-11-23T10:00:01.000Z"


def payment(**changes):
    values = {
        "payment_id": "pay_x",
        "merchant_id": "mer_a",
        "shard": 1,
        "fingerprint": "f",
        "attempt": "att_1",
        "region": "us-east-1",
        "status": Status.PENDING,
        "amount": 4200,
        "currency": "USD",
        "capture": True,
        "network_ref": "net_x",
        "card": {},
        "fraud": {},
        "created_at": "2026-11-23T10:00:00.000Z",
        "updated_at": "2026-11-23T10:00:00.000Z",
    }
    return Payment(**{**values, **changes})


def phases(journal):
    return {entry.phase for entry in journal.entries}


def test_an_accepted_charge_is_pending_in_the_books():
    journal = authorization_journal(payment())

    assert (journal.journal_id, phases(journal)) == ("authorization", {Phase.PENDING})


def test_an_approved_charge_succeeds_and_posts_its_amount():
    after, journal = decide(payment(), Authorization(), AT)

    assert (after.status, after.sequence, after.updated_at) == (Status.SUCCEEDED, 2, AT)
    assert (journal.journal_id, phases(journal)) == ("capture", {Phase.POSTED})


def test_a_declined_charge_fails_and_voids_its_amount():
    declined = Failure("card_declined", "The card was declined.")

    after, journal = decide(payment(), Authorization(declined), AT)

    assert (after.status, after.failure) == (Status.FAILED, declined)
    assert (journal.journal_id, phases(journal)) == ("void", {Phase.VOIDED})


def test_an_approved_charge_without_capture_keeps_its_amount_pending():
    after, journal = decide(payment(capture=False), Authorization(), AT)

    assert after.status is Status.REQUIRES_CAPTURE
    assert journal is None


@pytest.mark.parametrize("status", [status for status in Status if status != Status.PENDING])
@pytest.mark.parametrize("answer", [Authorization(), Authorization(Failure("c", "m"))])
def test_only_a_pending_payment_can_be_decided(status, answer):
    with pytest.raises(ImpossibleTransition):
        decide(payment(status=status), answer, AT)


def test_every_state_says_what_may_follow_it():
    assert set(FOLLOWING) == set(Status)
