"""The sweeper: nothing that was accepted is lost, no authorization lives for ever, and the books balance."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.ledger import app as ledger
from functions.sweeper import app, balance, expiry, orphans
from payments import books, clients, clock, events, lifecycle, projection, regions
from payments.identifiers import merchant_shard
from payments.lifecycle import Failure, Status
from payments.tables import PaymentItem
from tests.functional.conftest import write_here
from tests.functional.samples import FRAUD, MERCHANT

SHARD = merchant_shard(MERCHANT)


def post(charge):
    ledger.handler({"operation": "post", "charge": charge, "fraud": FRAUD}, None)
    return charge


@pytest.fixture
def published(monkeypatch):
    sent = []
    monkeypatch.setattr(events, "publish", lambda detail_type, *found: sent.extend((detail_type, e) for e in found))
    monkeypatch.setattr(regions, "primary", lambda shard: "us-east-1" if shard == SHARD else "us-west-2")
    return sent


def test_a_charge_pending_for_too_long_is_published_again(pending, published):
    assert app.handler({}, None)["published"] == 1
    assert [(kind, event["payment_id"], event["sequence"]) for kind, event in published] == [
        ("charge_authorized", pending.payment_id, 1)
    ]


def test_the_event_is_the_one_the_saga_published_without_the_payment(tables, new_charge, published):
    charge = new_charge()
    posted = ledger.handler({"operation": "post", "charge": charge, "fraud": FRAUD}, None)

    app.handler({}, None)

    bare = {name: value for name, value in posted["event"].items() if name != "data"}
    assert published == [("charge_authorized", bare)]


def test_large_payments_stop_no_sweep(tables, new_charge, published, monkeypatch):
    """A call to EventBridge takes 256 KB, and is refused as a whole beyond."""
    metadata = {f"k{n}": "é" * 500 for n in range(50)}
    for number in range(12):
        post(new_charge(f"key-{number}", metadata=metadata))

    assert app.handler({}, None)["published"] == 12
    assert sum(len(json.dumps(event)) for _, event in published) < 256 * 1024


def test_a_payment_that_cannot_be_read_hides_no_other(tables, new_charge, published):
    unreadable = post(new_charge("key-1"))
    post(new_charge("key-2"))
    item = PaymentItem.get(unreadable["payment_id"])
    item.update(actions=[PaymentItem.status.set("of_a_newer_version")])

    assert app.handler({}, None)["published"] == 1


def test_a_shard_that_cannot_be_swept_stops_no_other_and_is_told(published, monkeypatch):
    swept = []
    monkeypatch.setattr(orphans, "_sweep", lambda shard, _: (swept.append(shard) or 1, 1 // shard))

    with pytest.raises(orphans.NotAllSwept, match="1 shards"):
        orphans.republish([0, 1, 2, 3], datetime.now(UTC))

    assert sorted(swept) == [0, 1, 2, 3]


def test_a_fresh_charge_is_left_to_its_saga(tables, new_charge, published):
    post(new_charge(created_at=clock.now()))

    assert app.handler({}, None)["published"] == 0


def test_a_decided_payment_is_no_orphan(pending, published):
    after, journal = lifecycle.decide(pending, lifecycle.Authorization(), "2026-11-23T10:00:01.000Z")
    books.step(pending, after, journal)

    assert app.handler({}, None)["published"] == 0


def test_an_orphan_is_published_often_at_first_and_ever_more_rarely():
    start = datetime(2026, 11, 20, tzinfo=UTC)

    published = [minute for minute in range(200) if orphans.due(start, start + timedelta(minutes=minute))]

    assert published == [0, 1, 2, 3, 4, 5, 8, 9, 16, 17, 32, 33, 64, 65, 128, 129]


@given(st.lists(st.floats(50, 70), min_size=200, max_size=200), st.floats(0, 60))
def test_runs_that_come_early_or_late_skip_no_doubling(intervals, offset):
    start = datetime(2026, 11, 20, tzinfo=UTC)
    ages = [offset + sum(intervals[:count]) for count in range(len(intervals))]

    published = [age / 60 for age in ages if orphans.due(start, start + timedelta(seconds=age))]

    assert all(any(power <= age < 2 * power for age in published) for power in (2, 4, 8, 16, 32, 64))


def test_orphans_that_can_never_be_finished_do_not_hide_one_that_is_due(tables, new_charge, published, monkeypatch):
    monkeypatch.setattr(orphans, "_AT_ONCE", 1)
    stuck = clock.timestamp(datetime.now(UTC) - timedelta(minutes=100))
    for number in range(12):
        post(new_charge(key=f"stuck-{number}", created_at=stuck))
    fresh = post(new_charge(key="fresh"))

    assert orphans._sweep(merchant_shard(MERCHANT), datetime.now(UTC)) == (1, 0)

    assert [event["payment_id"] for _, event in published] == [fresh["payment_id"]]


def test_many_orphans_are_published_in_batches_that_eventbridge_takes(tables, new_charge, monkeypatch):
    sizes = []
    monkeypatch.setattr(events, "publish", lambda _, *found: sizes.append(len(found)))
    for number in range(23):
        post(new_charge(key=f"key-{number}"))

    assert orphans._sweep(merchant_shard(MERCHANT), datetime.now(UTC)) == (23, 0)
    assert sizes == [10, 10, 3]


def test_another_regions_shards_are_left_to_it(pending, published, monkeypatch):
    own = merchant_shard(MERCHANT)
    monkeypatch.setattr(regions, "primary", lambda shard: "us-east-1" if shard == (own + 1) % 128 else "us-west-2")

    assert app.handler({}, None)["published"] == 0


AN_HOUR_AGO = timedelta(hours=1)


def ago(age):
    return clock.timestamp(datetime.now(UTC) - age)


@pytest.fixture
def charged(tables, new_charge, published):
    """Makes payments that the network has approved, some time ago."""

    def make(key="key-1", capture=True, age=AN_HOUR_AGO, amount=4200):
        charge = post(new_charge(key=key, capture=capture, created_at=ago(age), amount=amount))
        payment = books.find(charge["payment_id"])
        return books.step(payment, *lifecycle.decide(payment, lifecycle.Authorization(), ago(age)))

    return make


def refund(payment, operation_id, amount, age):
    """A refund that the network has not been told of."""
    return books.step(payment, *lifecycle.refund(payment, operation_id, amount, ago(age)))


def test_operations_that_the_network_may_not_have_heard_of_are_published_again(charged, published):
    payment = charged()
    once = refund(payment, "ref_1", 1000, timedelta(minutes=3))
    twice = refund(once, "ref_2", 500, timedelta(minutes=2))

    swept = app.handler({}, None)

    assert (swept["published"], swept["operations"]) == (0, 2)
    assert sorted((kind, event["operation"], event["payment_id"]) for kind, event in published) == [
        ("payment_command", "ref_1", payment.payment_id),
        ("payment_command", "ref_2", payment.payment_id),
    ]
    assert [event for _, event in published if event["operation"] == "ref_2"] == [
        events.payment_command(twice, "ref_2")
    ]


def test_an_operation_that_is_under_way_is_left_to_its_message(charged, published):
    refund(charged(), "ref_1", 1000, timedelta(seconds=50))

    assert app.handler({}, None)["operations"] == 0


def test_a_finished_operation_is_not_published_again(charged, published):
    payment = refund(charged(), "ref_1", 1000, timedelta(minutes=2))
    books.step(payment, *lifecycle.end_refund(payment, "ref_1", None, ago(timedelta(minutes=2))))

    assert app.handler({}, None)["operations"] == 0


def test_announcements_and_captures_that_were_lost_are_published_too(charged, published):
    captured, disputed = charged("one", capture=False), charged("two")
    long_ago = ago(timedelta(minutes=2))
    books.step(captured, *lifecycle.capture(captured, "cap_1", 100, False, long_ago))
    books.step(disputed, *lifecycle.open_dispute(disputed, "dsp_1", None, long_ago))

    assert app.handler({}, None)["operations"] == 2
    assert sorted(event["operation"] for _, event in published) == ["cap_1", "dsp_1"]


def test_a_payment_with_very_many_operations_does_not_flood_the_queue(charged, published, monkeypatch):
    monkeypatch.setattr(orphans, "_AT_ONCE", 7)
    payment = charged()
    for number in range(20):
        payment = refund(payment, f"ref_{number}", 10, timedelta(minutes=2))

    assert app.handler({}, None)["operations"] == 7
    assert len({event["operation"] for _, event in published}) == 7


@pytest.fixture
def commands(monkeypatch):
    """Invocations of the command function, carried out by the real one; every shard has its turn."""
    asked = []

    class Functions:
        def invoke(self, FunctionName, Payload):
            asked.append((FunctionName, json.loads(Payload)))
            answer = ledger.command(json.loads(Payload), None)
            return {"Payload": io.BytesIO(json.dumps(answer).encode())}

    monkeypatch.setattr(expiry, "client", lambda *_, **__: Functions())
    monkeypatch.setattr(expiry, "_TURNS", 1)
    monkeypatch.setattr(expiry, "_INTERVAL", orphans.INTERVAL)
    return asked


OVER = timedelta(days=7, minutes=1)


def test_an_authorization_that_was_not_captured_in_a_week_is_voided(charged, published, commands):
    payment = charged(capture=False, age=OVER)

    assert app.handler({}, None)["expired"] == 1

    voided = books.find(payment.payment_id)
    assert (voided.status, voided.amount_released) == (Status.CANCELED, 4200)
    assert books.journals(payment.payment_id)[-1].reason == "authorization_expired"
    assert [function for function, _ in commands] == ["payments-ledger-command"]
    assert [found.kind for found in voided.outstanding] == ["void"], "the network hears of it"


def test_a_younger_authorization_is_left_alone(charged, published, commands):
    payment = charged(capture=False, age=timedelta(days=6, hours=23, minutes=59))

    assert app.handler({}, None)["expired"] == 0
    assert books.find(payment.payment_id) == payment


def test_what_was_captured_of_an_expired_authorization_stays(charged, published, commands):
    payment = charged(capture=False, age=OVER)
    step = lifecycle.capture(payment, "cap_1", 1000, False, ago(OVER))
    captured = books.step(payment, *step)
    assert captured == step[0]
    books.step(captured, lifecycle.end_operation(captured, "cap_1", ago(OVER)), None)

    assert app.handler({}, None)["expired"] == 1

    after = books.find(payment.payment_id)
    assert (after.status, after.amount_captured, after.amount_released) == (Status.SUCCEEDED, 1000, 3200)


def test_a_capture_in_the_same_moment_wins(charged, published, commands, monkeypatch):
    payment, find = charged(capture=False, age=OVER), books.find

    def captured_meanwhile(payment_id, consistent=False):
        found = find(payment_id, consistent)
        if not consistent:
            books.step(found, *lifecycle.capture(found, "cap_1", None, False, clock.now()))
        return found

    monkeypatch.setattr(books, "find", captured_meanwhile)
    assert app.handler({}, None)["expired"] == 0
    assert len(commands) == 1
    assert find(payment.payment_id).amount_captured == 4200


def test_an_authorization_expires_once_even_if_it_is_listed_again(charged, published, commands):
    payment = charged(capture=False, age=OVER)
    app.handler({}, None)

    assert expiry._void(payment) is False
    assert [journal.reason for journal in books.journals(payment.payment_id)].count("authorization_expired") == 1


def test_while_the_shard_moves_nothing_expires_and_its_turn_comes_again(charged, published, commands):
    payment = charged(capture=False, age=OVER)
    write_here(epoch=1, since="2999-01-01T00:00:00Z")

    assert app.handler({}, None)["expired"] == 0
    assert books.find(payment.payment_id) == payment
    write_here(epoch=2)
    assert app.handler({}, None)["expired"] == 1


def test_what_is_left_when_the_network_refused_to_void_expires_too(charged, published, commands):
    """The other region captured a part; the void of all was refused, and the rest is another void."""
    payment = charged(capture=False, age=OVER)
    assert app.handler({}, None)["expired"] == 1
    voided = books.find(payment.payment_id)
    (void,) = voided.outstanding
    made, refused = books.find_journal(payment.payment_id, void.operation_id), Failure("amount_exceeded", "m")
    back = books.step(voided, *lifecycle.refuse_operation(voided, made, refused, clock.now()))
    books.step(back, *lifecycle.capture(back, "cap_1", 1000, False, ago(OVER)))
    captured = books.find(payment.payment_id)
    books.step(captured, lifecycle.end_operation(captured, "cap_1", ago(OVER)), None)

    assert app.handler({}, None)["expired"] == 1
    assert books.find(payment.payment_id).capturable == 0


def test_expiry_is_bounded_and_goes_on_in_the_next_run(charged, published, commands, monkeypatch):
    monkeypatch.setattr(expiry, "_AT_ONCE", 2)
    for number in range(5):
        charged(f"key-{number}", capture=False, age=OVER)

    assert [app.handler({}, None)["expired"] for _ in range(4)] == [2, 2, 1, 0]


def test_authorizations_that_cannot_be_voided_do_not_hide_one_that_can(charged, published, commands, monkeypatch):
    monkeypatch.setattr(expiry, "_AT_ONCE", 1)
    for number in range(6):
        payment = charged(f"stuck-{number}", capture=False, age=timedelta(days=7, minutes=100))
        captured = books.step(payment, *lifecycle.capture(payment, "cap_1", 1000, False, ago(OVER)))
        told = books.step(captured, lifecycle.end_operation(captured, "cap_1", ago(OVER)), None)
        disputed = books.step(told, *lifecycle.open_dispute(told, "dsp_1", 1000, ago(OVER)))
        books.step(disputed, lifecycle.end_operation(disputed, "dsp_1", ago(OVER)), None)
    charged("fresh", capture=False, age=OVER)

    assert app.handler({}, None)["expired"] == 1


def test_a_failing_command_function_stops_nothing(charged, published, commands, monkeypatch):
    charged(capture=False, age=OVER)
    refund(charged("other"), "ref_1", 100, timedelta(minutes=2))
    failing = type("Functions", (), {"invoke": lambda *_, **__: {"FunctionError": "Unhandled"}})
    monkeypatch.setattr(expiry, "client", lambda *_, **__: failing())

    swept = app.handler({}, None)

    assert (swept["expired"], swept["operations"]) == (0, 1)


def test_every_shard_has_its_turn_within_ten_runs(tables, monkeypatch):
    asked = []
    monkeypatch.setattr(books, "pending", lambda shard, *_, **__: asked.append(shard) or [])
    now = datetime.now(UTC)

    for minute in range(10):
        expiry.expire(range(128), now + timedelta(minutes=minute))

    assert sorted(asked) == list(range(128))


@pytest.mark.parametrize("minute", [0, 1, 4, 5, 9])
def test_whenever_an_authorization_is_over_its_turn_comes_within_ten_minutes(tables, monkeypatch, minute):
    over = datetime(2026, 11, 20, 10, minute, 30, tzinfo=UTC)
    made = clock.timestamp(over - expiry.LIFETIME)
    monkeypatch.setattr(books, "pending", lambda shard, before, *_, **__: [("pay_1", made)] if made < before else [])
    asked = []
    monkeypatch.setattr(books, "find", lambda payment_id: asked.append(payment_id))

    tried = []
    for age in range(200):
        expiry.expire([SHARD], over + timedelta(minutes=age))
        tried.append(len(asked))

    assert tried[9] == 1, "in its first turn"
    assert tried[49] == 5, "and in the next ones"
    assert 6 <= tried[-1] <= 12, "and then ever more rarely"


def project(journals):
    """Adds journals to the balances, as the projector does."""
    for (account, period), counters in projection.sums(journals).items():
        clients.client("dynamodb").update_item(
            TableName="balances",
            Key={"account": {"S": account}, "period": {"S": period}},
            UpdateExpression="ADD " + ", ".join(f"#{n} :{n}" for n in range(len(counters))),
            ExpressionAttributeNames={f"#{n}": name for n, name in enumerate(counters)},
            ExpressionAttributeValues={f":{n}": {"N": str(value)} for n, value in enumerate(counters.values())},
        )


def tamper(currency, age, changes, shard=SHARD, **texts):
    """Adds to counters of a shard's general ledger what no journal says."""
    names = {f"#{n}": name for n, name in enumerate([*changes, *texts])}
    values = [{"N": str(value)} for value in changes.values()]
    added = ", ".join(f"#{n} :{n}" for n in range(len(changes)))
    setting = "".join(f" SET #{len(changes) + n} = :{len(changes) + n}" for n in range(len(texts)))
    values += [{"S": value} for value in texts.values()]
    period = {"S": f"{currency}#{ago(age)[:10]}"}
    clients.client("dynamodb").update_item(
        TableName="balances",
        Key={"account": {"S": projection.shard_account(shard)}, "period": period},
        UpdateExpression=f"ADD {added}{setting}",
        ExpressionAttributeNames=names,
        ExpressionAttributeValues={f":{n}": value for n, value in enumerate(values)},
    )


NOW, YESTERDAY, LONG_AGO = timedelta(), timedelta(days=1), timedelta(days=400)


@pytest.fixture
def booked(charged):
    """A day's and the day before's journals in three currencies, projected."""
    payment = charged()
    refunded = refund(payment, "ref_1", 1000, AN_HOUR_AGO)
    for age in (NOW, YESTERDAY, LONG_AGO):
        for currency in ("EUR", "JPY", "USD"):
            journals = books.journals(refunded.payment_id)
            project(
                replace(
                    journal,
                    created_at=ago(age),
                    entries=tuple(replace(entry, currency=currency) for entry in journal.entries),
                )
                for journal in journals
            )


@pytest.fixture
def check(capsys, caplog):
    """Checks the shard's balances; what it counts, its critical lines in the log, and the metrics it wrote."""

    def run():
        capsys.readouterr()
        unbalanced = balance.check([SHARD], datetime.now(UTC))
        metrics = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
        return unbalanced, [record for record in caplog.records if record.levelname == "CRITICAL"], metrics

    return run


def test_books_that_balance_are_nothing_to_speak_of(booked, check):
    assert check() == (0, [], [])


@pytest.mark.parametrize("currency", ["EUR", "JPY", "USD"])
@pytest.mark.parametrize("age", [NOW, YESTERDAY])
@pytest.mark.parametrize(
    "counter", ["merchants/credits_posted", "customers/debits_pending", "fees:platform/debits_posted"]
)
def test_one_unit_too_much_in_any_counter_is_found_and_named(booked, check, currency, age, counter):
    tamper(currency, age, {counter: 1}, first_unbalanced="pay_1#cap_1")

    unbalanced, (line,), (metric,) = check()

    sums = {"posted": 0, "pending": 0, counter.partition("_")[2]: -1 if "credits" in counter else 1}
    assert unbalanced == 1
    assert (line.shard, line.currency, line.day) == (SHARD, currency, ago(age)[:10])
    assert (line.posted, line.pending, line.first_unbalanced) == (*sums.values(), "pay_1#cap_1")
    assert metric["UnbalancedJournals"] == 1
    (directive,) = metric["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], directive["Metrics"][0]["Name"]) == ("payments", "UnbalancedJournals")


def test_errors_that_cancel_out_between_days_or_currencies_are_found(booked, check):
    tamper("USD", NOW, {"merchants/debits_posted": 5})
    tamper("USD", YESTERDAY, {"merchants/credits_posted": 5})
    tamper("EUR", NOW, {"merchants/credits_posted": 5})

    assert check()[0] == 3


def test_a_missing_counter_counts_as_nothing(tables, check):
    tamper("USD", NOW, {"merchants/credits_posted": 5})

    _, (line,), _ = check()

    assert (line.posted, line.pending, line.first_unbalanced) == (-5, 0, None)


def test_another_shard_is_none_of_this_check(booked, check):
    tamper("USD", NOW, {"merchants/credits_posted": 5}, shard=(SHARD + 1) % 128)

    assert check()[0] == 0


def test_years_of_history_are_not_read(tables, check, monkeypatch):
    for days in range(2, 100):
        tamper("USD", timedelta(days=days), {"merchants/credits_posted": 1})
    tamper("USD", NOW, {"merchants/credits_posted": 1})
    read, query = [], balance._query
    monkeypatch.setattr(balance, "_query", lambda *a, **k: read.extend(found := query(*a, **k)) or found)

    assert check()[0] == 1
    assert len(read) == 2


def test_the_handler_tells_of_books_that_do_not_balance(booked, published, commands):
    tamper("USD", NOW, {"merchants/credits_posted": 5})

    assert app.handler({}, None)["unbalanced"] == 1
