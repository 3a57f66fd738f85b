"""Which model scores charges: what operators see of it, and how they change it."""

import json
import os
from hashlib import sha256

import pytest
from boto3.dynamodb.types import TypeSerializer

from functions.operations import fraud_model_changes, fraud_model_store, fraud_table
from payments import clients, records
from tests.functional.operations.conftest import ALICE, BOB

BUCKET, SHIPPED = os.environ["FRAUD_MODELS_BUCKET"], os.environ["SHIPPED_MODEL"]
OLD, NEW, OTHER = "lightgbm-aaaaaaaaaaaa", "lightgbm-bbbbbbbbbbbb", "lightgbm-cccccccccccc"
RUN = "20261128T030000-0a1b2c3d"
REPORT = {
    "run": RUN,
    "result": "promoted",
    "reasons": [],
    "champion": SHIPPED,
    "challenger": NEW,
    "steps": {"learn": {"gate": {"overall": {}}, "drift": {"features": {"amount_log": 0.02, "hour": 0.31}}}},
}


@pytest.fixture(autouse=True)
def bucket(services):
    clients.client("s3").create_bucket(Bucket=BUCKET)


def put_object(key, content):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    clients.client("s3").put_object(Bucket=BUCKET, Key=key, Body=body)


def put_model(version, run=None, trees=b"tree\n", **changes):
    about = {"version": version, "sha256": sha256(trees).hexdigest(), "training": {"run": run} if run else {}}
    put_object(f"models/{version}/model.json", {**about, **changes})
    put_object(f"models/{version}/model.txt", trees)


def put_item(entry, **values):
    item = {"scope": "global", "entry": entry, **values}
    serialized = {name: TypeSerializer().serialize(value) for name, value in item.items()}
    clients.client("dynamodb").put_item(TableName="fraud-rules", Item=serialized)


def stored():
    """The champion's item."""
    return fraud_table.read("global", "model#champion")


def audits():
    items = map(records.plain, clients.client("dynamodb").scan(TableName="fraud-rules")["Items"])
    return [item for item in items if item["scope"] == "global#audit"]


def switch(champion=SHIPPED, reason="it blocks good cards"):
    return {"champion": champion, "reason": reason}


def promote(call, version=NEW, champion=SHIPPED, key="1", **more):
    return call("POST", f"/fraud/models/{version}/promote", switch(champion), key=key, **more)


def rollback(call, champion=NEW, key="2", **more):
    return call("POST", "/fraud/models/rollback", switch(champion), key=key, **more)


def test_where_nothing_was_ever_promoted_the_shipped_model_is_the_champion(call):
    status, body, _ = call("GET", "/fraud/models")

    assert status == 200
    assert body["champion"] == {
        "object": "fraud_champion",
        "version": SHIPPED,
        "previous": None,
        "since": None,
        "by": None,
        "shipped": True,
    }
    assert (body["shadow"], body["shipped"], body["data"], body["has_more"]) == (None, SHIPPED, [], False)


def test_a_promoted_model_is_the_item_that_the_fraud_function_reads(call):
    put_model(NEW)

    status, body, _ = promote(call)

    assert (status, body["version"], body["previous"], body["shipped"]) == (200, NEW, SHIPPED, False)
    item = stored()
    assert {name: item[name] for name in ("version", "previous", "by")} == {
        "version": NEW,
        "previous": SHIPPED,
        "by": ALICE,
    }
    assert item["since"] == body["since"]
    assert call("GET", "/fraud/models")[1]["champion"]["version"] == NEW


def test_one_request_rolls_back_and_a_second_does_not_bring_the_bad_model_back(call):
    put_model(NEW)
    promote(call)

    status, body, _ = rollback(call)

    assert (status, body["version"], body["previous"], body["shipped"]) == (200, SHIPPED, None, True)
    assert "previous" not in stored()
    assert rollback(call, champion=SHIPPED, key="3")[1]["error"]["code"] == "fraud_model_no_previous"
    assert rollback(call, champion=NEW, key="4", arn=BOB)[1]["error"]["code"] == "fraud_model_changed"
    assert stored()["version"] == SHIPPED
    assert promote(call, key="5")[0] == 200, "by its name it may come back"


def test_there_is_nothing_before_the_shipped_model(call):
    status, body, _ = rollback(call, champion=SHIPPED)

    assert (status, body["error"]["code"]) == (409, "fraud_model_no_previous")
    assert stored() is None and not audits()


def test_the_trail_says_who_did_what_and_a_version_shows_its_own(call):
    for version in (NEW, OTHER):
        put_model(version)
    promote(call)
    rollback(call, arn=BOB)
    promote(call, version=OTHER, key="3")

    audit = call("GET", f"/fraud/models/{NEW}")[1]["audit"]

    assert [(done["what"], done["by"]) for done in audit] == [("promote", ALICE), ("rollback", BOB)]
    assert audit[0]["before"] is None and audit[0]["after"]["version"] == NEW
    assert audit[0]["request"] == {"version": NEW, "champion": SHIPPED, "reason": "it blocks good cards"}
    assert audit[1]["before"]["version"] == NEW and audit[1]["after"]["version"] == SHIPPED
    shipped = call("GET", f"/fraud/models/{SHIPPED}")[1]["audit"]
    assert [done["what"] for done in shipped] == ["rollback", "promote"]
    assert all(item["of"] == "model#champion" for item in audits())


def test_the_same_key_is_answered_as_before_and_does_nothing_again(call):
    put_model(NEW)
    first = promote(call)
    rollback(call)

    status, body, answer = promote(call)

    assert (status, body) == (200, first[1])
    assert answer["multiValueHeaders"]["Idempotent-Replayed"] == ["true"]
    assert stored()["version"] == SHIPPED
    assert len(audits()) == 2


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"/fraud/models/{OTHER}/promote", switch()),
        (f"/fraud/models/{NEW}/promote", switch(reason="another")),
        (f"/fraud/models/{NEW}/promote", switch(NEW)),
        ("/fraud/models/rollback", switch()),
    ],
)
def test_the_same_key_with_another_request_is_refused(call, path, body):
    for version in (NEW, OTHER):
        put_model(version)
    promote(call)

    status, answer, _ = call("POST", path, body, key="1")

    assert (status, answer["error"]["code"]) == (422, "idempotency_key_reused")
    assert stored()["version"] == NEW


def test_another_key_with_the_same_request_is_told_that_it_was_done(call):
    put_model(NEW)
    promote(call)

    assert promote(call, key="2")[1]["error"]["code"] == "fraud_model_changed"
    status, body, _ = promote(call, champion=NEW, key="3")
    assert (status, body["error"]["code"]) == (409, "fraud_model_is_champion")
    assert stored()["previous"] == SHIPPED


@pytest.fixture
def meanwhile(monkeypatch):
    """Does something between a command's look at the champion and its write, once."""

    def interrupt(act):
        point, acts = fraud_table.point, [act]

        def pointing(*arguments):
            if acts:
                acts.pop()()
            return point(*arguments)

        monkeypatch.setattr(fraud_table, "point", pointing)

    return interrupt


def test_of_two_operators_at_once_one_wins_and_the_other_is_told(call, meanwhile):
    for version in (NEW, OTHER):
        put_model(version)
    meanwhile(lambda: promote(call, version=OTHER, key="of bob", arn=BOB))

    status, body, _ = promote(call)

    assert (status, body["error"]["code"]) == (409, "fraud_model_changed")
    assert (stored()["version"], stored()["by"]) == (OTHER, BOB)
    assert len(audits()) == 1
    assert promote(call, champion=OTHER, key="1")[0] == 200, "nothing was done, so the key is free"


def test_of_two_rollbacks_at_once_one_wins(call, meanwhile):
    put_model(NEW)
    promote(call)
    meanwhile(lambda: rollback(call, key="of bob", arn=BOB))

    assert rollback(call)[1]["error"]["code"] == "fraud_model_changed"
    assert (stored()["version"], stored()["by"]) == (SHIPPED, BOB)


def test_a_champion_that_came_back_meanwhile_is_not_the_one_decided_against(call, meanwhile):
    """Of the same name, but since another time: to roll back now would go elsewhere."""
    put_model(NEW)
    put_model(OTHER)
    promote(call)

    def away_and_back():
        rollback(call, key="a", arn=BOB)
        promote(call, version=OTHER, key="b", arn=BOB)
        promote(call, version=NEW, champion=OTHER, key="c", arn=BOB)

    meanwhile(away_and_back)

    assert rollback(call)[1]["error"]["code"] == "fraud_model_changed"
    assert stored()["previous"] == OTHER


def test_the_same_request_twice_at_once_is_one(call, meanwhile):
    put_model(NEW)
    meanwhile(lambda: promote(call))

    status, body, answer = promote(call)

    assert (status, body["version"]) == (200, NEW)
    assert answer["multiValueHeaders"]["Idempotent-Replayed"] == ["true"]
    assert len(audits()) == 1


def test_a_model_that_training_put_in_charge_counts_whatever_its_time_looks_like(call):
    put_model(OLD)
    put_item("model#champion", version=NEW, previous=OLD, since=1_796_000_000, by="training")

    assert rollback(call)[0] == 200
    assert stored()["version"] == OLD


@pytest.mark.parametrize(
    "version", ["nothing", OTHER, "..", "a=2Fb", "%2E%2E%2Freports", "x" * 200, "4242424242424242"]
)
def test_an_unknown_version_is_neither_shown_nor_promoted(call, version):
    assert call("GET", f"/fraud/models/{version}")[1]["error"]["code"] == "fraud_model_not_found"
    status, body, _ = promote(call, version=version)

    assert (status, body["error"]["code"]) == (404, "fraud_model_not_found")
    assert version not in body["error"]["message"]
    assert stored() is None


@pytest.mark.parametrize("damage", ["no trees", "no json", "broken json", "other trees", "other version", "a list"])
def test_a_version_whose_files_are_damaged_is_not_promoted(call, damage):
    put_model(NEW)
    match damage:
        case "no trees" | "no json":
            file = "model.txt" if damage == "no trees" else "model.json"
            clients.client("s3").delete_object(Bucket=BUCKET, Key=f"models/{NEW}/{file}")
        case "broken json":
            put_object(f"models/{NEW}/model.json", b"{")
        case "a list":
            put_object(f"models/{NEW}/model.json", [])
        case "other trees":
            put_object(f"models/{NEW}/model.txt", b"tree")
        case "other version":
            put_object(f"models/{NEW}/model.json", {"version": OTHER, "sha256": sha256(b"tree\n").hexdigest()})

    assert promote(call)[1]["error"]["code"] == "fraud_model_not_found"
    assert stored() is None


def test_a_model_whose_files_are_gone_is_not_rolled_back_to(call):
    """As a shipped model that a deployment has replaced: the fraud function could not load it."""
    put_item("model#champion", version=NEW, previous=OLD, since="2026-11-28T03:00:00.000Z", by="training")

    status, body, _ = rollback(call)

    assert (status, body["error"]["code"]) == (409, "fraud_model_unavailable")
    assert stored()["version"] == NEW


def test_the_shipped_model_needs_no_files_here(call):
    put_model(NEW)
    promote(call)

    assert promote(call, version=SHIPPED, champion=NEW, key="2")[1]["shipped"] is True
    status, body, _ = call("GET", f"/fraud/models/{SHIPPED}")
    assert (status, body["model"], body["report"], body["champion"]) == (200, None, None, True)


def test_a_version_shows_its_model_its_report_and_what_it_is_now(call):
    put_model(NEW, run=RUN, held_out={"auc": 0.99})
    put_object(f"reports/{RUN}.json", REPORT)
    put_item("model#shadow", version=NEW, since="2026-11-28T03:05:00.000Z", run=RUN)

    _, body, _ = call("GET", f"/fraud/models/{NEW}")

    assert (body["id"], body["object"], body["shipped"], body["champion"]) == (NEW, "fraud_model", False, False)
    assert (body["shadow"], body["previous"]) == (True, False)
    assert body["model"]["held_out"] == {"auc": 0.99}
    assert body["report"] == {**REPORT, "id": RUN, "object": "fraud_training_report", "readable": True}
    shadow = call("GET", "/fraud/models")[1]["shadow"]
    assert shadow == {"version": NEW, "since": "2026-11-28T03:05:00.000Z", "run": RUN}


@pytest.mark.parametrize("run", ["../models/x", "gone", 7, None, {"a": 1}])
def test_a_model_whose_run_left_no_report_is_shown_all_the_same(call, run):
    put_model(NEW, training={"run": run})

    status, body, _ = call("GET", f"/fraud/models/{NEW}")

    assert (status, (body["report"] or {}).get("readable", False)) == (200, False)


def test_reports_are_listed_newest_first_page_by_page(call):
    for run in ("b", "d", "a", "c"):
        put_object(f"reports/{run}.json", {**REPORT, "run": run})
    put_object("models/x/model.json", {})
    put_object("reports/readme.txt", b"x")

    _, first, _ = call("GET", "/fraud/models", query={"limit": "3"})
    _, rest, _ = call("GET", "/fraud/models", query={"limit": "3", "starting_after": first["next_cursor"]})
    _, back, _ = call("GET", "/fraud/models", query={"limit": "1", "ending_before": "a"})

    assert [report["id"] for report in first["data"] + rest["data"]] == ["d", "c", "b", "a"]
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert [report["id"] for report in back["data"]] == ["b"]
    assert call("GET", "/fraud/models", query={"starting_after": "gone"})[1]["error"]["code"] == "invalid_cursor"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"drift": {"hour": NaN}}', b"\xff", b"[" * 100_000])
def test_a_corrupt_report_hides_no_other(call, content):
    put_object("reports/2.json", content)
    put_object("reports/1.json", REPORT)

    status, body, _ = call("GET", "/fraud/models")

    assert status == 200
    assert body["data"][0] == {"id": "2", "object": "fraud_training_report", "readable": False}
    assert body["data"][1]["steps"] == REPORT["steps"]


def test_what_a_report_says_of_itself_cannot_pass_for_what_it_is(call):
    put_object("reports/1.json", {**REPORT, "id": "other", "readable": False, "object": "fraud_champion"})

    (report,) = call("GET", "/fraud/models")[1]["data"]

    assert (report["id"], report["object"], report["readable"]) == ("1", "fraud_training_report", True)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"reason": "x"}, None),
        ({"champion": SHIPPED}, None),
        ({"champion": SHIPPED, "reason": ""}, "reason"),
        ({"champion": SHIPPED, "reason": "x", "version": NEW}, None),
        ({"champion": SHIPPED, "reason": "of 4242424242424242"}, "reason"),
        ({"champion": None, "reason": "x"}, "champion"),
    ],
)
def test_a_change_says_what_it_was_decided_against_and_why(call, body, param):
    for path in (f"/fraud/models/{NEW}/promote", "/fraud/models/rollback"):
        status, answer, _ = call("POST", path, body, key="1")
        assert (status, answer["error"].get("param")) == (400, param)
    assert stored() is None


def test_a_change_needs_a_key(call):
    for path in (f"/fraud/models/{NEW}/promote", "/fraud/models/rollback"):
        status, answer, _ = call("POST", path, switch())
        assert (status, answer["error"]["code"]) == (400, "idempotency_key_required")


def test_others_at_work_on_the_item_are_told_apart(call, monkeypatch):
    from botocore.exceptions import ClientError

    class Busy:
        def __getattr__(self, name):
            return getattr(clients.client("dynamodb"), name)

        def transact_write_items(self, **_):
            reasons = [{"Code": "None"}, {"Code": "None"}, {"Code": "TransactionConflict"}]
            answer = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
            raise ClientError(answer, "TransactWriteItems")

    put_model(NEW)
    monkeypatch.setattr(fraud_table, "client", lambda _: Busy())

    status, body, _ = promote(call)

    assert (status, body["error"]["code"]) == (409, "fraud_model_busy")


def test_a_bucket_that_does_not_answer_is_no_missing_model(call, monkeypatch):
    """A right that was forgotten must not read as "there is no such model"."""
    clients.client("s3").delete_bucket(Bucket=BUCKET)

    assert call("GET", f"/fraud/models/{NEW}")[0] == 503
    assert call("GET", "/fraud/models")[0] == 503
    assert promote(call)[0] == 503
    assert stored() is None


def test_names_are_those_of_the_contract():
    assert (fraud_model_changes.CHAMPION, fraud_model_changes.SHADOW) == ("model#champion", "model#shadow")
    assert fraud_model_store.REPORTS == "reports/"
