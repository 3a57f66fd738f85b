"""The list of what is open: oldest first, page by page over all partitions, filtered."""

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.operations import unmatched
from functions.operations.queries import OpenClass
from payments import discrepancies, identifiers
from tests.functional.operations.conftest import put, result, store
from tests.functional.samples import MERCHANT
from tests.functional.settlements import make_table

LIST = "/discrepancies"
TODAY = datetime.now(UTC).date()


def ref(number):
    return identifiers.network_reference(identifiers.payment_id(MERCHANT, f"key-{number}"))


def days_ago(number):
    return str(TODAY - timedelta(days=number))


def listed(call, **query):
    status, body, _ = call("GET", LIST, query={name: str(value) for name, value in query.items()} or None)
    assert status == 200, body
    return [record["id"] for record in body["data"]], body


def walked(call, limit, **query):
    """All ids of the list, page by page, in the list's own order; and how many each page had."""
    found, sizes, cursor = [], [], {}
    while True:
        page, body = listed(call, limit=limit, **cursor, **query)
        found += page
        sizes.append(len(page))
        if not body["has_more"]:
            return found, sizes
        cursor = {"starting_after": body["next_cursor"]}


@pytest.fixture
def forty(services):
    """Forty discrepancies of five days, in all partitions; their ids by day."""
    days = {}
    for number in range(40):
        days.setdefault(number % 5, set()).add(put(network_ref=ref(number), open_since=days_ago(number % 5 + 1)))
    return days


def test_what_is_open_is_listed_with_age_and_risk(call):
    put(open_since=days_ago(3))

    _, body = listed(call)

    (record,) = body["data"]
    assert (record["object"], record["class"], record["at_risk"], record["age_days"]) == (
        *("discrepancy", "amount_mismatch", 500, 3),
    )
    assert (record["open"], record["assignee"], record["resolution"]) == (True, None, None)
    assert (body["object"], body["has_more"], body["next_cursor"], body["request_id"]) == (
        *("list", False, None, "request-1"),
    )


def test_the_oldest_come_first(call, forty):
    found, _ = walked(call, 100)

    assert len(found) == 40
    for number, day in enumerate((4, 3, 2, 1, 0)):
        assert set(found[8 * number : 8 * number + 8]) == forty[day]


@pytest.mark.parametrize("limit", [1, 3, 7, 8, 39, 40, 41])
def test_walking_on_shows_each_once_also_within_one_day(call, forty, limit):
    found, sizes = walked(call, limit)

    assert found == walked(call, 100)[0]
    assert len(set(found)) == 40
    assert sizes[:-1] == [limit] * (len(sizes) - 1)


@pytest.mark.parametrize("limit", [1, 3, 8, 40])
def test_walking_back_from_the_end_shows_the_same_list(call, forty, limit):
    everything, _ = walked(call, 100)
    _, body = listed(call, limit=39)

    before, _ = listed(call, limit=100, ending_before=body["next_cursor"])
    assert before == everything[:38]

    pages, cursor = [], body["next_cursor"]
    while cursor:
        page, body = listed(call, limit=limit, ending_before=cursor)
        pages, cursor = page + pages, body["next_cursor"]
    assert pages == everything[:38]


def test_a_cursor_holds_when_what_it_names_is_decided_meanwhile(call, forty):
    everything, _ = walked(call, 100)
    first, body = listed(call, limit=10)
    network_ref = body["data"][-1]["network_ref"]
    store(result(network_ref=network_ref, open_since=None, **{"class": "matched"}))

    rest, _ = listed(call, limit=100, starting_after=body["next_cursor"])

    assert first + rest == everything


def test_new_ones_come_after_what_was_read(call, forty):
    first, body = listed(call, limit=10)
    new = put(network_ref=ref(77), open_since=days_ago(0))

    rest, _ = listed(call, limit=100, starting_after=body["next_cursor"])

    assert rest[-1] == new
    assert len(first + rest) == 41


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ({"class": "orphan"}, {"b"}),
        ({"class": "amount_mismatch"}, {"a", "c", "d", "e"}),
        ({"type": "refund"}, {"c"}),
        ({"network": "amex"}, {"d"}),
        ({"currency": "JPY"}, {"e"}),
        ({"merchant": "mer_" + "z" * 24}, {"a"}),
        ({"assignee": "alice"}, {"d"}),
        ({"min_age_days": "10"}, {"e"}),
        ({"min_age_days": "11"}, set()),
        ({"min_at_risk": "501"}, {"c"}),
        ({"min_at_risk": "500"}, {"a", "b", "c", "d", "e"}),
        ({"network": "amex", "assignee": "alice", "min_age_days": "0"}, {"d"}),
        ({"network": "amex", "assignee": "bob"}, set()),
    ],
)
def test_filters_must_all_hold(call, query, kept):
    ids = {
        "a": put(network_ref=ref(1), merchant_id="mer_" + "z" * 24, open_since=days_ago(1)),
        "b": put(network_ref=ref(2), open_since=days_ago(2), **{"class": "orphan", "type": "authorization"}),
        "c": put(network_ref=ref(3), type="refund", at_risk=700, open_since=days_ago(3)),
        "d": put(network_ref=ref(4), network="amex", assignee="alice", open_since=days_ago(4)),
        "e": put(network_ref=ref(5), currency="JPY", open_since=days_ago(10)),
    }

    assert set(listed(call, **query)[0]) == {ids[name] for name in kept}


def test_what_waits_is_hidden_until_its_day(call):
    put(network_ref=ref(1), wait_until=str(TODAY + timedelta(days=1)))
    due = put(network_ref=ref(2), wait_until=str(TODAY))

    assert listed(call)[0] == [due]


def test_what_is_decided_is_not_listed_but_what_is_not_finished_is(call):
    put(network_ref=ref(1), resolution='{"state":"done","action":"accept"}')
    begun = put(network_ref=ref(2), resolution='{"state":"begun","action":"accept","key":"key-7"}')

    found, body = listed(call)

    assert found == [begun]
    assert body["data"][0]["resolution"] == {"state": "begun", "action": "accept", "key": "key-7"}
    assert body["data"][0]["open"] is False


def test_a_filter_that_matches_little_ends_a_page_early_and_says_where_to_go_on(call, forty, monkeypatch):
    monkeypatch.setattr(unmatched, "MAXIMUM_CANDIDATES", 10)
    monkeypatch.setattr(unmatched, "_BATCH", 5)
    only = put(network_ref=ref(99), network="amex", open_since=days_ago(0))

    found, sizes = walked(call, 10, network="amex")

    assert found == [only]
    assert len(sizes) >= 4


def test_partitions_of_many_pages_are_read_to_their_end(call, forty, monkeypatch):
    monkeypatch.setattr(unmatched, "_BATCH", 2)

    assert len(set(walked(call, 9)[0])) == 40


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"limit": "0"}, "invalid_field"),
        ({"limit": "101"}, "invalid_field"),
        ({"class": "matched"}, "invalid_field"),
        ({"name": "orphan"}, "invalid_field"),
        ({"type": "x"}, "invalid_field"),
        ({"currency": "usd"}, "invalid_field"),
        ({"min_age_days": "-1"}, "invalid_field"),
        ({"min_age_days": "99999999"}, "invalid_field"),
        ({"min_at_risk": "1.5"}, "invalid_field"),
        ({"unknown": "1"}, "invalid_field"),
        ({"assignee": "4242424242424242"}, "card_data_in_field"),
        ({"starting_after": "x"}, "invalid_cursor"),
        ({"starting_after": "WzFd"}, "invalid_cursor"),
        ({"starting_after": unmatched.Place("2026-11-23", 16, "net_x", "l").name}, "invalid_cursor"),
        ({"starting_after": unmatched.Place("", 1, "net_x", "l").name}, "invalid_cursor"),
    ],
)
def test_a_query_that_cannot_be_meant_is_refused(call, query, code):
    status, body, _ = call("GET", LIST, query=query)

    assert (status, body["error"]["code"]) == (400, code)


places = st.builds(unmatched.Place, st.text(min_size=1), st.integers(0, 15), st.text(min_size=1), st.text(min_size=1))


@given(places)
def test_a_cursor_is_its_place(place):
    assert unmatched.Place.of(place.name) == place


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.integers(0, 400), st.integers(0, 3), max_size=25), st.data())
def test_any_walk_is_the_whole_list(remake_tables, call, monkeypatch, found, data):
    remake_tables()
    make_table()
    ids = {put(network_ref=ref(number), open_since=days_ago(day)) for number, day in found.items()}
    monkeypatch.setattr(unmatched, "_BATCH", data.draw(st.integers(1, 6)))

    seen, _ = walked(call, data.draw(st.integers(1, 9)))

    assert sorted(seen) == sorted(ids)


def test_every_open_class_can_be_asked_for():
    assert set(get_args(OpenClass)) == discrepancies.OPEN
