"""Who may ask at all, and the reports operators read."""

import json
from pathlib import Path

import pytest

from functions.operations import app, settings
from payments import clients
from payments.settings import load
from tests.functional.operations.conftest import ALICE, BUCKET, PAYMENT, put, store, stored

ROUTES = [
    ("GET", "/reconciliation/reports", None),
    ("GET", "/reconciliation/reports/run_00000007", None),
    ("GET", "/reconciliation/reports/run_00000007/csv", None),
    ("GET", "/discrepancies", None),
    ("GET", "/discrepancies/{}", None),
    ("POST", "/discrepancies/{}/assign", {"assignee": "x"}),
    ("POST", "/discrepancies/{}/comments", {"text": "x"}),
    ("POST", "/discrepancies/{}/resolve", {"action": "accept", "reason": "x"}),
    ("GET", "/fraud/lists", None),
    ("GET", "/fraud/lists/bin/424242", None),
    ("PUT", "/fraud/lists/bin/424242", {"action": "block", "reason": "x"}),
    ("DELETE", "/fraud/lists/bin/424242", {"reason": "x"}),
    ("GET", "/fraud/rules", None),
    ("GET", "/fraud/rules/a", None),
    ("PUT", "/fraud/rules/a", {"kind": "amount_limit", "when": {}, "action": "block", "state": "on", "reason": "x"}),
    ("GET", "/fraud/models", None),
    ("GET", "/fraud/models/m", None),
    ("POST", "/fraud/models/m/promote", {"champion": "x", "reason": "x"}),
    ("POST", "/fraud/models/rollback", {"champion": "x", "reason": "x"}),
    ("GET", "/conflicts", None),
    ("GET", f"/conflicts/{PAYMENT}", None),
    ("POST", f"/conflicts/{PAYMENT}/acknowledge", {"reason": "x"}),
    ("GET", "/reviews", None),
    ("GET", f"/reviews/{PAYMENT}", None),
    ("POST", f"/reviews/{PAYMENT}/approve", {"reason": "x"}),
    ("POST", f"/reviews/{PAYMENT}/decline", {"reason": "x"}),
]
REPORT = {"run": "run_00000007", "as_of": "2026-11-23", "match_rate": 99_987, "at_risk": {"USD": 500}, "totals": []}


@pytest.fixture
def production(monkeypatch):
    values = {"ENVIRONMENT": "production", "SETTLEMENTS_TABLE": "settlements", "RECONCILIATION_BUCKET": BUCKET}
    there = settings.OperationsSettings(
        BUCKET, "payments-ledger-book", "payments-ledger-command", "models", "m", environment=values["ENVIRONMENT"]
    )
    monkeypatch.setattr(settings, "load", lambda kind: there if kind is settings.OperationsSettings else load(kind))


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
@pytest.mark.parametrize("arn", [None, ""])
def test_without_an_identity_nothing_is_answered_in_production(call, production, method, path, body, arn):
    status, answer, _ = call(method, path.format(put()), body, key="1", arn=arn)

    assert (status, answer["error"]["type"], answer["error"]["code"]) == (403, "permission_error", "operator_unknown")
    assert set(stored()) == {"L1~0a1b2c3d"}
    assert "version" not in stored()["L1~0a1b2c3d"]


def test_with_an_identity_it_is(call, production):
    assert call("POST", f"/discrepancies/{put()}/assign", {"assignee": "x"}, key="1", arn=ALICE)[0] == 200


def test_the_environment_is_production_unless_it_says_otherwise():
    assert settings.OperationsSettings("b", "f", "c", "m", "v").environment == "production"


def test_the_local_cloud_knows_nobody(call):
    path = f"/discrepancies/{put()}"
    assert call("POST", f"{path}/comments", {"text": "x"}, key="1", arn=None)[0] == 200

    assert call("GET", path, arn=None)[1]["audit"][0]["by"] == "local"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nothing"), ("POST", "/discrepancies"), ("DELETE", "/discrepancies/a/b")]
)
def test_what_is_not_there_is_404_in_the_platforms_form(call, method, path):
    status, body, _ = call(method, path)

    assert (status, body["error"]["code"], body["error"]["request_id"]) == (404, "unknown_path", "request-1")


def test_a_fault_of_ours_tells_nothing_of_itself(call, monkeypatch):
    from functions.operations import table

    monkeypatch.setattr(table, "find", lambda _: 1 / 0)

    status, body, _ = call("GET", f"/discrepancies/{put()}")

    assert (status, body["error"]["code"]) == (503, "internal_error")
    assert "zero" not in json.dumps(body)


def test_every_route_is_in_the_guide():
    guide = (Path(__file__).parents[3] / "docs/operators_api.md").read_text()
    routes = {(route.method, route.path) for route in app.app._static_routes + app.app._dynamic_routes}

    assert len(routes) == 29
    for method, path in routes:
        told = path.removeprefix("/operations/v1/").replace("<", "{").replace(">", "}")
        assert f"`{method} {told}`" in guide


def put_reports(*days):
    for number, day in enumerate(days, 1):
        run = f"run_{number:08d}"
        told = {"match_rate": 99_000 + number, "at_risk": {"USD": number}, "clearing": [], "totals": [{"class": "x"}]}
        named = {"as_of": day, "run": run, "created_at": f"{day}T23:00:00.000Z", "report": json.dumps(told)}
        store({"network_ref": "report#all", "line": f"{day}#{run}", **named})


def test_reports_are_listed_newest_first_page_by_page(call):
    put_reports("2026-11-21", "2026-11-22", "2026-11-22", "2026-11-23")

    _, body, _ = call("GET", "/reconciliation/reports", query={"limit": "3"})
    _, rest, _ = call("GET", "/reconciliation/reports", query={"starting_after": body["next_cursor"]})

    assert [report["run"][-1] for report in body["data"] + rest["data"]] == ["4", "3", "2", "1"]
    assert (body["has_more"], rest["has_more"]) == (True, False)
    assert body["data"][0] == {
        "object": "reconciliation_report",
        "id": "rep_2026-11-23_run_00000004",
        "run": "run_00000004",
        "as_of": "2026-11-23",
        "created_at": "2026-11-23T23:00:00.000Z",
        "match_rate": 99_004,
        "at_risk": {"USD": 4},
        "clearing": [],
    }
    _, day, _ = call("GET", "/reconciliation/reports", query={"as_of_gte": "2026-11-22", "as_of_lt": "2026-11-23"})
    assert len(day["data"]) == 2
    assert call("GET", "/reconciliation/reports", query={"ending_before": "x"})[1]["error"]["code"] == "invalid_cursor"


@pytest.fixture
def report_files(services):
    contents = {"json": json.dumps(REPORT), "csv": "section,run\r\n", "html": "<!doctype html>ä"}
    for extension, content in contents.items():
        key = f"runs/run_00000007/report.{extension}"
        clients.client("s3").put_object(Bucket=BUCKET, Key=key, Body=content.encode())
    clients.client("s3").put_object(Bucket=BUCKET, Key="runs/run_00000007/manifest.json", Body=b"{}")


def test_a_report_is_read_as_a_value_a_table_or_a_page(call, report_files):
    path = "/reconciliation/reports/run_00000007"

    assert call("GET", path)[1] == {**REPORT, "request_id": "request-1"}
    for form, kind, content in (("csv", "text/csv", "section,run\r\n"), ("html", "text/html", "<!doctype html>ä")):
        status, body, answer = call("GET", f"{path}/{form}")
        assert (status, body) == (200, content)
        assert answer["multiValueHeaders"]["Content-Type"] == [f"{kind}; charset=utf-8"]
        assert "default-src 'none'" in answer["multiValueHeaders"]["Content-Security-Policy"][0]


@pytest.mark.parametrize(
    "path",
    ["run_00000008", "x", "..", "run_00000007%2Fmanifest", "run_00000007/json", "run_00000007/exe", "run_00000008/csv"],
)
def test_a_report_that_is_not_there_is_404(call, report_files, path):
    assert call("GET", f"/reconciliation/reports/{path}")[0] == 404
