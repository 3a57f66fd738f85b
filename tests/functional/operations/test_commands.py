"""Commands on a discrepancy that book nothing: assign, comment, wait, dispute; and the trail they leave."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from functions.operations import table
from tests.functional.operations.conftest import ALICE, BOB, REF, put, result, store, stored

PAN = "4242424242424242"
TOMORROW = str(datetime.now(UTC).date() + timedelta(days=1))
ASSIGN = {"assignee": "alice"}
COMMENT = {"text": "asked the acquirer"}
WAIT = {"action": "wait", "reason": "a correction is announced", "until": TOMORROW}
DISPUTE = {"action": "dispute", "reason": "they owe us five dollars"}
ALL = [("assign", ASSIGN), ("comments", COMMENT), ("resolve", WAIT), ("resolve", DISPUTE)]


@pytest.fixture
def path(services):
    return f"/discrepancies/{put()}"


def seen(call, path):
    status, body, _ = call("GET", path)
    assert status == 200, body
    return body


def test_a_discrepancy_is_shown_with_its_trail_and_what_else_there_is_of_the_payment(call, path):
    put(line="L2~ffffffff", settled=4200, at_risk=4200, **{"class": "duplicate_at_network"})
    put(network_ref="net_other", line="L1~0a1b2c3d")

    body = seen(call, path)

    assert body["id"] == f"{REF}/L1~0a1b2c3d"
    assert (body["network_ref"], body["record"]) == (REF, "L1~0a1b2c3d")
    assert [other["record"] for other in body["related"]] == ["L2~ffffffff"]
    assert body["audit"] == []
    assert body["request_id"] == "request-1"


def test_assigning_is_seen_and_can_be_taken_back(call, path):
    status, body, _ = call("POST", f"{path}/assign", ASSIGN, key="1")
    assert (status, body["assignee"]) == (200, "alice")
    assert seen(call, path)["assignee"] == "alice"

    call("POST", f"{path}/assign", {"assignee": None}, key="2", arn=BOB)

    body = seen(call, path)
    assert body["assignee"] is None
    assert [(one["what"], one["by"], one["before"], one["after"]) for one in body["audit"]] == [
        ("assign", ALICE, {"assignee": None}, {"assignee": "alice"}),
        ("assign", BOB, {"assignee": "alice"}, {"assignee": None}),
    ]


def test_a_comment_is_in_the_trail(call, path):
    status, _, _ = call("POST", f"{path}/comments", COMMENT, key="1")

    (comment,) = seen(call, path)["audit"]
    assert status == 200
    assert (comment["what"], comment["by"], comment["request"]) == ("comment", ALICE, COMMENT)
    assert abs(datetime.fromisoformat(comment["at"]) - datetime.now(UTC)) < timedelta(minutes=1)


def test_waiting_hides_it_from_the_list_and_leaves_it_open(call, path):
    status, body, _ = call("POST", f"{path}/resolve", WAIT, key="1")

    assert (status, body["wait_until"], body["open"]) == (200, TOMORROW, True)
    assert call("GET", "/discrepancies")[1]["data"] == []
    assert seen(call, path)["audit"][0]["request"] == WAIT


def test_a_disputed_one_stays_open_and_at_risk(call, path):
    status, body, _ = call("POST", f"{path}/resolve", DISPUTE, key="1")

    assert (status, body["open"], body["at_risk"]) == (200, True, 500)
    (listed,) = call("GET", "/discrepancies")[1]["data"]
    assert (listed["disputed"]["by"], listed["disputed"]["reason"]) == (ALICE, DISPUTE["reason"])


def test_nothing_of_it_touches_what_runs_write_or_go_by(call, path):
    before = stored()["L1~0a1b2c3d"]

    for number, (name, body) in enumerate(ALL):
        assert call("POST", f"{path}/{name}", body, key=str(number))[0] == 200

    after = stored()["L1~0a1b2c3d"]
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"version", "assignee", "wait_until", "disputed"}
    assert "resolution" not in after, "runs take what has one for decided"


@pytest.mark.parametrize(("name", "body"), ALL)
def test_the_same_key_again_is_the_same_answer_and_happens_once(call, path, name, body):
    first = call("POST", f"{path}/{name}", body, key="key-1")
    items = stored()

    again = call("POST", f"{path}/{name}", body, key="key-1", arn=BOB)

    assert again[:2] == first[:2]
    assert "Idempotent-Replayed" not in first[2]["multiValueHeaders"]
    assert again[2]["multiValueHeaders"]["Idempotent-Replayed"] == ["true"]
    assert stored() == items


def test_a_replay_tells_what_was_answered_then(call, path):
    first = call("POST", f"{path}/assign", ASSIGN, key="1")[1]
    call("POST", f"{path}/assign", {"assignee": "bob"}, key="2")

    assert call("POST", f"{path}/assign", ASSIGN, key="1")[1] == first
    assert seen(call, path)["assignee"] == "bob"


def test_a_key_is_for_one_request_on_one_record(call, path):
    other = put(network_ref="net_other")
    call("POST", f"{path}/assign", ASSIGN, key="1")

    for where, name, body in (
        (path, "assign", {"assignee": "bob"}),
        (path, "comments", COMMENT),
        (path, "resolve", DISPUTE),
        (path, "resolve", {"action": "accept", "reason": "x"}),
        (f"/discrepancies/{other}", "assign", ASSIGN),
    ):
        status, answer, _ = call("POST", f"{where}/{name}", body, key="1")
        assert (status, answer["error"]["code"]) == (422, "idempotency_key_reused")
    assert "version" not in stored("net_other")["L1~0a1b2c3d"]


@pytest.mark.parametrize(("name", "body"), [*ALL, ("resolve", {"action": "accept", "reason": "x"})])
def test_a_key_is_required(call, path, name, body):
    status, answer, _ = call("POST", f"{path}/{name}", body)
    assert (status, answer["error"]["code"]) == (400, "idempotency_key_required")

    status, answer, _ = call("POST", f"{path}/{name}", body, key="k" * 256)
    assert (status, answer["error"]["code"]) == (400, "idempotency_key_too_long")


@pytest.mark.parametrize(("name", "body"), ALL)
def test_of_two_operators_at_one_moment_the_second_is_told(call, path, monkeypatch, name, body):
    transact, others = table.transact, [lambda: call("POST", f"{path}/comments", COMMENT, key="bobs", arn=BOB)]

    def late(operations):
        if others:
            assert others.pop()()[0] == 200
        transact(operations)

    monkeypatch.setattr(table, "transact", late)
    status, answer, sent = call("POST", f"{path}/{name}", body, key="alices")

    assert (status, answer["error"]["code"]) == (409, "discrepancy_changed")
    assert sent["multiValueHeaders"]["Retry-After"]
    assert [one["by"] for one in seen(call, path)["audit"]] == [BOB]
    assert call("POST", f"{path}/{name}", body, key="alices")[0] == 200, "nothing was kept under the key"


@pytest.mark.parametrize(("name", "body"), ALL)
def test_the_same_request_twice_at_one_moment_happens_once(call, path, monkeypatch, name, body):
    transact, others = table.transact, [lambda: call("POST", f"{path}/{name}", body, key="same")]

    def late(operations):
        if others:
            assert others.pop()()[0] == 200
        transact(operations)

    monkeypatch.setattr(table, "transact", late)

    assert call("POST", f"{path}/{name}", body, key="same")[0] == 200
    assert len(seen(call, path)["audit"]) == 1


@pytest.mark.parametrize(("name", "body"), ALL)
def test_a_run_that_closes_it_first_wins(call, path, monkeypatch, name, body):
    transact = table.transact

    def late(operations):
        store(result(run="run_00000008", open_since=None, **{"class": "matched"}))
        transact(operations)

    monkeypatch.setattr(table, "transact", late)
    status, answer, _ = call("POST", f"{path}/{name}", body, key="1")

    assert (status, answer["error"]["code"]) == (409, "discrepancy_closed")
    assert stored()["L1~0a1b2c3d"]["class"] == "matched"
    assert set(stored()) == {"L1~0a1b2c3d"}, "no trail of what did not happen"


@pytest.mark.parametrize(("name", "body"), ALL)
@pytest.mark.parametrize("changes", [{"class": "matched"}, {"class": "resolved"}, {"resolution": '{"state":"done"}'}])
def test_what_is_closed_is_not_changed_any_more(call, services, name, body, changes):
    path = f"/discrepancies/{put(open_since=None, **changes)}"

    status, answer, _ = call("POST", f"{path}/{name}", body, key="1")

    assert (status, answer["error"]["code"]) == (409, "discrepancy_closed")
    assert "version" not in stored()["L1~0a1b2c3d"]


@pytest.mark.parametrize(
    "place",
    [
        "net_x/L1",
        f"{REF}/L2",
        f"{REF}/L1~0a1b2c3d=23audit=231",
        "run/current",
        "key=231/-",
        "report=23all/2026-11-23=23run_00000001",
        f"{REF}/=ZZ",
        f"{REF}/=FF",
        f"{REF}/=23%",
    ],
)
def test_what_is_no_discrepancy_is_not_found(call, path, place):
    store({"network_ref": "run", "line": "current", "run": "run_00000007", "state": "over"})
    store({"network_ref": "report#all", "line": "2026-11-23#run_00000001", "report": "{}"})
    call("POST", f"{path}/assign", ASSIGN, key="1")

    for method, more, body in (("GET", "", None), ("POST", "/assign", ASSIGN)):
        status, answer, _ = call(method, f"/discrepancies/{place}{more}", body, key="2")
        assert (status, answer["error"]["code"]) == (404, "discrepancy_not_found")


@pytest.mark.parametrize(
    "record", ["capture#", "refund#ref_1", "a/b~12345678", "=1+1~x", "ä ö%23?&~x", "..", "a#audit#b~1"]
)
def test_records_are_named_by_whatever_a_file_said(call, services, record):
    put(line="other~1")
    identifier = put(line=record, network_ref="net/1 #%")

    assert seen(call, f"/discrepancies/{identifier}")["record"] == record
    assert call("POST", f"/discrepancies/{identifier}/assign", ASSIGN, key="1")[0] == 200
    assert len(seen(call, f"/discrepancies/{identifier}")["audit"]) == 1
    encoded = identifier.replace("=", "%3D")
    assert seen(call, f"/discrepancies/{encoded}")["assignee"] == "alice"


@pytest.mark.parametrize(
    ("name", "body", "code"),
    [
        ("assign", "{", "invalid_json"),
        ("assign", None, "invalid_json"),
        ("assign", {}, "invalid_field"),
        ("assign", {"assignee": ""}, "invalid_field"),
        ("assign", {"assignee": "x" * 201}, "invalid_field"),
        ("assign", {"assignee": 7}, "invalid_field"),
        ("assign", {"assignee": "alice", "by": "root"}, "invalid_field"),
        ("comments", {"text": ""}, "invalid_field"),
        ("comments", {"text": "x" * 501}, "invalid_field"),
        ("resolve", {"action": "accept"}, "invalid_field"),
        ("resolve", {"action": "close", "reason": "x"}, "invalid_field"),
        ("resolve", {"action": "accept", "reason": ""}, "invalid_field"),
        ("resolve", {"action": "accept", "reason": "x", "amount": 1}, "invalid_field"),
        ("resolve", {"action": "accept", "reason": "x", "until": TOMORROW}, "invalid_field"),
        ("resolve", {"action": "dispute", "reason": "x", "amount": 1}, "invalid_field"),
        ("resolve", {"action": "wait", "reason": "x"}, "invalid_field"),
        ("resolve", {"action": "wait", "reason": "x", "until": "tomorrow"}, "invalid_field"),
        ("resolve", {"action": "wait", "reason": "x", "until": str(datetime.now(UTC).date())}, "invalid_field"),
        ("resolve", {"action": "adjust", "reason": "x"}, "invalid_field"),
        ("resolve", {"action": "adjust", "reason": "x", "amount": 0}, "invalid_amount"),
        ("resolve", {"action": "adjust", "reason": "x", "amount": 10**15}, "invalid_amount"),
        ("resolve", {"action": "adjust", "reason": "x", "amount": 1.5}, "invalid_field"),
        ("resolve", {"action": "adjust", "reason": "x", "amount": True}, "invalid_field"),
        ("comments", {"text": f"the card was {PAN}"}, "card_data_in_field"),
        ("comments", {"text": "4242 4242 4242 4242"}, "card_data_in_field"),
        ("assign", {"assignee": PAN}, "card_data_in_field"),
        ("resolve", {"action": "dispute", "reason": f"card {PAN}"}, "card_data_in_field"),
        ("resolve", {"action": "accept", "reason": f"card {PAN}"}, "card_data_in_field"),
    ],
)
def test_a_bad_request_is_refused_and_nothing_is_kept(call, path, services, name, body, code):
    status, answer, _ = call("POST", f"{path}/{name}", body, key="1")

    assert (status, answer["error"]["code"]) == (400, code)
    assert PAN not in json.dumps(answer)
    assert set(stored()) == {"L1~0a1b2c3d"}
    assert services.writes == []


def test_a_card_number_as_a_key_is_refused(call, path):
    assert call("POST", f"{path}/assign", ASSIGN, key=PAN)[1]["error"]["code"] == "card_data_in_field"
