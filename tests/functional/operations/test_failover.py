"""Operators fail and restore a region, see who writes for what, and why."""

from types import SimpleNamespace

import pytest
from botocore.client import BaseClient

from functions.operations import failover_changes
from payments import clock, identifiers, regions, shard_map, shard_moves
from payments.shard_map import Move, Sign
from tests.functional.operations.conftest import ALICE, BOB

EAST, WEST = "us-east-1", "us-west-2"


@pytest.fixture(autouse=True)
def few(services, monkeypatch):
    monkeypatch.setattr(identifiers, "SHARDS", 6)


def fail(call, region=EAST, key="1", reason="it does not answer", **more):
    return call("POST", f"/regions/{region}/fail", {"reason": reason}, key=key, **more)


def restore(call, region=EAST, key="2", reason="it is back", **more):
    return call("POST", f"/regions/{region}/restore", {"reason": reason}, key=key, **more)


def by_name(call):
    return {region["name"]: region for region in call("GET", "/regions")[1]["data"]}


def code(answer):
    return answer[0], answer[1]["error"]["code"]


def test_before_anything_was_moved_every_region_has_its_own(call):
    status, body, _ = call("GET", "/regions")

    assert (status, body["object"], body["move"], body["trail"]) == (200, "list", None, [])
    assert body["data"][0] == {
        "object": "region",
        "name": EAST,
        "state": "serving",
        "changed_at": None,
        "changed_by": None,
        "shards": 3,
        "shards_of_others": 0,
        "highest_epoch": 0,
        "sign_of_life": None,
    }


def test_a_failed_region_is_sent_no_traffic_and_its_shards_are_the_others(call):
    status, body, _ = fail(call)

    assert (status, body["object"], body["state"], body["moved"]) == (200, "shard_move", "done", 3)
    assert (body["number"], body["action"], body["region"], body["by"]) == (1, "fail", EAST, ALICE)
    found = by_name(call)
    assert (found[EAST]["state"], found[EAST]["shards"], found[EAST]["changed_by"]) == ("failed", 0, ALICE)
    assert (found[EAST]["changed_at"] >= body["at"]) and found[EAST]["highest_epoch"] is None
    assert (found[WEST]["shards"], found[WEST]["shards_of_others"], found[WEST]["highest_epoch"]) == (6, 3, 1)
    assert regions.assignment(0, fresh=True).primary == WEST


def test_it_comes_back_by_hand_and_the_trail_says_who_and_why(call):
    fail(call)
    assert restore(call, arn=BOB)[1]["moved"] == 3

    body = call("GET", "/regions")[1]
    told = [(move["number"], move["action"], move["by"], move["reason"]) for move in body["trail"]]
    assert told == [(2, "restore", BOB, "it is back"), (1, "fail", ALICE, "it does not answer")]
    assert body["move"] == body["trail"][0]
    assert by_name(call)[EAST]["state"] == "serving"


def test_the_trail_shows_the_newest_twenty(call):
    for number in range(11):
        fail(call, key=f"f{number}")
        restore(call, key=f"r{number}")

    trail = call("GET", "/regions")[1]["trail"]

    assert [move["number"] for move in trail] == list(range(22, 2, -1))


def test_the_same_request_again_is_answered_alike_and_does_nothing(call):
    first = fail(call)[1]
    restore(call)

    status, body, answer = fail(call)

    assert (status, body) == (200, first)
    assert answer["multiValueHeaders"]["Idempotent-Replayed"] == ["true"]
    assert by_name(call)[EAST]["state"] == "serving"


def test_a_key_means_one_request(call):
    fail(call)

    assert code(fail(call, reason="something else")) == (422, "idempotency_key_reused")
    assert code(restore(call, key="1")) == (422, "idempotency_key_reused")


def test_what_cannot_be_is_refused_and_changes_nothing(call):
    assert code(fail(call, region="eu-west-1")) == (404, "region_not_found")
    fail(call)
    assert code(fail(call, region=WEST, key="3")) == (409, "last_serving_region")
    assert code(call("POST", f"/regions/{EAST}/fail", {"reason": ""}, key="4")) == (400, "invalid_field")
    assert code(call("POST", f"/regions/{EAST}/fail", {"reason": "x"})) == (400, "idempotency_key_required")
    assert code(call("GET", "/regions", query={"limit": "3"})) == (400, "invalid_field")
    assert call("GET", "/regions")[1]["move"]["number"] == 1


def test_nobody_is_let_in_without_a_name(call, monkeypatch):
    monkeypatch.setattr("functions.operations.caller.settings", lambda: SimpleNamespace(environment="production"))

    assert code(call("GET", "/regions", arn=None)) == (403, "operator_unknown")
    assert code(fail(call, arn=None)) == (403, "operator_unknown")
    assert shard_map.overview().newest is None


def test_while_a_move_is_running_the_answer_names_it(call):
    now = clock.now()
    shard_map.begin(Move(1, "mov_other", "fail", EAST, BOB, "because", at=now, active_at=now), None)

    status, body, answer = restore(call)

    assert (status, body["error"]["code"]) == (409, "move_running")
    assert f"Move 1 (fail {EAST})" in body["error"]["message"]
    assert "Retry-After" in answer["multiValueHeaders"]
    assert call("GET", "/regions")[1]["move"]["state"] == "running"


def test_without_time_it_is_accepted_and_the_same_request_goes_on(call, monkeypatch):
    seconds = iter([0, 1, 2, failover_changes.BUDGET_SECONDS + 1])
    with monkeypatch.context() as patch:
        patch.setattr(failover_changes, "clock", SimpleNamespace(monotonic=lambda: next(seconds)))
        status, body, _ = fail(call)
    assert (status, body["state"], body["moved"]) == (202, "running", 2)
    assert by_name(call)[EAST]["shards"] == 1

    status, body, answer = fail(call)

    assert (status, body["state"], body["moved"]) == (200, "done", 3)
    assert "Idempotent-Replayed" not in answer["multiValueHeaders"]


def test_a_map_that_does_not_answer_is_a_503_and_the_same_request_goes_on(call, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(shard_map, "assign", lambda *_: refuse())
        assert code(fail(call)) == (503, "processing_failed")

    assert fail(call)[1]["moved"] == 3


def refuse():
    from botocore.exceptions import ReadTimeoutError

    raise ReadTimeoutError(endpoint_url="https://dynamodb")


def test_signs_of_life_are_shown_with_what_the_region_sees(call):
    shard_map.sign(Sign(EAST, clock.now(), True, '{"us-west-2":{"tables":true}}'))

    sign = by_name(call)[EAST]["sign_of_life"]

    assert sign["well"] and sign["sees"] == {"us-west-2": {"tables": True}}
    assert 0 <= sign["age_seconds"] < 60
    assert by_name(call)[WEST]["sign_of_life"] is None


def test_nothing_is_asked_of_any_other_region(call, monkeypatch):
    """It must work while the other one is gone."""
    asked, request = set(), BaseClient._make_api_call

    def noticed(client, operation, arguments):
        asked.add((client.meta.region_name, client.meta.service_model.service_name))
        return request(client, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", noticed)

    fail(call)
    call("GET", "/regions")
    restore(call)

    assert asked == {(EAST, "dynamodb")}, "this test's region, and nothing but the map"


def test_an_operators_key_is_no_decision_of_the_watchman():
    assert identifiers.move_id("operator", "1") != identifiers.move_id("watchman", "1")
    assert shard_moves.LAPSE_SECONDS > failover_changes.BUDGET_SECONDS, "who is at it is not taken for gone"
