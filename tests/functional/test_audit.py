"""The full balance check: what it must find, what it must mend, and what it must leave alone."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from functions.sweeper import agreement, app, tally
from payments import books, clock, identifiers, lifecycle, projection, records, transfers
from payments.clients import client
from payments.lifecycle import Authorization, Failure, Payment, Status
from payments.records import journal_record
from payments.tables import JournalItem, PaymentItem
from tests.functional.samples import AUTHORIZATION, CARD_FACTS, MERCHANT

NOW = datetime.now(UTC)
LONG_AGO = clock.timestamp(NOW - timedelta(days=3))
SHARD = identifiers.merchant_shard(MERCHANT)


@pytest.fixture(autouse=True)
def _written_here(tables):
    """This region writes for the merchant's shard."""
    primary("us-east-1")


def primary(region):
    item = {"shard": {"N": str(SHARD)}, "primary": {"S": region}}
    client("dynamodb").put_item(TableName="shards", Item=item)


class Context:
    """A function that has this much time left, whenever it asks."""

    def __init__(self, remaining_ms=600_000):
        self.remaining_ms = remaining_ms

    def get_remaining_time_in_millis(self):
        return self.remaining_ms


def ago(**span):
    return clock.timestamp(datetime.now(UTC) - timedelta(**span))


def new_payment(key="key-1", at=LONG_AGO, **changes):
    payment_id = identifiers.payment_id(MERCHANT, key)
    values = {
        "payment_id": payment_id,
        "merchant_id": MERCHANT,
        "shard": SHARD,
        "fingerprint": "f" * 64,
        "attempt": "att_1",
        "region": "us-east-1",
        "status": Status.PENDING,
        "amount": 4200,
        "currency": "USD",
        "capture": True,
        "network_ref": identifiers.network_reference(payment_id),
        "card": CARD_FACTS,
        "fraud": {},
        "created_at": at,
        "updated_at": at,
        "metadata": {},
    }
    return Payment(**{**values, **changes})


def save(payment, *journals):
    """Writes a payment and journals as they are, whatever they say."""
    for journal in journals:
        JournalItem(**journal_record(journal, "us-east-1")).save()
    PaymentItem(**records.payment_record(payment)).save()


def captured(key="key-1", at=LONG_AGO, **changes):
    """A payment that was captured, with its journals; not written."""
    payment = new_payment(key, at, **changes)
    after, journal = lifecycle.decide(payment, Authorization(), at)
    return after, [lifecycle.authorization_journal(payment), journal]


def project(journals):
    """What the projector makes of the journals."""
    for (account, period), counters in projection.sums(journals).items():
        client("dynamodb").put_item(
            TableName="balances",
            Item={
                "account": {"S": account},
                "period": {"S": period},
                **{name: {"N": str(value)} for name, value in counters.items()},
            },
        )


def put_raw(payment_id, journal_id, **attributes):
    client("dynamodb").put_item(
        TableName="ledger",
        Item={"payment_id": {"S": payment_id}, "journal_id": {"S": journal_id}, **attributes},
    )


def change_amount(payment_id, journal_id, amount):
    """Somebody changes the first entry's amount in the store."""
    client("dynamodb").update_item(
        TableName="ledger",
        Key={"payment_id": {"S": payment_id}, "journal_id": {"S": journal_id}},
        UpdateExpression="SET entries[0].amount = :amount",
        ExpressionAttributeValues={":amount": {"N": str(amount)}},
    )


def segment(context=None, **changes):
    return app.audit({"segment": 0, "segments": 1, "start": None, **changes}, context or Context())


def check():
    """The whole check as the state machine runs it, with one segment."""
    answer = segment()
    return app.audit(json.loads(json.dumps({"segments": [answer]})), Context())


def metrics(capsys):
    """The sums of the metrics that were written."""
    sums = {}
    for line in capsys.readouterr().out.splitlines():
        found = json.loads(line)
        for directive in found.get("_aws", {}).get("CloudWatchMetrics", []):
            assert directive["Namespace"] == "payments" and directive["Dimensions"] == [[]]
            for metric in directive["Metrics"]:
                sums[metric["Name"]] = sums.get(metric["Name"], 0) + found[metric["Name"]]
    return sums


class TestBalancedBooks:
    def test_an_empty_ledger_balances(self, tables):
        assert check()["result"] == "balanced"

    def test_honest_books_balance_and_nothing_is_touched(self, tables, capsys):
        first, journals = captured("key-1")
        second, others = captured("key-2", currency="JPY", amount=1)
        payout = transfers.payout(MERCHANT, "2026-47", 4200, "USD", LONG_AGO)
        save(first, *journals)
        save(second, *others, payout)
        project([*journals, *others, payout])

        answer = check()

        assert answer == {
            "result": "balanced",
            "journals": 5,
            "shards": [],
            "balances": "agree",
            "mended": 0,
            "contradictions": 0,
        }
        assert metrics(capsys) == {}
        assert books.find(first.payment_id) == first

    def test_a_segments_answer_stays_small_however_many_journals_it_read(self, tables):
        for number in range(20):
            save(*_flat(captured(f"key-{number}")))

        assert segment()["sums"] == {}

    def test_today_is_not_compared_because_the_stream_may_be_behind(self, tables):
        payment, journals = captured(at=clock.timestamp(NOW))
        save(payment, *journals)

        assert check()["result"] == "balanced"

    def test_a_day_is_compared_once_it_is_over_for_an_hour(self, tables):
        payment, journals = captured(at="2026-03-09T23:59:59.999Z")
        save(payment, *journals)

        def balances_at(moment):
            answer = segment(at=moment)
            return app.audit({"segments": [answer], "at": moment}, Context())["balances"]

        assert balances_at("2026-03-10T00:59:59.000Z") == "agree"
        assert balances_at("2026-03-10T01:00:00.000Z") == "differ"


def _times(entries, factor):
    return tuple(replace(entry, amount=entry.amount * factor) for entry in entries)


def _flat(pair):
    payment, journals = pair
    return payment, *journals


class TestUnbalancedBooks:
    def test_a_changed_amount_is_found_and_its_shard_currency_and_journal_named(self, tables, capsys):
        payment, journals = captured()
        save(payment, *journals)
        project(journals)
        change_amount(payment.payment_id, AUTHORIZATION, 4201)

        answer = check()

        assert answer["result"] == "unbalanced"
        assert answer["shards"] == [
            {"shard": SHARD, "currency": "USD", "sum": 1, "first": f"{payment.payment_id}#{AUTHORIZATION}"}
        ]
        assert metrics(capsys)["UnbalancedJournals"] >= 1

    def test_the_oldest_bad_journal_is_the_first(self, tables):
        older, older_journals = captured("key-1", at=ago(days=9))
        newer, newer_journals = captured("key-2", at=ago(days=2))
        for payment, journals in ((newer, newer_journals), (older, older_journals)):
            save(payment, *journals)
            change_amount(payment.payment_id, "capture", 4300)

        answer = check()

        (row,) = answer["shards"]
        assert (row["sum"], row["first"]) == (200, f"{older.payment_id}#capture")

    def test_two_wrongs_that_cancel_out_are_still_two_wrongs(self, tables):
        for key, amount in (("key-1", 4100), ("key-2", 4300)):
            payment, journals = captured(key)
            save(payment, *journals)
            change_amount(payment.payment_id, AUTHORIZATION, amount)

        answer = check()

        assert answer["result"] == "unbalanced"
        assert [row["sum"] for row in answer["shards"]] == [0]

    def test_pending_and_posted_amounts_do_not_cancel_out(self, tables):
        entry = {"account": "network:visa", "currency": "USD", "amount": 5}
        entries = [{**entry, "side": "debit", "phase": "pending"}, {**entry, "side": "credit", "phase": "posted"}]
        _, (authorization, _) = captured()
        JournalItem(**{**journal_record(authorization, "us-east-1"), "entries": entries}).save()

        answer = segment()

        assert answer["sums"] == {f"{SHARD}|USD|pending": 5, f"{SHARD}|USD|posted": -5}
        assert [(bad["journal_id"], abs(bad["sum"])) for bad in answer["bad"]] == [(AUTHORIZATION, 5)]

    @pytest.mark.parametrize(
        "attributes",
        [
            {},
            {"entries": {"S": "none"}},
            {"kind": {"S": "charge"}, "entries": {"L": [{"M": {"account": {"S": "a"}}}]}},
            {"kind": {"S": "charge"}, "entries": {"L": []}, "sequence": {"N": "1.5"}},
        ],
        ids=["nothing", "text", "half an entry", "a fraction"],
    )
    def test_what_is_no_journal_is_bad_too(self, tables, attributes):
        put_raw(identifiers.payment_id(MERCHANT, "key-1"), AUTHORIZATION, **attributes)

        answer = check()

        assert answer["result"] == "unbalanced"
        assert [row["shard"] for row in answer["shards"]] == [SHARD]

    def test_a_journal_of_a_foreign_id_does_not_stop_the_check(self, tables):
        put_raw("nobody", AUTHORIZATION)

        answer = check()

        assert answer["result"] == "unbalanced"
        assert answer["shards"] == [{"shard": None, "currency": None, "sum": 0, "first": f"nobody#{AUTHORIZATION}"}]

    @pytest.mark.parametrize("kind", ["gift", "reversal"])
    def test_a_balanced_journal_of_a_false_kind_is_bad(self, tables, kind):
        _, (authorization, _) = captured()
        JournalItem(**{**journal_record(authorization, "us-east-1"), "kind": kind}).save()

        assert [bad["sum"] for bad in segment()["bad"]] == [0]

    def test_a_few_are_named_and_all_are_counted(self, tables, capsys):
        for number in range(13):
            put_raw(identifiers.payment_id(MERCHANT, f"key-{number}"), AUTHORIZATION)

        assert len(segment()["bad"]) == tally.NAMED == 3
        assert metrics(capsys)["UnbalancedJournals"] == 13


class TestTheGeneralLedger:
    def projected(self):
        payment, journals = captured()
        save(payment, *journals)
        project(journals)
        return payment, journals

    def change(self, counter, by, payment):
        client("dynamodb").update_item(
            TableName="balances",
            Key={
                "account": {"S": projection.shard_account(SHARD)},
                "period": {"S": projection.period("USD", payment.created_at)},
            },
            UpdateExpression="ADD #counter :by",
            ExpressionAttributeNames={"#counter": counter},
            ExpressionAttributeValues={":by": {"N": str(by)}},
        )

    def test_a_control_account_that_is_off_unbalances_its_shard(self, tables):
        payment, _ = self.projected()
        self.change("merchants/credits_posted", 1, payment)

        answer = check()

        assert answer["result"] == "unbalanced"
        assert answer["shards"] == [{"shard": SHARD, "currency": "USD", "sum": -1, "first": None}]

    def test_amounts_on_the_wrong_control_account_differ_though_all_sums_are_zero(self, tables):
        payment, _ = self.projected()
        self.change("merchants/credits_posted", -7, payment)
        self.change("customers/credits_posted", 7, payment)

        answer = check()

        assert (answer["result"], answer["shards"], answer["balances"]) == ("unbalanced", [], "differ")

    def test_a_journal_counted_twice_differs(self, tables):
        payment, journals = captured()
        save(payment, *journals)
        project([*journals, journals[-1]])

        assert check()["balances"] == "differ"

    def test_a_journal_that_is_gone_from_the_ledger_differs(self, tables):
        _, journals = self.projected()
        JournalItem(**journal_record(journals[-1], "us-east-1")).delete()

        assert check()["balances"] == "differ"


class TestSegments:
    def big(self, count):
        """Payments whose two journals fill much of a page each, so that pages cut payments in two."""
        for number in range(count):
            payment, journals = captured(f"key-{number}")
            save(payment, *(replace(journal, reason="x" * 300_000) for journal in journals))
        project([journal for number in range(count) for journal in captured(f"key-{number}")[1]])

    def call_until_done(self):
        answers = [segment(Context(0))]
        while answers[-1]["next"]:
            again = {"start": answers[-1]["next"], "so_far": answers[-1]}
            answers.append(segment(Context(0), **json.loads(json.dumps(again))))
        return answers

    def test_a_call_that_runs_out_of_time_says_where_to_go_on_and_nothing_is_lost_or_counted_twice(self, tables):
        self.big(4)

        answers = self.call_until_done()

        assert len(answers) > 2
        assert {**answers[-1], "segment": 0} == segment()
        assert answers[-1]["journals"] == 8
        assert app.audit({"segments": [answers[-1]]}, Context())["result"] == "balanced"

    def test_a_payment_that_pages_cut_in_two_is_not_taken_for_a_contradiction(self, tables):
        self.big(5)

        assert segment()["contradictions"] == 0
        assert self.call_until_done()[-1]["contradictions"] == 0

    def test_a_payment_that_a_page_cuts_in_two_is_still_mended(self, tables):
        for number in range(5):
            payment, journals = captured(f"key-{number}")
            _, refund = lifecycle.refund(payment, "ref_1", 100, LONG_AGO)
            save(payment, *(replace(journal, reason="x" * 200_000) for journal in (*journals, refund)))

        assert self.call_until_done()[-1]["mended"] == 5

    def test_a_contradiction_that_a_page_cuts_in_two_is_one(self, tables):
        for number in range(5):
            payment, journals = captured(f"key-{number}")
            _, refund = lifecycle.refund(payment, "ref_1", 100, LONG_AGO)
            refunds = [replace(refund, journal_id=f"ref_{n}", entries=_times(refund.entries, 30)) for n in (1, 2)]
            save(payment, *(replace(journal, reason="x" * 150_000) for journal in (*journals, *refunds)))

        assert self.call_until_done()[-1]["contradictions"] == 5

    def test_bad_journals_of_all_calls_are_remembered(self, tables):
        self.big(4)
        for number in range(0, 4, 3):
            change_amount(identifiers.payment_id(MERCHANT, f"key-{number}"), "capture", 1)

        assert len(self.call_until_done()[-1]["bad"]) == 2

    def test_the_verdict_adds_up_all_segments(self, tables):
        part = {"journals": 3, "bad": [], "mended": 1, "contradictions": 2, "check": "0", "next": None}
        answers = [
            {"segment": 0, **part, "sums": {"5|USD|posted": 7, "6|USD|posted": 7}},
            {"segment": 1, **part, "sums": {"5|USD|posted": -7, "6|USD|posted": 1}},
        ]

        answer = app.audit({"segments": answers}, Context())

        assert answer["shards"] == [{"shard": 6, "currency": "USD", "sum": 8, "first": None}]
        assert (answer["journals"], answer["mended"], answer["contradictions"]) == (6, 2, 4)

    @pytest.mark.parametrize("order", [1, -1])
    def test_the_verdict_names_the_oldest_bad_journal_of_all_segments(self, tables, order):
        part = {"journals": 1, "sums": {}, "mended": 0, "contradictions": 0, "check": "0", "next": None}
        bad = [
            {"payment_id": name, "journal_id": "j", "shard": 5, "currency": "USD", "sum": 1, "created_at": f"202{year}"}
            for name, year in (("pay_b", 1), ("pay_a", 2))
        ]

        answer = app.audit({"segments": [{**part, "bad": [found]} for found in bad[::order]]}, Context())

        assert answer["shards"] == [{"shard": 5, "currency": "USD", "sum": 0, "first": "pay_b#j"}]


class TestMending:
    def lost_refund(self, at=LONG_AGO):
        """A payment of which the global table has lost a refund."""
        payment, journals = captured(at=at)
        after, refund = lifecycle.refund(payment, "ref_1", 1200, at)
        save(payment, *journals, refund)
        return payment, after

    def test_a_lost_update_is_mended_to_what_the_journals_say(self, tables):
        before, lost = self.lost_refund()

        assert segment()["mended"] == 1

        standing = books.find(before.payment_id)
        assert (standing.status, standing.amount_refunded) == (Status.PARTIALLY_REFUNDED, 1200)
        assert standing.outstanding == lost.outstanding
        assert standing.sequence == lost.sequence + 1

    def test_a_payment_that_one_region_blocked_and_the_other_accepted_is_accepted(self, tables):
        payment, journals = captured()
        blocked = Failure("fraud_blocked", "The charge was blocked by fraud scoring.")
        save(replace(payment, status=Status.FRAUD_BLOCKED, failure=blocked, amount_captured=0), *journals)

        assert segment()["mended"] == 1

        standing = books.find(payment.payment_id)
        assert (standing.status, standing.failure) == (Status.SUCCEEDED, None)

    def test_the_repair_is_recorded_with_what_was_and_what_is(self, tables):
        before, _ = self.lost_refund()

        segment()

        after = books.find(before.payment_id)
        record = PaymentItem.get(f"{before.payment_id}#mended#{after.sequence}#{after.updated_at}")
        mending = record.mending.as_dict()
        assert mending["cause"]
        assert (mending["before"]["status"], mending["after"]["status"]) == ("succeeded", "partially_refunded")
        assert mending["after"]["amount_refunded"] == 1200
        assert record.created_at > LONG_AGO

    def test_the_sweeper_finds_what_the_network_was_not_told(self, tables):
        before, _ = self.lost_refund()

        segment()

        later = clock.timestamp(datetime.now(UTC) + timedelta(minutes=1))
        assert [found for found, _ in books.pending(SHARD, later, 10)] == [before.payment_id]

    def test_a_second_check_has_nothing_to_mend(self, tables):
        before, _ = self.lost_refund()
        segment()
        standing = books.find(before.payment_id)

        assert segment()["mended"] == 0
        assert books.find(before.payment_id) == standing

    @pytest.mark.parametrize("minutes", [0, 9])
    def test_what_changed_lately_is_left_alone(self, tables, minutes):
        before, _ = self.lost_refund(at=ago(minutes=minutes))

        assert segment()["mended"] == 0
        assert books.find(before.payment_id) == before

    def test_a_payment_that_was_written_lately_is_left_alone_though_its_journals_are_old(self, tables):
        """Its newest journal may not be here yet: only its copy in this region is."""
        payment, journals = captured()
        lately = replace(payment, amount_captured=0, status=Status.REQUIRES_CAPTURE, updated_at=ago(minutes=1))
        save(lately, *journals)

        answer = segment()

        assert (answer["mended"], answer["contradictions"]) == (0, 0)
        assert books.find(payment.payment_id) == lately

    def test_a_payment_that_changes_while_it_is_looked_at_is_not_overwritten(self, tables, monkeypatch):
        before, after = self.lost_refund()
        read = agreement.journals

        def read_and_be_overtaken(payment_id):
            found = read(payment_id)
            books.step(books.find(payment_id), after, None)
            return found

        monkeypatch.setattr(agreement, "journals", read_and_be_overtaken)

        assert segment()["mended"] == 0
        assert books.find(before.payment_id) == after

    def test_the_other_regions_payments_are_mended_there(self, tables):
        before, _ = self.lost_refund()
        primary("us-west-2")

        assert segment()["mended"] == 0
        assert books.find(before.payment_id) == before

    def test_a_lost_decline_is_mended_with_its_reason(self, tables):
        pending = new_payment()
        _, void = lifecycle.decide(pending, Authorization(Failure("insufficient_funds", "Too little.")), LONG_AGO)
        save(pending, lifecycle.authorization_journal(pending), void)

        assert segment()["mended"] == 1
        standing = books.find(pending.payment_id)
        assert (standing.status, standing.failure.code) == (Status.FAILED, "insufficient_funds")

    def test_a_payment_that_waits_for_the_network_agrees_with_its_journals(self, tables):
        pending = new_payment()
        save(pending, lifecycle.authorization_journal(pending))

        answer = segment()

        assert (answer["mended"], answer["contradictions"]) == (0, 0)

    def test_the_lost_end_of_a_failed_refund_is_mended(self, tables):
        payment, journals = captured()
        refunding, refund = lifecycle.refund(payment, "ref_1", 1200, LONG_AGO)
        _, failed = lifecycle.end_refund(refunding, "ref_1", Failure("refund_declined", "No."), LONG_AGO)
        save(refunding, *journals, refund, failed)

        assert segment()["mended"] == 1
        standing = books.find(payment.payment_id)
        assert (standing.amount_refunded, standing.status) == (0, Status.SUCCEEDED)


class TestContradictions:
    def contradicts(self, capsys):
        answer = segment()
        assert (answer["mended"], answer["contradictions"]) == (0, 1)
        assert metrics(capsys)["LedgerContradictions"] == 1

    def test_a_journal_without_a_payment(self, tables, capsys):
        _, journals = captured()
        JournalItem(**journal_record(journals[0], "us-east-1")).save()

        self.contradicts(capsys)

    def test_a_payment_that_says_more_than_its_journals_is_never_mended_down(self, tables, capsys):
        """Mended, it could be captured a second time."""
        payment, journals = captured()
        save(payment, journals[0])

        self.contradicts(capsys)
        assert books.find(payment.payment_id) == payment

    def test_a_refund_that_no_journal_knows(self, tables, capsys):
        payment, journals = captured()
        refunded, _ = lifecycle.refund(payment, "ref_1", 1200, LONG_AGO)
        save(refunded, *journals)

        self.contradicts(capsys)

    def test_refunds_beyond_the_captures(self, tables, capsys):
        payment, journals = captured()
        _, first = lifecycle.refund(payment, "ref_1", 4000, LONG_AGO)
        _, second = lifecycle.refund(payment, "ref_2", 4000, LONG_AGO)
        save(payment, *journals, first, second)

        self.contradicts(capsys)

    def test_captured_and_voided_at_the_same_time_in_two_regions(self, tables, capsys):
        payment = new_payment(capture=False)
        authorized, _ = lifecycle.decide(payment, Authorization(), LONG_AGO)
        _, capture = lifecycle.capture(authorized, "cap_1", None, True, LONG_AGO)
        _, void = lifecycle.void(authorized, "vod_1", LONG_AGO)
        save(authorized, lifecycle.authorization_journal(payment), capture, void)

        self.contradicts(capsys)

    def test_an_open_dispute_beside_refunds_that_leave_nothing_to_dispute(self, tables, capsys):
        payment, journals = captured()
        _, refund = lifecycle.refund(payment, "ref_1", None, LONG_AGO)
        disputed, dispute = lifecycle.open_dispute(payment, "dsp_1", None, LONG_AGO)
        save(disputed, *journals, refund, dispute)

        self.contradicts(capsys)

    def test_an_authorization_of_another_amount(self, tables, capsys):
        payment, journals = captured()
        other = lifecycle.authorization_journal(replace(payment, amount=4300, status=Status.PENDING))
        save(payment, other, journals[1])

        self.contradicts(capsys)

    def test_a_payment_with_a_journal_that_cannot_be_read_is_not_mended_from_the_others(self, tables, capsys):
        payment, journals = captured()
        _, refund = lifecycle.refund(payment, "ref_1", 100, LONG_AGO)
        save(payment, *journals, refund)
        put_raw(payment.payment_id, "ref_2")

        self.contradicts(capsys)
        assert books.find(payment.payment_id) == payment
