"""Reports of reconciliation as merchants see them: their own, newest first, page by page."""

import json

import pytest

from payments import clients
from tests.functional.api.merchant import PAN
from tests.functional.samples import MERCHANT

REPORTS = "/api/v1/reconciliation/reports"
OTHER = "mer_" + "b" * 24


def total(**changes):
    amounts = {"lines": 3, "amount": 12_600, "difference": -5, "at_risk": 5}
    return {"class": "amount_mismatch", "type": "capture", "currency": "USD", **amounts, **changes}


def put(number, as_of, merchant=MERCHANT, totals=None):
    run = f"run_{number:08d}"
    report = {"as_of": as_of, "run": run, "created_at": f"{as_of}T23:00:00.000Z"}
    told = json.dumps({**report, "totals": [total()] if totals is None else totals})
    item = {"network_ref": f"report#{merchant}", "line": f"{as_of}#{run}", "report": told, **report}
    clients.client("dynamodb").put_item(
        TableName="settlements", Item={name: {"S": value} for name, value in item.items()}
    )
    return f"rep_{as_of}_{run}"


@pytest.fixture
def seven(call):
    """Ids of seven reports of four days, the newest first."""
    days = ("2026-11-20", "2026-11-21", "2026-11-21", "2026-11-22", "2026-11-23", "2026-11-23", "2026-11-23")
    put(99, "2026-11-22", OTHER)
    return [put(number, day) for number, day in enumerate(days, 9)][::-1]


def listed(call, **query):
    status, body, _ = call("GET", REPORTS, query={name: str(value) for name, value in query.items()} or None)
    assert status == 200, body
    return [report["id"] for report in body["data"]], body


def test_a_report_says_what_was_settled_of_the_merchants_payments(call):
    put(7, "2026-11-23", totals=[total(), total(currency="JPY", amount=500)])

    _, body, _ = call("GET", REPORTS)

    assert body["data"] == [
        {
            "id": "rep_2026-11-23_run_00000007",
            "object": "reconciliation_report",
            "as_of": "2026-11-23",
            "run": "run_00000007",
            "created_at": "2026-11-23T23:00:00.000Z",
            "totals": [total(), total(currency="JPY", amount=500)],
        }
    ]
    assert (body["has_more"], body["next_cursor"]) == (False, None)


def test_a_merchant_sees_only_its_own(call, seven):
    own, _ = listed(call)
    others = call("GET", REPORTS, merchant=OTHER)[1]["data"]

    assert own == seven
    assert [report["run"] for report in others] == ["run_00000099"]
    assert call("GET", REPORTS, merchant="mer_" + "c" * 24)[1]["data"] == []


def test_the_reports_for_operators_are_nobody_elses(call):
    put(1, "2026-11-23", "all")

    assert listed(call)[0] == []
    for name in ("all", "mer_"):
        assert (
            call("GET", REPORTS, query={"starting_after": "rep_2026-11-23_run_00000001"}, merchant=name + "x")[0] == 400
        )


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 8])
def test_walking_on_and_back_shows_each_report_once(call, seven, limit):
    found, cursor = [], {}
    while True:
        page, body = listed(call, limit=limit, **cursor)
        found += page
        if not body["has_more"]:
            break
        cursor = {"starting_after": body["next_cursor"]}
    assert found == seven

    found, cursor = [seven[-1]], {"ending_before": seven[-1]}
    while True:
        page, body = listed(call, limit=limit, **cursor)
        found = page + found
        if not body["has_more"]:
            break
        cursor = {"ending_before": body["next_cursor"]}
    assert found == seven


def test_a_new_report_does_not_shift_the_pages_of_a_walk(call, seven):
    first, body = listed(call, limit=3)
    new = put(50, "2026-11-24")

    rest, _ = listed(call, limit=10, starting_after=body["next_cursor"])

    assert first + rest == seven
    assert listed(call, ending_before=seven[0])[0] == [new]


def test_days_are_filtered_from_and_to(call, seven):
    assert listed(call, as_of_gte="2026-11-22")[0] == seven[:4]
    assert listed(call, as_of_lt="2026-11-22")[0] == seven[4:]
    assert listed(call, as_of_gte="2026-11-21", as_of_lt="2026-11-22")[0] == seven[4:6]
    assert listed(call, as_of_gte="2026-11-23", as_of_lt="2026-11-23")[0] == []
    assert listed(call, as_of_gte="2027-01-01", as_of_lt="2020-01-01")[0] == []
    assert listed(call, as_of_gte="2026-11-22", starting_after=seven[1])[0] == seven[2:4]
    assert listed(call, as_of_lt="2026-11-22", starting_after=seven[1])[0] == seven[4:]
    assert listed(call, as_of_lt="2026-11-22", ending_before=seven[5])[0] == seven[4:5]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"starting_after": "rep_2026-11-22_run_00000099"}, "invalid_cursor"),
        ({"starting_after": "rep_2026-11-23_run_77777777"}, "invalid_cursor"),
        ({"starting_after": "2026-11-23#run_00000015"}, "invalid_cursor"),
        ({"ending_before": "x"}, "invalid_cursor"),
        ({"limit": "0"}, "invalid_field"),
        ({"as_of_gte": "yesterday"}, "invalid_field"),
        ({"as_of_gte": "2026-11-31"}, "invalid_field"),
        ({"as_of": "2026-11-23"}, "invalid_field"),
        ({"as_of_lt": PAN}, "card_data_in_field"),
    ],
)
def test_a_query_that_cannot_be_meant_is_refused(call, seven, query, code):
    status, body, _ = call("GET", REPORTS, query=query)

    assert (status, body["error"]["code"]) == (400, code)
    assert PAN not in json.dumps(body)
