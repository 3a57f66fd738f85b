"""Listing payments: every page is a part of one list, whatever is written while somebody walks through it."""

import random
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.api.resources import PaymentStatus
from payments import books, buckets, clients, identifiers, listings, records
from payments.lifecycle import Payment, Status
from payments.listings import Cursor, Filter, InvalidCursor
from payments.tables import PaymentItem
from tests.functional.api.merchant import charge
from tests.functional.samples import CARD_FACTS, MERCHANT

PATH = "/api/v1/payments"
OTHER = "mer_" + "b" * 24
TIMES = [f"2026-11-2{day}T1{hour}:00:00.00{ms}Z" for day in (1, 2) for hour in (0, 1) for ms in (0, 1, 2)]
CUSTOMERS, CURRENCIES = (None, "cus_1", "cus_2"), ("USD", "JPY")


def sample(number, created_at, merchant=MERCHANT, **changes):
    payment_id = identifiers.payment_id(merchant, f"listed-{number}")
    payment = Payment(
        payment_id=payment_id,
        merchant_id=merchant,
        shard=identifiers.merchant_shard(merchant),
        fingerprint="f" * 64,
        attempt="att_x",
        region="us-east-1",
        status=Status.PENDING,
        amount=4200,
        currency="USD",
        capture=True,
        network_ref=identifiers.network_reference(payment_id),
        card=CARD_FACTS,
        fraud={},
        created_at=created_at,
        updated_at=created_at,
    )
    return replace(payment, **changes)


def save(payment):
    PaymentItem(**records.payment_record(payment)).save()
    return payment


def varied(count, seed=1):
    """Payments in few milliseconds, so that many share one."""
    chance = random.Random(seed)
    return [
        sample(
            number,
            chance.choice(TIMES),
            status=chance.choice([Status.PENDING, Status.SUCCEEDED, Status.REFUNDED]),
            amount=chance.choice([100, 200, 300]),
            currency=chance.choice(CURRENCIES),
            customer_id=chance.choice(CUSTOMERS),
        )
        for number in range(count)
    ]


def newest_first(payments):
    return sorted(payments, key=lambda payment: (payment.created_at, payment.payment_id), reverse=True)


def ids(payments):
    return [payment.payment_id for payment in payments]


def walk(call, **query):
    """Every page from the start to the end."""
    pages, cursor = [], None
    while True:
        asked = {**query, **({"starting_after": cursor} if cursor else {})}
        status, page, _ = call("GET", PATH, query=asked or None)
        assert status == 200, page
        pages.append([payment["id"] for payment in page["data"]])
        assert page["has_more"] == (page["next_cursor"] is not None)
        cursor = page["next_cursor"]
        if cursor is None:
            return pages


def plain(payments, wanted):
    """The list as anybody would write it down."""
    return [
        payment
        for payment in newest_first(payments)
        if wanted.status in (None, str(payment.status))
        and wanted.customer_id in (None, payment.customer_id)
        and wanted.currency in (None, payment.currency)
        and wanted.amount in (None, payment.amount)
        and (wanted.amount_gte is None or payment.amount >= wanted.amount_gte)
        and (wanted.amount_lte is None or payment.amount <= wanted.amount_lte)
        and (wanted.created_gte is None or payment.created_at >= wanted.created_gte)
        and (wanted.created_lt is None or payment.created_at < wanted.created_lt)
    ]


def maybe(*values):
    return st.sampled_from([None, *values])


FILTERS = st.builds(
    Filter,
    status=maybe("pending", "succeeded", "refunded", "failed"),
    customer_id=maybe("cus_1", "cus_2", "nobody"),
    currency=maybe("USD", "JPY"),
    amount=maybe(100, 200),
    amount_gte=maybe(0, 150, 200),
    amount_lte=maybe(150, 200, 10**9),
    created_gte=maybe(*TIMES),
    created_lt=maybe(*TIMES),
)


@pytest.fixture
def listed(tables):
    """A merchant's payments, and some of another's."""
    payments = varied(60)
    with PaymentItem.batch_write() as batch:
        for payment in [*payments, *(sample(number, TIMES[number], OTHER) for number in range(7))]:
            batch.save(PaymentItem(**records.payment_record(payment)))
    return payments


@given(wanted=FILTERS, limit=st.integers(1, 30), place=st.integers(0, 59) | st.none(), back=st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_page_is_what_a_plain_list_says(listed, wanted, limit, place, back):
    whole = plain(listed, wanted)
    everything = newest_first(listed)
    cursor = Cursor(everything[place].payment_id, back) if place is not None else None

    page = listings.payments(MERCHANT, wanted, limit, cursor)

    behind = [one for one in whole if place is None or everything.index(one) > place]
    if cursor and back:
        before = [one for one in whole if everything.index(one) < place]
        assert ids(page.data) == ids(before[-limit:])
        assert page.has_more == (len(before) > limit)
        assert page.next_cursor == (page.data[0].payment_id if page.has_more else None)
    else:
        assert ids(page.data) == ids(behind[:limit])
        assert page.has_more == (len(behind) > limit)
        assert page.next_cursor == (page.data[-1].payment_id if page.has_more else None)


@pytest.mark.parametrize("limit", [3, 7, 59, 60, 61, 100])
def test_walking_shows_everything_once_in_order(call, listed, limit):
    pages = walk(call, limit=str(limit))

    assert [one for page in pages for one in page] == ids(newest_first(listed))
    assert {len(page) for page in pages[:-1]} <= {limit}


def test_without_a_limit_a_page_has_ten(call, listed):
    assert len(walk(call)[0]) == 10


def test_walking_back_meets_the_same_payments(call, listed):
    oldest, cursor, seen = ids(newest_first(listed))[-1], None, []
    while True:
        page = call("GET", PATH, query={"limit": "7", "ending_before": cursor or oldest})[1]
        seen = [payment["id"] for payment in page["data"]] + seen
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert [*seen, oldest] == ids(newest_first(listed))


def test_what_is_made_during_a_walk_neither_hides_nor_repeats_a_payment(call, listed):
    chance, cursor, seen, number = random.Random(3), None, [], 1000
    while True:
        query = {"limit": "5", **({"starting_after": cursor} if cursor else {})}
        page = call("GET", PATH, query=query)[1]
        seen += [payment["id"] for payment in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        for _ in range(3):  # now, and, from the other region or by a slow clock, before
            number += 1
            save(sample(number, chance.choice([*TIMES, "2026-11-23T00:00:00.000Z"])))

    assert len(seen) == len(set(seen))
    assert set(ids(listed)) <= set(seen)
    assert [one for one in seen if one in ids(listed)] == ids(newest_first(listed))


def test_a_payment_that_changes_during_a_walk_keeps_its_place(call, listed):
    first = call("GET", PATH, query={"limit": "30"})[1]
    for payment in listed:
        save(replace(payment, updated_at="2026-11-23T00:00:00.000Z", sequence=2))

    second = call("GET", PATH, query={"limit": "100", "starting_after": first["next_cursor"]})[1]

    assert [payment["id"] for payment in first["data"] + second["data"]] == ids(newest_first(listed))


def test_a_page_shows_payments_as_reading_them_does(call):
    _, made, _ = charge(call)

    _, page, _ = call("GET", PATH)

    _, read, _ = call("GET", f"{PATH}/{made['id']}")
    assert page["data"] == [{name: value for name, value in read.items() if name != "request_id"}]
    assert (page["object"], page["request_id"]) == ("list", "request-1")


def test_a_merchant_without_payments_has_an_empty_list(call, listed):
    _, page, _ = call("GET", PATH, merchant="mer_" + "c" * 24)

    assert (page["data"], page["has_more"], page["next_cursor"]) == ([], False, None)


def test_a_merchant_sees_only_its_own(call, listed):
    _, page, _ = call("GET", PATH, query={"limit": "100"}, merchant=OTHER)

    assert len(page["data"]) == 7
    assert not {payment["id"] for payment in page["data"]} & set(ids(listed))


@pytest.mark.parametrize("name", ["starting_after", "ending_before"])
def test_a_cursor_of_another_merchants_payment_looks_like_an_unknown_one(call, listed, name):
    other = identifiers.payment_id(OTHER, "listed-1")
    forged = [other, "pay_00" + "a" * 24, "x", "cmd_" + other[4:], f"{listed[0].payment_id}#att_x", "é", "0" * 500]

    answers = [call("GET", PATH, query={name: cursor})[:2] for cursor in forged]

    assert {status for status, _ in answers} == {400}
    assert answers[0][1]["error"] == answers[1][1]["error"]
    assert {body["error"]["code"] for _, body in answers[:-1]} == {"invalid_cursor"}
    assert not any(other in str(body) for _, body in answers)


def test_an_abandoned_attempt_and_a_command_are_in_no_list_and_no_cursors(call, new_charge):
    from functions.ledger import app as ledger
    from tests.functional.api.life import approved, command
    from tests.functional.samples import FRAUD

    abandoned = new_charge("key-9")
    ledger.handler({"operation": "abandon", "charge": abandoned, "fraud": FRAUD}, None)
    payment_id = approved(call)
    command(call, "capture", payment_id)

    assert walk(call) == [[payment_id]]
    assert call("GET", PATH, query={"starting_after": abandoned["payment_id"]})[0] == 400


def test_both_cursors_at_once_are_refused(call, listed):
    one = listed[0].payment_id

    assert (
        call("GET", PATH, query={"starting_after": one, "ending_before": one})[1]["error"]["code"] == "invalid_cursor"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"),
        ("limit", "101"),
        ("limit", "-1"),
        ("limit", "ten"),
        ("limit", "1.0"),
        ("limit", "1e1"),
        ("limit", "٣"),
        ("limit", " 5"),
        ("limit", ""),
        ("limit", "null"),
        ("status", "Pending"),
        ("status", "abandoned"),
        ("status", ""),
        ("amount", "-1"),
        ("amount_gte", "1_000"),
        ("amount_lte", "9" * 30),
        ("currency", "usd"),
        ("currency", "USDD"),
        ("created_gte", "yesterday"),
        ("created_gte", "2026-11-23"),
        ("created_gte", "2026-11-23T10:00:00"),
        ("created_lt", "1700000000"),
        ("created_lt", "2026-02-30T00:00:00Z"),
        ("created_gte", "0001-01-01T00:00:00+23:00"),
        ("created_lt", "9999-12-31T23:59:59.9999Z"),
        ("customer", ""),
        ("customer", "x" * 501),
        ("starting_after", ""),
        ("unknown", "1"),
        ("payment_id", "pay_x"),
    ],
)
def test_a_malformed_parameter_is_refused_by_name_and_not_echoed(call, name, value):
    status, body, _ = call("GET", PATH, query={name: value})

    assert (status, body["error"]["code"]) == (400, "invalid_field")
    assert body["error"]["param"] == (None if name in ("unknown", "payment_id") else name)


def test_a_parameter_there_twice_is_refused(call, context):
    from functions.api import app
    from tests.functional.api.merchant import event

    asked = event("GET", PATH, query={"limit": "5"})
    asked["multiValueQueryStringParameters"] = {"limit": ["5", "6"]}

    assert app.handler(asked, context)["statusCode"] == 400


@pytest.mark.parametrize("name", ["customer", "starting_after", "currency", "x", "created_gte"])
def test_a_card_number_in_the_query_is_refused_and_not_echoed(call, capsys, name):
    status, body, _ = call("GET", PATH, query={name: "4242 4242 4242 4242"})

    assert (status, body["error"]["code"]) == (400, "card_data_in_field")
    assert "4242 4242" not in str(body) + capsys.readouterr().out


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ({"created_gte": "2026-11-21T10:00:00.001Z"}, [2, 1]),
        ({"created_gte": "2026-11-21T10:00:00.0000001Z"}, [2, 1, 0]),
        ({"created_gte": "2026-11-21T10:00:00.000001Z"}, [2, 1]),
        ({"created_lt": "2026-11-21T10:00:00.001Z"}, [0]),
        ({"created_lt": "2026-11-21T10:00:00.001001Z"}, [1, 0]),
        ({"created_gte": "2026-11-21T10:00:00Z", "created_lt": "2026-11-21T10:00:00Z"}, []),
        ({"created_gte": "2027-11-21T10:00:00Z", "created_lt": "2026-11-21T10:00:00Z"}, []),
        ({"created_gte": "2026-11-21T12:00:00.002+02:00"}, [2]),
        ({"created_gte": "2026-11-21t10:00:00.002z"}, [2]),
    ],
)
def test_times_are_compared_as_instants(call, tables, query, shown):
    made = [save(sample(number, time)).payment_id for number, time in enumerate(TIMES[:3])]

    _, page, _ = call("GET", PATH, query=query)

    assert [payment["id"] for payment in page["data"]] == [made[number] for number in shown]


def test_a_filter_that_matches_few_ends_early_and_says_where_to_go_on(call, listed, monkeypatch):
    monkeypatch.setattr(listings, "MAXIMUM_CANDIDATES", 20)
    monkeypatch.setattr(listings, "_BATCH", 10)
    rare = newest_first(listed)[-1]
    save(replace(rare, customer_id="cus_rare"))

    pages = walk(call, customer="cus_rare")

    assert pages == [[], [], [rare.payment_id]]
    assert walk(call, customer="nobody") == [[], [], []]


def test_a_page_that_ends_early_still_ends_where_the_list_does(listed, monkeypatch):
    monkeypatch.setattr(listings, "MAXIMUM_CANDIDATES", 60)
    monkeypatch.setattr(listings, "_BATCH", 10)

    assert listings.payments(MERCHANT, Filter(customer_id="nobody"), 10) == listings.Page(())


class Table:
    """DynamoDB that answers some calls as told, and the others as ever."""

    def __init__(self, **answers):
        self.table, self.answers, self.calls = clients.client("dynamodb"), answers, []

    def __getattr__(self, name):
        def call(**asked):
            self.calls.append((name, asked))
            if name in self.answers:
                return self.answers[name](self.table, asked)
            return getattr(self.table, name)(**asked)

        return call


def stand_in(monkeypatch, **answers):
    table = Table(**answers)
    monkeypatch.setattr(listings, "client", lambda _: table)


def test_what_a_batch_leaves_out_is_asked_for_again(listed, monkeypatch):
    def half(table, asked):
        ((name, request),) = asked["RequestItems"].items()
        keys = request["Keys"]
        kept = {**request, "Keys": keys[: len(keys) // 2 or 1]}
        answer = table.batch_get_item(RequestItems={name: kept})
        left = keys[len(kept["Keys"]) :]
        return {**answer, "UnprocessedKeys": {name: {**request, "Keys": left}} if left else {}}

    stand_in(monkeypatch, batch_get_item=half)
    monkeypatch.setattr(listings, "_RETRY_DELAYS_SECONDS", (0.001,) * 8)

    assert ids(listings.payments(MERCHANT, Filter(), 50).data) == ids(newest_first(listed))[:50]


def test_a_table_that_leaves_everything_out_is_no_empty_list(listed, monkeypatch, call):
    def nothing(table, asked):
        return {"Responses": {}, "UnprocessedKeys": asked["RequestItems"]}

    stand_in(monkeypatch, batch_get_item=nothing)
    monkeypatch.setattr(listings, "_RETRY_DELAYS_SECONDS", (0.001,))

    status, body, _ = call("GET", PATH)

    assert (status, body["error"]["code"]) == (503, "internal_error")


def test_an_index_ahead_of_the_table_hides_nothing_that_is_there(listed, monkeypatch):
    def stale(table, asked):
        ((name, request),) = asked["RequestItems"].items()
        keys = request["Keys"] if request["ConsistentRead"] else request["Keys"][::2]
        return table.batch_get_item(RequestItems={name: {**request, "Keys": keys}})

    stand_in(monkeypatch, batch_get_item=stale)

    assert ids(listings.payments(MERCHANT, Filter(), 60).data) == ids(newest_first(listed))


def test_a_payment_that_is_in_the_index_only_is_left_out(listed, monkeypatch):
    gone = newest_first(listed)[3].payment_id

    def without(table, asked):
        answer = table.batch_get_item(**asked)
        items = answer["Responses"]["payments"]
        return {**answer, "Responses": {"payments": [item for item in items if item["payment_id"]["S"] != gone]}}

    stand_in(monkeypatch, batch_get_item=without)

    page = listings.payments(MERCHANT, Filter(), 10)

    assert ids(page.data) == [one for one in ids(newest_first(listed)) if one != gone][:10]


def test_a_page_reads_little_more_than_it_shows(listed, monkeypatch):
    table = Table()
    monkeypatch.setattr(listings, "client", lambda _: table)
    monkeypatch.setattr(buckets, "client", lambda _: table)

    listings.payments(MERCHANT, Filter(), 10)

    queries = [asked for name, asked in table.calls if name == "query"]
    reads = [asked["RequestItems"]["payments"]["Keys"] for name, asked in table.calls if name == "batch_get_item"]
    assert len(queries) == records.MERCHANT_BUCKETS
    assert sum(map(len, reads)) == 11


def test_payments_are_spread_over_all_buckets_and_one_bucket_alone_is_read_to_its_end(tables):
    numbers = [n for n in range(2000) if records.merchant_bucket(MERCHANT, sample(n, TIMES[0]).payment_id)[-1] == "3"]
    made = [save(sample(number, TIMES[number % 12])) for number in numbers[:150]]

    page = listings.payments(MERCHANT, Filter(), 100)

    assert ids(page.data) == ids(newest_first(made))[:100]
    assert {records.merchant_bucket(MERCHANT, one.payment_id)[-1] for one in varied(60)} == set("01234567")


def test_a_cursor_that_is_gone_is_refused(tables):
    with pytest.raises(InvalidCursor):
        listings.payments(MERCHANT, Filter(), 10, Cursor("pay_00" + "a" * 24))


def test_every_status_of_the_domain_can_be_asked_for():
    assert set(get_args(PaymentStatus)) == {str(status) for status in Status}


def test_a_blocked_charge_is_listed(call, monkeypatch):
    save(sample(1, TIMES[0], status=Status.FRAUD_BLOCKED))

    assert books.find(sample(1, TIMES[0]).payment_id)
    assert len(call("GET", PATH, query={"status": "fraud_blocked"})[1]["data"]) == 1
