"""The journals tell a payment's amounts and status, whatever became of the payment itself."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from payments import lifecycle, replay
from payments.fees import FeePlan
from payments.journal import Balance, Journal
from payments.lifecycle import AmountExceeded, Authorization, Failure, ImpossibleTransition, Payment, Status
from tests.unit.domain.samples import AT, approved, new_payment

FAILED = Failure("refund_declined", "No.")


def at(number):
    """The time of a step."""
    return f"2026-11-23T10:{number // 60:02d}:{number % 60:02d}.000Z"


class Life:
    """A payment, all the states it was in, and its journals; steps that are refused change nothing."""

    def __init__(self, payment, region="a"):
        self.states = [payment]
        self.journals: list[Journal] = [lifecycle.authorization_journal(payment)]
        self.region = region

    @property
    def payment(self) -> Payment:
        return self.states[-1]

    def fork(self, region):
        """The same life in another region, from here on."""
        other = Life(self.payment, region)
        other.states, other.journals = list(self.states), list(self.journals)
        return other

    def do(self, name, amount, flag):
        number = len(self.states)
        try:
            done = getattr(self, name)(f"{self.region}{number}", amount, flag, at(number))
        except (ImpossibleTransition, AmountExceeded):
            return
        after, journal = done if isinstance(done, tuple) else (done, None)
        self.states.append(after)
        if journal:
            self.journals.append(journal)

    def decide(self, name, amount, flag, when):
        return lifecycle.decide(self.payment, Authorization(FAILED if flag and amount % 3 == 0 else None), when)

    def capture(self, name, amount, flag, when):
        return lifecycle.capture(self.payment, f"cap_{name}", amount, flag, when)

    def void(self, name, amount, flag, when):
        return lifecycle.void(self.payment, f"vod_{name}", when)

    def refund(self, name, amount, flag, when):
        return lifecycle.refund(self.payment, f"ref_{name}", amount, when, "why" if flag else None)

    def end(self, name, amount, flag, when):
        """Of the outstanding operations one, chosen by the amount."""
        if not self.payment.outstanding:
            raise ImpossibleTransition(self.payment.status, "end")
        operation = self.payment.outstanding[amount % len(self.payment.outstanding)]
        if operation.kind == "refund":
            return lifecycle.end_refund(self.payment, operation.operation_id, FAILED if flag else None, when)
        if flag and operation.kind in ("capture", "void") and self._spare() >= operation.amount:
            return self._refused(operation, rest_only=bool(operation.released and amount % 2), when=when)
        return lifecycle.end_operation(self.payment, operation.operation_id, when)

    def _spare(self):
        """What of the captures nothing else rests on: only so much would the network refuse."""
        payment = self.payment
        disputed = payment.dispute.amount if payment.dispute and payment.dispute.status == "open" else 0
        return payment.refundable - disputed if payment.amount_captured else payment.amount

    def _refused(self, operation, rest_only, when):
        (made,) = (found for found in self.journals if found.journal_id == operation.operation_id)
        return lifecycle.refuse_operation(self.payment, made, FAILED, when, rest_only=rest_only)

    def open_dispute(self, name, amount, flag, when):
        return lifecycle.open_dispute(self.payment, f"dsp_{name}", None if flag else amount, when, "fraudulent")

    def end_dispute(self, name, amount, flag, when):
        return (lifecycle.win_dispute if flag else lifecycle.lose_dispute)(self.payment, when)


COMMANDS = ["decide", "capture", "void", "refund", "refund", "end", "end", "open_dispute", "end_dispute"]
steps = st.lists(st.tuples(st.sampled_from(COMMANDS), st.integers(1, 60), st.booleans()), max_size=25)
plans = st.builds(FeePlan, st.integers(0, 10_000), st.integers(0, 9), st.integers(0, 9))


@st.composite
def lives(draw):
    """Lives of small payments, most of them approved, so that limits are met."""
    life = Life(new_payment(amount=100, capture=draw(st.booleans()), fees=draw(plans)))
    life.do("decide", 1, draw(st.integers(0, 9)) == 0)
    for step in draw(steps):
        life.do(*step)
    return life


def balances(journals):
    """Every account's counters."""
    found: dict[str, Balance] = {}
    for journal in journals:
        for entry in journal.entries:
            found[entry.account] = found.get(entry.account, Balance()).after(entry)
    return found


def amounts(payment):
    """What the journals can tell of a payment."""
    return (
        payment.status,
        payment.amount_captured,
        payment.amount_released,
        payment.amount_refunded,
        payment.amount_charged_back,
        payment.dispute,
        payment.failure and payment.failure.code,
    )


@given(lives())
@settings(max_examples=400, deadline=None)
def test_the_journals_replay_to_the_payments_amounts(life):
    payment, told = life.payment, replay.replay(reversed(life.journals))

    assert (told.amount, told.captured, told.released, told.refunded, told.charged_back, told.dispute) == (
        payment.amount,
        payment.amount_captured,
        payment.amount_released,
        payment.amount_refunded,
        payment.amount_charged_back,
        payment.dispute,
    )
    assert told.declined == (payment.failure and payment.failure.code)
    assert told.sequence <= payment.sequence
    assert replay.mended(payment, life.journals, AT) is payment


@given(lives())
@settings(max_examples=400, deadline=None)
def test_limits_and_books_hold_after_every_step(life):
    for payment in life.states:
        assert 0 <= payment.amount_captured + payment.amount_released <= payment.amount
        assert payment.capturable >= 0
        disputed = payment.dispute.amount if payment.dispute and payment.dispute.status == "open" else 0
        assert 0 <= payment.amount_refunded + payment.amount_charged_back + disputed <= payment.amount_captured
        assert payment.status in (Status.PENDING, Status.REQUIRES_CAPTURE) or payment.status == lifecycle.status_of(
            payment
        )
    for count in range(1, len(life.journals) + 1):
        found = balances(life.journals[:count])
        assert sum(found.values(), Balance()).balanced
        assert all(min(balance.debits_pending, balance.credits_pending) >= 0 for balance in found.values())
    assert len({journal.journal_id for journal in life.journals}) == len(life.journals)


@given(lives())
@settings(max_examples=400, deadline=None)
def test_what_is_pending_in_the_books_is_what_the_payment_waits_for(life):
    payment, found = life.payment, balances(life.journals)
    refunds = sum(operation.amount for operation in payment.outstanding if operation.kind == "refund")
    disputed = payment.dispute.amount if payment.status is Status.DISPUTED else 0
    merchant = found[f"merchant:{payment.merchant_id}"]

    assert merchant.credits_pending == payment.capturable
    assert merchant.debits_pending == refunds + disputed


@given(lives(), st.data())
@settings(max_examples=400, deadline=None)
def test_whatever_update_was_lost_is_mended(life, data):
    lost = data.draw(st.sampled_from(life.states))
    payment, journals = life.payment, data.draw(st.permutations(life.journals))

    mended = replay.mended(lost, journals, AT)

    expected = amounts(payment)
    if payment.status is Status.REQUIRES_CAPTURE and lost.status is Status.PENDING:
        expected = (Status.PENDING, *expected[1:])  # the books do not know of an approval; the sweeper asks the network
    assert amounts(mended) == expected
    if mended is not lost:
        assert mended.sequence > max(lost.sequence, *(journal.sequence for journal in journals))
        assert mended.updated_at == AT
    assert {found for found in payment.outstanding if found.kind == "refund"} <= set(mended.outstanding)
    assert amounts(mended) == amounts(lost) or set(payment.outstanding) <= set(mended.outstanding)
    assert replay.mended(mended, journals, AT) is mended


@given(lives(), steps, steps)
@settings(max_examples=400, deadline=None)
def test_whichever_of_two_regions_copies_wins_mending_leads_to_the_same_amounts(life, ours, theirs):
    here, there = life.fork("a"), life.fork("b")
    for step in ours:
        here.do(*step)
    for step in theirs:
        there.do(*step)
    union = list({journal.journal_id: journal for journal in [*here.journals, *there.journals]}.values())

    first, second = (replay.mended(copy.payment, union, AT) for copy in (here, there))

    assert amounts(first) == amounts(second) or Status.PENDING in (first.status, second.status)
    told = replay.replay(union)
    assert (first.amount_captured, first.amount_refunded) == (told.captured, told.refunded)


def test_a_payment_that_one_region_blocked_and_the_other_accepted_is_accepted():
    accepted = new_payment()
    blocked = replace(accepted, status=Status.FRAUD_BLOCKED, failure=Failure("fraud_blocked", "No."))
    captured, capture = lifecycle.decide(accepted, Authorization(), AT)
    declined, void = lifecycle.decide(accepted, Authorization(FAILED), AT)
    first = lifecycle.authorization_journal(accepted)

    waiting, charged, failed = (replay.mended(blocked, [first, *rest], AT) for rest in ([], [capture], [void]))

    assert (waiting.status, waiting.failure, waiting.sequence) == (Status.PENDING, None, 2)
    assert (amounts(charged), charged.failure) == (amounts(captured), None)
    assert (amounts(failed), failed.failure.code) == (amounts(declined), FAILED.code)
    assert replay.ahead(blocked, [first]) is None


def test_a_blocked_payment_without_journals_stays_blocked():
    blocked = new_payment(status=Status.FRAUD_BLOCKED)

    assert replay.mended(blocked, [], AT) is blocked
    assert replay.ahead(blocked, []) is None


def test_a_blocked_payment_whose_first_journal_is_on_its_way_is_not_judged():
    _, capture = lifecycle.decide(new_payment(), Authorization(), AT)

    assert replay.ahead(new_payment(status=Status.FRAUD_BLOCKED), [capture])


def test_without_its_first_journal_nothing_is_concluded():
    payment = approved()

    assert replay.mended(payment, [], AT) is payment


def test_a_refund_that_lost_its_place_to_one_that_failed_is_told_again():
    """The amounts agree: one refund of 5.00 in the payment, and one in the books. But they are not the same."""
    refunding, first = lifecycle.refund(approved(), "ref_1", 500, AT)
    after, failed = lifecycle.end_refund(refunding, "ref_1", FAILED, AT)
    again, second = lifecycle.refund(after, "ref_2", 500, AT)
    journals = [lifecycle.authorization_journal(new_payment()), lifecycle.decide(new_payment(), Authorization(), AT)[1]]

    mended = replay.mended(replace(refunding, sequence=9), [*journals, first, failed, second], AT)

    assert again.outstanding[0] in mended.outstanding
    assert refunding.outstanding[0] not in mended.outstanding


def test_the_end_of_one_dispute_does_not_end_another_regions():
    payment = approved()
    here, opened_here = lifecycle.open_dispute(payment, "dsp_a", 1000, AT)
    there, opened_there = lifecycle.open_dispute(payment, "dsp_b", 2000, AT)
    lost, ended_here = lifecycle.lose_dispute(here, AT)
    journals = [lifecycle.authorization_journal(new_payment()), lifecycle.decide(new_payment(), Authorization(), AT)[1]]

    mended = [replay.mended(copy, [*journals, opened_there, opened_here, ended_here], AT) for copy in (lost, there)]

    for payment in mended:
        assert (payment.status, payment.dispute, payment.amount_charged_back) == (Status.DISPUTED, there.dispute, 1000)
    assert lifecycle.lose_dispute(mended[0], AT)[0].amount_charged_back == 3000


class TestTwoRequestsUnderOneKey:
    """Both reserved an amount; the one that does not stand is withdrawn."""

    @given(amount=st.integers(1, 10**6), other_amount=st.integers(1, 10**6), capture=st.booleans())
    def test_once_one_is_withdrawn_the_other_is_what_its_journals_say(self, amount, other_amount, capture):
        payment = new_payment(amount=amount, capture=capture)
        other = new_payment(amount=other_amount, fingerprint="e" * 64, customer_id="cus_2")
        decided, journal = lifecycle.decide(payment, Authorization(), AT)
        both = [lifecycle.authorization_journal(payment), lifecycle.authorization_journal(other)]
        known = [*both, lifecycle.withdrawal_journal(other, AT), *([journal] if journal else [])]

        assert replay.ahead(decided, known) is None
        assert replay.mended(decided, known, AT) is decided
        assert replay.replay(known).amount == amount
        balances: dict[str, Balance] = {}
        for entry in (entry for one in known for entry in one.entries):
            balances[entry.account] = balances.get(entry.account, Balance()).after(entry)
        assert balances["customer:" + payment.merchant_id + ":cus_2"] == Balance()

    @given(amount=st.integers(1, 10**6), other_amount=st.integers(1, 10**6))
    def test_until_then_neither_can_go_on(self, amount, other_amount):
        payment, other = new_payment(amount=amount), new_payment(amount=other_amount, fingerprint="e" * 64)
        both = [lifecycle.authorization_journal(payment), lifecycle.authorization_journal(other)]

        assert replay.ahead(payment, both)
        assert replay.ahead(other, both)

    def test_a_block_of_another_request_is_not_accepted_though_the_amounts_are_equal(self):
        blocked = replace(new_payment(fingerprint="e" * 64), status=Status.FRAUD_BLOCKED)

        assert replay.ahead(blocked, [lifecycle.authorization_journal(new_payment())])


def authorized(amount=4200, capture=False):
    """An approved authorization and its journals."""
    payment = approved(amount=amount, capture=capture)
    return payment, [lifecycle.authorization_journal(payment)]


@given(lives(), st.data())
@settings(max_examples=300, deadline=None)
def test_a_payment_that_has_not_heard_of_a_refusal_is_behind_and_never_ahead(life, data):
    """Whatever older copy of the payment stands beside all the journals, it can be mended."""
    lost = data.draw(st.sampled_from(life.states))

    assert replay.ahead(lost, life.journals) is None


@given(lives())
@settings(max_examples=300, deadline=None)
def test_a_refusal_that_arrived_before_what_it_takes_back_is_not_judged(life):
    refused = {found.reverses for found in life.journals if found.reverses}
    missing = [found for found in life.journals if found.journal_id not in refused]

    assert not refused or all(replay.ahead(state, missing) for state in life.states)


def test_a_void_and_a_capture_in_two_regions_come_to_what_the_network_took():
    """Each region did its own; the network took the capture. Whichever copy of the payment wins, both say the same."""
    payment, first = authorized()
    voided, void = lifecycle.void(payment, "vod_1", AT)
    captured, capture = lifecycle.capture(payment, "cap_1", None, False, AT)
    both = [*first, void, capture]

    for winner in (voided, captured):
        merged = replay.mended(winner, both, AT)
        assert (merged.amount_captured, merged.amount_released, merged.capturable) == (4200, 4200, 0)
        after, refusal = lifecycle.refuse_operation(merged, void, FAILED, AT)
        assert (after.status, after.amount_captured, after.amount_released) == (Status.SUCCEEDED, 4200, 0)
        assert [found.operation_id for found in after.outstanding] == ["cap_1"]
        assert replay.mended(after, [*both, refusal], AT) is after
        assert amounts(replay.mended(winner, [*both, refusal], AT)) == amounts(after)
        after, refusal = lifecycle.refuse_operation(merged, capture, FAILED, AT)
        assert (after.status, after.amount_captured, after.amount_released) == (Status.CANCELED, 0, 4200)
        assert replay.mended(after, [*both, refusal], AT) is after
