"""What every step of a payment's life means to settlement, and that facts add up to the clearing accounts."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payments import accounts, identifiers, lifecycle, projection, records, transfers
from payments.fees import FeePlan
from payments.journal import Entry, Kind, Phase, Side, reversal, transfer
from payments.lifecycle import Authorization, Failure
from payments.records import StoredJournal
from payments.settlement import Fact, FactKind, facts
from tests.unit.domain.samples import AT, AUTHORIZATION, DECLINED, MERCHANT, approved, new_payment
from tests.unit.domain.test_replay import lives

PLAN = FeePlan(290, 30, 1500)


def stored(journal):
    return StoredJournal.of(records.journal_record(journal, "us-east-1"))


def told(journal):
    """Of each fact what differs between steps."""
    return [
        (fact.kind, fact.movement, fact.network, fact.currency, fact.amount, fact.fee)
        for fact in facts(stored(journal))
    ]


class TestTheLifeOfAPayment:
    def test_a_charge_reserves_its_amount(self):
        payment = new_payment(fees=PLAN)
        journal = lifecycle.authorization_journal(payment)

        assert facts(stored(journal)) == [
            Fact(
                network_ref=payment.network_ref,
                payment_id=payment.payment_id,
                merchant_id=MERCHANT,
                shard=payment.shard,
                journal_id=AUTHORIZATION,
                kind=FactKind.AUTHORIZATION,
                movement="",
                network=None,
                currency="USD",
                amount=4200,
                fee=0,
                at=payment.created_at,
            )
        ]

    def test_a_capture_at_once_is_owed_by_the_network_and_has_no_operation(self):
        after, journal = lifecycle.decide(new_payment(fees=PLAN), Authorization(), AT)

        (fact,) = facts(stored(journal))
        assert (fact.kind, fact.movement, fact.network, fact.amount) == ("capture", "", "visa", 4200)
        assert (fact.fee, fact.at, fact.network_ref) == (152, AT, after.network_ref)

    def test_a_decline_releases(self):
        _, journal = lifecycle.decide(new_payment(), Authorization(DECLINED), AT)
        assert told(journal) == [("release", "", None, "USD", 4200, 0)]

    def test_a_partial_capture_is_owed_under_its_operation(self):
        _, journal = lifecycle.capture(approved(capture=False, fees=PLAN), "cap_1", 1000, False, AT)
        assert told(journal) == [("capture", "cap_1", "visa", "USD", 1000, 59)]

    def test_a_final_capture_releases_the_rest_and_charges_its_fee_once(self):
        _, journal = lifecycle.capture(approved(capture=False, fees=PLAN), "cap_1", 1000, True, AT)
        assert told(journal) == [
            ("capture", "cap_1", "visa", "USD", 1000, 59),
            ("release", "", None, "USD", 3200, 0),
        ]

    def test_a_capture_that_the_network_refused_is_owed_no_more_and_reserves_its_amount_again(self):
        captured, journal = lifecycle.capture(approved(capture=False, fees=PLAN), "cap_1", 1000, True, AT)
        _, refusal = lifecycle.refuse_operation(captured, journal, DECLINED, AT)
        assert told(refusal) == [
            ("authorization", "", None, "USD", 4200, -59),
            ("failed_capture", "cap_1", "visa", "USD", 1000, 0),
        ]

    def test_a_rest_that_could_not_be_released_is_reserved_again(self):
        captured, journal = lifecycle.capture(approved(capture=False), "cap_1", 1000, True, AT)
        _, refusal = lifecycle.refuse_operation(captured, journal, DECLINED, AT, rest_only=True)
        assert told(refusal) == [("authorization", "", None, "USD", 3200, 0)]

    def test_a_void_that_the_network_refused_reserves_again(self):
        voided, journal = lifecycle.void(approved(capture=False), "vod_1", AT)
        _, refusal = lifecycle.refuse_operation(voided, journal, DECLINED, AT)
        assert told(refusal) == [("authorization", "", None, "USD", 4200, 0)]

    def test_a_void_releases(self):
        _, journal = lifecycle.void(approved(capture=False), "vod_1", AT)
        assert told(journal) == [("release", "", None, "USD", 4200, 0)]

    def test_a_refund_is_owed_to_the_network_once_it_has_taken_it(self):
        payment, asked = lifecycle.refund(approved(), "ref_1", 700, AT)
        _, ended = lifecycle.end_refund(payment, "ref_1", None, AT)

        assert told(asked) == []
        assert told(ended) == [("refund", "ref_1", "visa", "USD", 700, 0)]

    def test_a_refund_that_failed_is_nothing(self):
        payment, _ = lifecycle.refund(approved(), "ref_1", 700, AT)
        _, ended = lifecycle.end_refund(payment, "ref_1", Failure("refund_declined", "No."), AT)
        assert told(ended) == []

    def test_a_dispute_is_taken_by_the_network_and_its_fee_by_us(self):
        _, journal = lifecycle.open_dispute(approved(fees=PLAN), "dsp_1", 900, AT)
        assert told(journal) == [("chargeback", "dsp_1", "visa", "USD", 900, 1500)]

    def test_a_dispute_that_is_won_is_given_back(self):
        disputed, _ = lifecycle.open_dispute(approved(), "dsp_1", 900, AT)
        _, journal = lifecycle.win_dispute(disputed, AT)
        assert told(journal) == [("representment", "dsp_1", "visa", "USD", 900, 0)]

    def test_a_dispute_that_is_lost_is_nothing_more(self):
        disputed, _ = lifecycle.open_dispute(approved(), "dsp_1", 900, AT)
        _, journal = lifecycle.lose_dispute(disputed, AT)
        assert told(journal) == []


class TestOtherJournals:
    def test_a_settlement_credits_and_debits_by_the_same_names(self):
        settled = transfers.Settled(captured=5000, returned=700, fees=90, written_off=1)
        journal = transfers.settlement(17, "run#3", "visa", "USD", settled, AT)

        assert told(journal) == [
            ("settlement", "", "visa", "USD", 5000, 0),
            ("unsettlement", "", "visa", "USD", 700, 0),
        ]
        fact = facts(stored(journal))[0]
        assert (fact.network_ref, fact.merchant_id, fact.shard) == ("", None, 17)

    def test_a_settlement_that_is_reversed_is_undone(self):
        settled = transfers.Settled(captured=5000, returned=700, fees=90, written_off=0)
        journal = transfers.settlement(17, "run#3", "visa", "USD", settled, AT)
        undone = {fact.kind: fact.amount for fact in facts(stored(reversal(journal, AT, "wrong file")))}
        assert undone == {"unsettlement": 5000, "settlement": 700}

    @pytest.mark.parametrize(
        "journal",
        [
            transfers.payout(MERCHANT, "r", 100, "USD", AT),
            transfers.fee(MERCHANT, "r", 100, "USD", AT),
            transfers.adjustment(MERCHANT, "r", -100, "USD", AT),
        ],
        ids=["payout", "fee", "adjustment"],
    )
    def test_what_concerns_no_network_is_nothing(self, journal):
        assert told(journal) == []

    def test_a_capture_that_is_no_payments_is_a_settlement_of_nobody(self):
        entries = transfer(accounts.network("jcb"), accounts.customer(MERCHANT, None), 5, "JPY")
        payout = transfers.payout(MERCHANT, "r", 100, "USD", AT)
        assert told(replace(payout, kind=Kind.CAPTURE, entries=entries)) == [("unsettlement", "", "jcb", "JPY", 5, 0)]


some_accounts = st.sampled_from(
    [
        "network:visa",
        "network:amex",
        "customer:mer_a:cus_1",
        "customer:",
        "merchant:",
        "merchant:mer_b",
        "disputes:mer_c",
        accounts.BANK,
        accounts.FEES,
    ]
)
entries = st.builds(
    Entry,
    some_accounts,
    st.sampled_from(Side),
    st.sampled_from(Phase),
    st.integers(-(10**17), 10**17),
    st.sampled_from(["USD", "JPY"]),
)
ids = st.sampled_from([identifiers.payment_id(MERCHANT, "k"), identifiers.transfer_id("out", MERCHANT, "r")])


@st.composite
def wrong_journals(draw):
    """Whatever the projector counts: unbalanced, of kinds there are none of, at times there are none of."""
    return StoredJournal.of(
        {
            "payment_id": draw(ids),
            "journal_id": draw(st.sampled_from(["", "capture", "#", "ref_1#succeeded", "x" * 200])),
            "kind": draw(st.sampled_from([*map(str, Kind), "", 7, None, ["capture"], {}])),
            "created_at": draw(st.sampled_from([AT, "9999-99-99T99:99:99.999Z"])),
            "region": "us-east-1",
            "sequence": 1,
            "entries": [
                {**{name: getattr(entry, name) for name in ("account", "side", "phase", "amount", "currency")}}
                for entry in draw(st.lists(entries, max_size=records.MOST_ENTRIES))
            ],
        }
    )


def on_clearing(journals):
    """What the journals add to each clearing account, as the balances have it."""
    found = Counter()
    for (account, period), counters in projection.sums(journals).items():
        for name in accounts.NETWORKS if account.startswith("shard:") else ():
            added = projection.balance(counters, accounts.network(name)).debit
            found[name, period[:3]] += added
    return {key: total for key, total in found.items() if total}


def told_by_facts(journals):
    found = Counter()
    for fact in (fact for journal in journals for fact in facts(journal)):
        if fact.network:
            found[fact.network, fact.currency] += fact.kind.sign * fact.amount
        else:
            assert fact.kind.sign == 0
    return {key: total for key, total in found.items() if total}


def all_is_well(journals):
    assert told_by_facts(journals) == on_clearing(journals)
    for journal in journals:
        found = facts(journal)
        assert all(0 < fact.amount < 2**63 for fact in found)
        assert len({(fact.kind, fact.network, fact.currency) for fact in found}) == len(found), "a name names one"


@settings(max_examples=200, deadline=None)
@given(lives())
def test_facts_of_a_life_add_up_to_the_clearing_account(life):
    all_is_well([stored(journal) for journal in life.journals])
    assert {fact.network_ref for journal in life.journals for fact in facts(stored(journal))} == {
        life.payment.network_ref
    }


@settings(max_examples=200, deadline=None)
@given(st.lists(wrong_journals(), max_size=5))
def test_facts_of_any_journals_add_up_to_the_clearing_accounts(journals):
    all_is_well(journals)


@settings(max_examples=200, deadline=None)
@given(lives())
def test_what_is_authorized_and_neither_captured_nor_released_is_still_reserved(life):
    found = Counter()
    for fact in (fact for journal in life.journals for fact in facts(stored(journal))):
        found[fact.kind] += fact.amount
    assert found["authorization"] - found["capture"] - found["release"] == life.payment.capturable
