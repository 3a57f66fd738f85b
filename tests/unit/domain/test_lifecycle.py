"""The life of a payment: every state and every command, and amounts at and beyond their limits."""

import pytest

from payments import lifecycle
from payments.fees import FeePlan
from payments.journal import Kind, Phase, UnbalancedJournal
from payments.lifecycle import (
    ALLOWED,
    AmountExceeded,
    Authorization,
    Command,
    Failure,
    ImpossibleTransition,
    Operation,
    Status,
)
from tests.unit.domain.samples import AT, AUTHORIZATION, DECLINED, approved, new_payment, reach

LATER = "2026-11-24T08:00:00.000Z"

COMMANDS = {
    Command.DECIDE: lambda payment: lifecycle.decide(payment, Authorization(), LATER),
    Command.CAPTURE: lambda payment: lifecycle.capture(payment, "cap_2", None, False, LATER),
    Command.VOID: lambda payment: lifecycle.void(payment, "vod_2", LATER),
    Command.REFUND: lambda payment: lifecycle.refund(payment, "ref_2", None, LATER),
    Command.OPEN_DISPUTE: lambda payment: lifecycle.open_dispute(payment, "dsp_2", None, LATER),
    Command.WIN_DISPUTE: lambda payment: lifecycle.win_dispute(payment, LATER),
    Command.LOSE_DISPUTE: lambda payment: lifecycle.lose_dispute(payment, LATER),
}
"""Each command, for all that there is of the amount."""

TABLE = """
                    decide     capture    void      refund              open_dispute  win_dispute  lose_dispute
pending             succeeded  -          -         -                   -             -            -
fraud_blocked       -          -          -         -                   -             -            -
requires_capture    -          succeeded  canceled  -                   -             -            -
partially_captured  -          succeeded  succeeded partially_captured  disputed      -            -
canceled            -          -          -         -                   -             -            -
succeeded           -          -          -         refunded            disputed      -            -
partially_refunded  -          -          -         refunded            disputed      -            -
refunded            -          -          -         -                   -             -            -
disputed            -          -          -         -                   -             succeeded    charged_back
charged_back        -          -          -         -                   -             -            -
failed              -          -          -         -                   -             -            -
"""
"""Which state each command leads to; - where it is refused."""


def pairs():
    """The table's cells."""
    header, *lines = TABLE.strip("\n").splitlines()
    for line in lines:
        status, *cells = line.split()
        for command, cell in zip(header.split(), cells, strict=True):
            yield Status(status), Command(command), None if cell == "-" else Status(cell)


def test_the_table_has_every_state_and_every_command():
    assert {(status, command) for status, command, _ in pairs()} == {(s, c) for s in Status for c in Command}
    assert set(COMMANDS) == set(ALLOWED) == set(Command)


@pytest.mark.parametrize(("status", "command", "expected"), list(pairs()))
def test_a_command_leads_to_its_state_or_is_refused(status, command, expected):
    payment = reach(status)
    assert payment.status is status

    if expected is None:
        with pytest.raises(ImpossibleTransition) as refused:
            COMMANDS[command](payment)
        assert (refused.value.status, refused.value.command) == (status, command)
    else:
        after, journal = COMMANDS[command](payment)
        assert after.status is expected
        assert (after.sequence, after.updated_at) == (payment.sequence + 1, LATER)
        assert (journal.sequence, journal.created_at) == (after.sequence, LATER)
        assert journal.payment_id == payment.payment_id


@pytest.mark.parametrize("status", list(Status))
def test_an_operation_that_is_not_outstanding_cannot_end_in_any_state(status):
    with pytest.raises(ImpossibleTransition):
        lifecycle.end_refund(reach(status), "ref_9", None, LATER)
    with pytest.raises(ImpossibleTransition):
        lifecycle.end_operation(reach(status), "cap_9", LATER)


class TestDecision:
    def test_an_accepted_charge_is_pending_in_the_books(self):
        journal = lifecycle.authorization_journal(new_payment())

        assert (journal.journal_id, journal.kind, journal.sequence) == (AUTHORIZATION, Kind.CHARGE, 1)
        assert {entry.phase for entry in journal.entries} == {Phase.PENDING}

    def test_a_declined_charge_fails_for_the_networks_reason_and_releases_its_amount(self):
        after, journal = lifecycle.decide(new_payment(), Authorization(DECLINED), AT)

        assert (after.status, after.failure, after.amount_released) == (Status.FAILED, DECLINED, 4200)
        assert (journal.journal_id, journal.kind, journal.reason) == ("void", Kind.VOID, "card_declined")
        assert {entry.phase for entry in journal.entries} == {Phase.VOID_PENDING}

    def test_an_approved_charge_that_waits_for_its_capture_has_no_further_journal(self):
        after, journal = lifecycle.decide(new_payment(capture=False), Authorization(), AT)

        assert (after.status, after.capturable, journal) == (Status.REQUIRES_CAPTURE, 4200, None)

    def test_a_declined_authorization_fails_too(self):
        after, journal = lifecycle.decide(new_payment(capture=False), Authorization(DECLINED), AT)

        assert (after.status, journal.journal_id) == (Status.FAILED, "void")

    def test_the_sequence_after_the_decision_is_the_constant_that_others_rely_on(self):
        assert approved().sequence == approved(capture=False).sequence == lifecycle.DECIDED_SEQUENCE


AMOUNTS = {
    "capture": (lambda amount: lifecycle.capture(approved(capture=False), "cap_1", amount, False, AT), 4200),
    "the rest of a capture": (
        lambda amount: lifecycle.capture(reach(Status.PARTIALLY_CAPTURED), "cap_2", amount, False, AT),
        3200,
    ),
    "refund": (lambda amount: lifecycle.refund(approved(), "ref_1", amount, AT), 4200),
    "the rest of a refund": (
        lambda amount: lifecycle.refund(reach(Status.PARTIALLY_REFUNDED), "ref_2", amount, AT),
        3200,
    ),
    "refund of a part captured": (
        lambda amount: lifecycle.refund(reach(Status.PARTIALLY_CAPTURED), "ref_1", amount, AT),
        1000,
    ),
    "dispute": (lambda amount: lifecycle.open_dispute(approved(), "dsp_1", amount, AT), 4200),
    "dispute of what is not refunded": (
        lambda amount: lifecycle.open_dispute(reach(Status.PARTIALLY_REFUNDED), "dsp_1", amount, AT),
        3200,
    ),
}


@pytest.mark.parametrize("name", list(AMOUNTS))
class TestAmounts:
    def test_all_there_is_may_be_taken_and_is_what_none_means(self, name):
        command, limit = AMOUNTS[name]

        assert command(limit) == command(None)

    def test_one_unit_may_be_taken(self, name):
        command, _ = AMOUNTS[name]

        assert command(1)[1].entries[0].amount == 1

    @pytest.mark.parametrize("beyond", [1, 10**12])
    def test_never_a_cent_more(self, name, beyond):
        command, limit = AMOUNTS[name]

        with pytest.raises(AmountExceeded) as refused:
            command(limit + beyond)
        assert refused.value.available == limit

    @pytest.mark.parametrize("amount", [0, -1, -4200])
    def test_nothing_and_less_than_nothing_are_no_amounts(self, name, amount):
        with pytest.raises(AmountExceeded):
            AMOUNTS[name][0](amount)

    @pytest.mark.parametrize("amount", [1.5, 100.0, True])
    def test_what_is_no_integer_never_gets_into_a_journal(self, name, amount):
        with pytest.raises(UnbalancedJournal):
            AMOUNTS[name][0](amount)


def test_what_is_refunded_whole_has_nothing_left_even_where_more_may_be_captured():
    payment = lifecycle.refund(reach(Status.PARTIALLY_CAPTURED), "ref_1", None, AT)[0]

    with pytest.raises(AmountExceeded) as refused:
        lifecycle.refund(payment, "ref_2", None, AT)
    assert refused.value.available == 0


class TestCaptures:
    def test_several_captures_up_to_the_amount_and_then_none(self):
        payment = approved(capture=False)
        for number, amount in enumerate((1000, 3000, 200)):
            payment, _ = lifecycle.capture(payment, f"cap_{number}", amount, False, AT)

        assert (payment.status, payment.amount_captured, payment.capturable) == (Status.SUCCEEDED, 4200, 0)
        with pytest.raises(ImpossibleTransition):
            lifecycle.capture(payment, "cap_9", 1, False, AT)

    def test_a_final_capture_releases_the_rest_in_the_same_journal(self):
        payment, journal = lifecycle.capture(approved(capture=False), "cap_1", 1000, True, AT)

        assert (payment.status, payment.amount_captured, payment.amount_released) == (Status.SUCCEEDED, 1000, 3200)
        released = [entry.amount for entry in journal.entries if entry.phase is Phase.VOID_PENDING]
        assert released == [3200, 3200]

    def test_the_network_is_to_hear_of_a_capture_and_then_it_is_over(self):
        payment, _ = lifecycle.capture(approved(capture=False), "cap_1", 1000, False, AT)
        assert payment.outstanding == (Operation("cap_1", "capture", 1000),)

        ended = lifecycle.end_operation(payment, "cap_1", LATER)

        assert (ended.outstanding, ended.status, ended.sequence) == ((), payment.status, payment.sequence + 1)

    def test_voiding_the_rest_of_a_part_capture_keeps_what_was_captured(self):
        payment, journal = lifecycle.void(reach(Status.PARTIALLY_CAPTURED), "vod_1", AT, lifecycle.EXPIRED)

        assert (payment.status, payment.amount_captured, payment.amount_released) == (Status.SUCCEEDED, 1000, 3200)
        assert journal.reason == "authorization_expired"


class TestRefunds:
    def test_a_refund_that_the_network_declines_can_be_asked_for_again(self):
        refunding, _ = lifecycle.refund(approved(), "ref_1", None, AT)

        after, journal = lifecycle.end_refund(refunding, "ref_1", Failure("refund_declined", "No."), LATER)

        assert (after.status, after.refundable, after.outstanding) == (Status.SUCCEEDED, 4200, ())
        assert (journal.journal_id, journal.reason) == ("ref_1#failed", "refund_declined")
        assert lifecycle.refund(after, "ref_2", 4200, LATER)[0].status is Status.REFUNDED

    def test_a_refund_ends_once(self):
        refunding, _ = lifecycle.refund(approved(), "ref_1", 100, AT)
        ended, journal = lifecycle.end_refund(refunding, "ref_1", None, LATER)

        assert journal.journal_id == "ref_1#succeeded"
        for failure in (None, DECLINED):
            with pytest.raises(ImpossibleTransition):
                lifecycle.end_refund(ended, "ref_1", failure, LATER)

    def test_of_two_refunds_each_ends_as_its_own(self):
        payment, _ = lifecycle.refund(approved(), "ref_1", 100, AT)
        payment, _ = lifecycle.refund(payment, "ref_2", 200, AT)
        payment, _ = lifecycle.end_refund(payment, "ref_1", DECLINED, LATER)
        payment, _ = lifecycle.end_refund(payment, "ref_2", None, LATER)

        assert (payment.amount_refunded, payment.outstanding) == (200, ())

    def test_what_the_network_says_of_a_refund_is_heard_during_a_dispute(self):
        payment, _ = lifecycle.refund(approved(), "ref_1", 100, AT)
        payment, _ = lifecycle.open_dispute(payment, "dsp_1", None, AT)

        after, _ = lifecycle.end_refund(payment, "ref_1", None, LATER)

        assert (after.status, after.dispute.amount) == (Status.DISPUTED, 4100)


class TestDisputes:
    def test_a_dispute_may_be_won_and_another_one_opened(self):
        won, _ = lifecycle.win_dispute(reach(Status.DISPUTED), AT)
        again, _ = lifecycle.open_dispute(won, "dsp_2", 100, AT, "fraudulent")

        assert (again.status, again.dispute.dispute_id, again.dispute.reason) == (
            Status.DISPUTED,
            "dsp_2",
            "fraudulent",
        )

    def test_the_end_of_a_dispute_is_a_journal_of_its_own(self):
        ends = [end(reach(Status.DISPUTED), AT)[1] for end in (lifecycle.win_dispute, lifecycle.lose_dispute)]

        assert [(end.journal_id, end.kind) for end in ends] == [
            ("dsp_1#won", Kind.REPRESENTMENT),
            ("dsp_1#lost", Kind.CHARGEBACK),
        ]

    def test_a_part_captured_payment_can_be_captured_further_once_its_dispute_is_over(self):
        disputed, _ = lifecycle.open_dispute(reach(Status.PARTIALLY_CAPTURED), "dsp_1", None, AT)
        with pytest.raises(ImpossibleTransition):
            lifecycle.capture(disputed, "cap_2", None, False, AT)

        for end in (lifecycle.win_dispute, lifecycle.lose_dispute):
            assert end(disputed, AT)[0].status is Status.PARTIALLY_CAPTURED

    def test_a_dispute_costs_its_fee_whoever_wins(self):
        payment = approved(fees=FeePlan(dispute=1500))
        disputed, opened = lifecycle.open_dispute(payment, "dsp_1", None, AT)
        _, won = lifecycle.win_dispute(disputed, AT)

        fees = [entry.amount for entry in (*opened.entries, *won.entries) if entry.account == "fees:platform"]
        assert fees == [1500]
