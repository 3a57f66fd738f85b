"""DynamoDB's "not now": what it left undone, or met another transaction, is tried again, and not for ever."""

import pytest
from botocore.exceptions import ClientError

from functions.projector import dynamodb, notary
from functions.projector import history as rows
from functions.projector.dynamodb import NotAllDone
from payments import clients, projection, proofs
from tests.functional.projector.stream import (
    balances,
    deliver,
    expected,
    history,
    item,
    journal,
    merchant,
    record,
    scan,
)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(dynamodb, "_DELAYS_SECONDS", (0.001,) * 5)


@pytest.fixture
def events():
    """Registers hooks of the client for the test."""
    hooked, emitter = [], clients.client("dynamodb").meta.events

    def register(event, hook):
        emitter.register(event, hook)
        hooked.append((event, hook))

    yield register
    for event, hook in hooked:
        emitter.unregister(event, hook)


def busy(events, times, codes=("None", "TransactionConflict")):
    """Transactions meet others as often as this; the list of those that were tried."""
    tried = []

    def refuse(**_):
        tried.append(None)
        if len(tried) <= times:
            error = {"Code": "TransactionCanceledException", "Message": ""}
            reasons = [{"Code": code} for code in codes]
            raise ClientError({"Error": error, "CancellationReasons": reasons}, "TransactWriteItems")

    events("before-call.dynamodb.TransactWriteItems", refuse)
    return tried


def leave_one_undone(events, operation, request_field, answer_field, times):
    """DynamoDB does all of a request but the last item, as often as this."""
    left = []

    def take_one(params, **_):
        if len(left) >= times:
            return None
        ((table, wanted),) = params[request_field].items()
        items = wanted["Keys"] if isinstance(wanted, dict) else wanted
        if len(items) < 2:
            left.append(None)
            return None
        shorter = {**wanted, "Keys": items[:-1]} if isinstance(wanted, dict) else items[:-1]
        left.append({table: {**wanted, "Keys": items[-1:]} if isinstance(wanted, dict) else items[-1:]})
        return {**params, request_field: {table: shorter}}

    def tell(parsed, **_):
        if left and left[-1]:
            parsed[answer_field] = left[-1]
            left[-1] = None

    events(f"provide-client-params.dynamodb.{operation}", take_one)
    events(f"after-call.dynamodb.{operation}", tell)


def test_a_chunk_that_meets_another_transaction_is_counted_once_that_has_passed(tables, events):
    made = item(journal(1))
    tried = busy(events, times=4)

    deliver([record(1, made)])

    assert balances() == expected([made])
    assert len(tried) == 5


def test_conflicts_without_end_fail_the_batch_and_change_nothing(tables, events):
    busy(events, times=1000)

    with pytest.raises(ClientError):
        deliver([record(1, item(journal(1)))])

    assert balances() == {}


@pytest.mark.parametrize("code", ["ConditionalCheckFailed", "ValidationError"])
def test_what_will_not_pass_is_not_tried_again(tables, events, code):
    tried = busy(events, times=1000, codes=("TransactionConflict", code))

    with pytest.raises(ClientError):
        deliver([record(1, item(journal(1)))])

    assert len(tried) == 1


def test_rows_of_history_that_were_left_are_written_after_all(tables, events):
    made = [item(journal(n, merchant(n))) for n in range(30)]
    leave_one_undone(events, "BatchWriteItem", "RequestItems", "UnprocessedItems", times=3)

    deliver([record(n + 1, found) for n, found in enumerate(made)])

    assert sorted(map(proofs.canonical, history().values())) == sorted(map(proofs.canonical, made))


def test_what_was_counted_without_its_history_has_it_after_the_next_delivery(tables, monkeypatch):
    write, batch = rows.dynamodb.write, [record(1, item(journal(1)))]

    def fails(table, requests):
        if requests:
            raise NotAllDone(table)

    monkeypatch.setattr(rows.dynamodb, "write", fails)
    with pytest.raises(NotAllDone):
        deliver(batch)
    counted = balances()
    monkeypatch.setattr(rows.dynamodb, "write", write)
    deliver(batch)

    assert counted == balances() != {}
    assert len(clients.client("dynamodb").scan(TableName="accounts")["Items"]) == 1


def test_items_of_the_feed_that_were_left_are_sealed_and_removed_after_all(tables, archive, events):
    for n in range(5):
        deliver([record(n + 1, item(journal(n)))])
    leave_one_undone(events, "BatchGetItem", "RequestItems", "UnprocessedKeys", times=2)
    leave_one_undone(events, "BatchWriteItem", "RequestItems", "UnprocessedItems", times=2)

    assert notary.seal(lambda: True).journals == 5
    assert notary.seal(lambda: True).journals == 0


def test_a_chunk_that_meets_another_goes_to_a_lane_of_its_own_and_the_sums_are_the_same(tables, events):
    made = [item(journal(n)) for n in range(6)]
    deliver([record(1, made[0])])
    busy(events, times=1)
    deliver([record(2, made[1])])
    for n in range(2, 6):
        deliver([record(n + 1, made[n])])

    periods = {row["period"]["S"] for row in scan("balances") if row["account"]["S"].startswith("shard:")}
    assert len(periods) == 2
    assert len({projection.without_lane(period) for period in periods}) == 1
    assert balances() == expected(made)
