"""A region that has lost a shard does not write for it: charges by their lease, all else by a look at the map."""

from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from functions.ledger import app, fencing
from payments import books, clients, clock, events, lifecycle, regions
from payments.lifecycle import Authorization
from payments.tables import JournalItem, PaymentItem
from tests.functional.conftest import charge, write_here
from tests.functional.samples import FRAUD, MERCHANT

MAKING = ("post", "record_blocked")
BARELY, LONG_AGO = regions.LEASE_SECONDS - 0.5, regions.LEASE_SECONDS + 0.5
DONE = {"post": "posted", "record_blocked": "blocked"}


def ago(seconds):
    return clock.timestamp(datetime.now(UTC) - timedelta(seconds=seconds))


def run(operation, **changes):
    return app.handler({"operation": operation, "charge": charge(**changes), "fraud": FRAUD}, None)["result"]


@pytest.fixture
def looks(tables, monkeypatch):
    """What is read of the shard map."""
    found, asked = regions.assignment, []

    def looked(shard, *, fresh=False):
        asked.append(fresh)
        return found(shard, fresh=fresh)

    monkeypatch.setattr(regions, "assignment", looked)
    return asked


@pytest.mark.parametrize("operation", MAKING)
def test_within_the_lease_a_charge_is_written_without_a_look_at_the_map(looks, operation):
    write_here(primary="us-west-2", epoch=1)

    assert run(operation, mapped_at=ago(BARELY)) == DONE[operation]
    assert looks == []


@pytest.mark.parametrize("operation", MAKING)
@pytest.mark.parametrize("age", [LONG_AGO, 3600, -LONG_AGO])
def test_after_the_lease_a_region_that_has_lost_the_shard_writes_nothing(looks, operation, age):
    write_here(primary="us-west-2", epoch=1)

    assert run(operation, mapped_at=ago(age)) == "fenced"
    assert looks == [True]
    assert list(PaymentItem.scan()) == list(JournalItem.scan()) == []


@pytest.mark.parametrize("operation", MAKING)
@pytest.mark.parametrize(
    ("known", "now"),
    [
        ({"epoch": 0}, {"primary": "us-east-1", "epoch": 0}),
        ({"epoch": 0}, {"primary": "us-west-2", "epoch": 0}),  # it stands in for a primary that does not answer
        ({"epoch": 0}, {"primary": "us-east-1", "epoch": 1}),  # and has become the primary meanwhile
        ({"epoch": 3}, {"primary": "us-east-1", "epoch": 5}),  # it has lost the shard and has it again
        ({"epoch": 3}, {"primary": "us-west-2", "epoch": 3}),
    ],
)
def test_after_the_lease_a_charge_is_written_where_the_shard_is_or_did_not_move(tables, operation, known, now):
    write_here(**now)

    assert run(operation, mapped_at=ago(LONG_AGO), **known) == DONE[operation]


def test_without_an_item_the_shard_never_moved(tables):
    clients.client("dynamodb").delete_item(TableName="shards", Key={"shard": {"N": str(charge()["shard"])}})

    assert run("post", mapped_at=ago(LONG_AGO)) == "posted"


@pytest.mark.parametrize("operation", MAKING)
def test_a_map_that_cannot_be_read_fences(tables, operation, monkeypatch):
    def unreadable(shard, *, fresh):
        raise ClientError({"Error": {"Code": "InternalServerError"}}, "GetItem")

    monkeypatch.setattr(regions, "assignment", unreadable)

    assert run(operation, mapped_at=ago(LONG_AGO)) == "fenced"
    assert list(PaymentItem.scan()) == []


def test_an_attempt_may_be_given_up_in_any_region_at_any_time(looks):
    write_here(primary="us-west-2", epoch=1)

    assert run("abandon", mapped_at=ago(3600)) == "abandoned"
    assert looks == []


@pytest.mark.parametrize("name", ["epoch", "mapped_at"])
def test_a_charge_without_a_lease_is_a_fault(tables, name):
    unleased = charge()
    del unleased[name]

    with pytest.raises(KeyError):
        app.handler({"operation": "post", "charge": unleased, "fraud": FRAUD}, None)


@pytest.fixture
def payment(tables, monkeypatch):
    """A payment that the network has approved."""
    monkeypatch.setattr(events, "publish", lambda *_: None)
    asked = charge(capture=False)
    app.handler({"operation": "post", "charge": asked, "fraud": FRAUD}, None)
    pending = books.find(asked["payment_id"])
    return books.step(pending, *lifecycle.decide(pending, Authorization(), clock.now()))


def command(payment, name="void", key="k1"):
    asked = {"command": name, "payment_id": payment.payment_id, "merchant_id": MERCHANT, "key": key}
    return app.command({**asked, "fingerprint": name}, None)


def test_a_command_is_carried_out_by_the_primary_only(payment):
    regions.assignment(payment.shard)  # remembered by this process, and wrong a moment later
    moved = {"shard": {"N": str(payment.shard)}, "primary": {"S": "us-west-2"}, "epoch": {"N": "1"}}
    clients.client("dynamodb").put_item(TableName="shards", Item=moved)

    answer = command(payment)

    assert (answer["result"], answer["code"]) == ("refused", "not_primary")
    assert books.find(payment.payment_id) == payment


@pytest.mark.parametrize("seconds", [0, fencing.COMMAND_GRACE_SECONDS - 1, -5])
def test_a_command_waits_until_the_region_before_has_told_everything(payment, seconds):
    write_here(epoch=1, since=ago(seconds))

    answer = command(payment)

    assert (answer["result"], answer["code"]) == ("refused", "shard_moving")
    assert books.find(payment.payment_id) == payment


def test_then_it_is_carried_out(payment):
    write_here(epoch=1, since=ago(fencing.COMMAND_GRACE_SECONDS + 1))

    assert command(payment)["result"] == "done"


@pytest.mark.parametrize("moved", [{"primary": "us-west-2", "epoch": 1}, {"epoch": 2, "since": "2999-01-01T00:00:00Z"}])
def test_a_command_that_was_carried_out_is_answered_wherever_its_record_is(payment, moved):
    first = command(payment)
    write_here(**moved)

    assert command(payment) == {"result": "replayed", "answer": first["answer"]}
    assert command(payment, "capture")["code"] == "idempotency_key_reused"


def test_a_command_is_not_carried_out_by_a_map_that_cannot_be_read(payment, monkeypatch):
    def unreadable(shard, *, fresh):
        raise ClientError({"Error": {"Code": "InternalServerError"}}, "GetItem")

    monkeypatch.setattr(regions, "assignment", unreadable)

    with pytest.raises(ClientError):
        command(payment)
    assert books.find(payment.payment_id) == payment


def book(**changes):
    booking = {"kind": "payout", "merchant_id": MERCHANT, "reference": "r1", "currency": "USD", "reason": "weekly"}
    return app.book({**booking, "amount": 500, **changes}, None)


@pytest.mark.parametrize(
    ("moved", "code"),
    [
        ({"primary": "us-west-2", "epoch": 1}, "not_primary"),
        ({"epoch": 1, "since": "2999-01-01T00:00:00Z"}, "shard_moving"),
    ],
)
def test_a_booking_is_made_by_the_primary_only_and_known_wherever_it_has_come(tables, moved, code):
    first = book()
    write_here(**moved)

    assert (book()["result"], book()["journal"]) == ("exists", first["journal"])
    assert book(amount=501)["result"] == "conflict"
    assert book(reference="r2")["code"] == code
    assert len(list(JournalItem.scan())) == 1


@pytest.mark.parametrize("wrong", [{"reference": "r2", "amount": 0}, {"reference": "r2", "currency": "XXX"}])
def test_what_can_never_be_booked_is_refused_as_that_in_any_region(tables, wrong):
    write_here(primary="us-west-2", epoch=1)

    assert book(**wrong)["code"] == "invalid_booking"
