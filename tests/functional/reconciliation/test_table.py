"""What a run leaves in the table: its results beside what operators add, and never over a later run's."""

import pytest

from functions.reconciliation import runs, table
from payments import clients
from tests.functional.reconciliation.world import stored

REF = "net_00" + "a" * 24


def row(name="line-1", **changes):
    values = {
        "network_ref": REF,
        "line": name,
        "class": "matched",
        "type": "capture",
        "movement": "",
        "expected": 4200,
        "note": None,
        "split": False,
        "changed": True,
        "withdrawn": False,
        "open_since": None,
    }
    return {**values, **changes}


def opened(name="line-1", **changes):
    return row(name, **{"class": "amount_mismatch", "open_since": "2026-11-20", **changes})


@pytest.fixture
def run(world):
    """Makes the next run, and ends the one before."""

    def make():
        found = runs.begin(f"execution-{len(stored('settlements'))}", None, None).run
        runs.close(found, {}, matched=True)
        return found

    return make


def item(name="line-1"):
    (found,) = [found for found in stored("settlements") if found["line"]["S"] == name]
    return {key: next(iter(value.values())) for key, value in found.items()}


def operator(change, name="line-1", **values):
    clients.client("dynamodb").update_item(
        TableName="settlements",
        Key={"network_ref": {"S": REF}, "line": {"S": name}},
        UpdateExpression=change,
        ExpressionAttributeValues={f":{key}": {"S": value} for key, value in values.items()},
    )


def listed():
    """What the index of open results has."""
    answer = clients.client("dynamodb").scan(TableName="settlements", IndexName="unmatched")
    return sorted(found["line"]["S"] for found in answer["Items"])


def test_a_result_has_its_attributes_and_none_that_are_not_there(run):
    first = run()

    table.write([row()], first)

    found = item()
    assert (found["class"], found["expected"], found["run"]) == ("matched", "4200", first.run)
    assert (found["changed_at"], found["first_seen"]) == (first.began_at, first.began_at)
    assert not found.keys() & {"note", "open", "open_since", "changed", "withdrawn"}


def test_what_is_open_is_listed_until_it_no_longer_is(run):
    table.write([opened(), row("line-2")], run())
    assert listed() == ["line-1"]

    table.write([row()], run())

    assert listed() == []


def test_an_attribute_that_a_later_result_lacks_goes(run):
    table.write([row(note="the payment is known")], run())
    table.write([row()], run())

    assert "note" not in item()


def test_first_seen_stays_and_what_changed_is_told(run, world):
    first = run()
    table.write([opened()], first)
    world.now = "2026-11-24T10:00:00.000Z"
    second = run()

    table.write([row()], second)

    assert (item()["first_seen"], item()["changed_at"]) == (first.began_at, second.began_at)


def test_what_operators_add_stays(run):
    table.write([opened()], run())
    operator("SET assignee = :who, wait_until = :day", who="ada", day="2026-12-01")

    table.write([opened(expected=1)], run())

    assert (item()["assignee"], item()["wait_until"], item()["expected"]) == ("ada", "2026-12-01", "1")
    assert listed() == ["line-1"], "who reads the list leaves out what waits"


def test_what_an_operator_has_decided_is_not_listed_again(run):
    table.write([opened()], run())
    operator("SET resolution = :it REMOVE open_since", it="accepted")

    table.write([opened(expected=1)], run())

    assert listed() == []
    assert item()["expected"] == "1"


def test_an_earlier_run_changes_nothing_of_a_later_one(run):
    first, second = run(), run()
    table.write([row()], second)
    before = stored("settlements")

    table.write([opened(), row("line-1", withdrawn=True)], first)

    assert stored("settlements") == before


def test_the_same_again_is_the_same(run):
    first = run()
    rows = [opened(), row("line-2"), row("gone", withdrawn=True)]
    table.write(rows, first)
    before = stored("settlements")

    table.write(rows, first)

    assert stored("settlements") == before


def test_a_record_whose_movement_now_has_a_line_goes(run):
    table.write([opened("capture#"), row("line-2")], run())

    table.write([row("capture#", withdrawn=True)], run())

    assert [found["line"]["S"] for found in stored("settlements") if found["network_ref"]["S"] == REF] == ["line-2"]


@pytest.mark.parametrize("name", ["assignee", "disputed", "resolution", "wait_until"])
def test_a_record_that_goes_but_was_worked_on_stays_and_is_closed(run, name):
    table.write([opened("capture#", at_risk=5)], run())
    operator(f"SET {name} = :it", "capture#", it="x")

    table.write([row("capture#", withdrawn=True)], run())

    assert (item("capture#")["class"], item("capture#")["at_risk"], item("capture#")[name]) == ("withdrawn", "0", "x")
    assert listed() == []


def test_many_results_are_written(run):
    table.write((row(f"line-{n}") for n in range(120)), run())

    assert len([found for found in stored("settlements") if found["network_ref"]["S"] == REF]) == 120


def test_what_is_known_of_payments_is_found(run):
    table.write([row(), row("line-2")], run())

    assert [found["line"] for found in table.known([REF, REF, "net_unknown"])] == ["line-1", "line-2"]
    assert table.known([]) == []


def test_a_file_is_taken_by_one_run(world):
    assert table.take("f" * 32, {"run": "run_1", "result": "accepted"})["run"] == "run_1"
    assert table.take("f" * 32, {"run": "run_2", "result": "accepted"})["run"] == "run_1"


def test_a_file_that_was_refused_may_be_offered_again(world):
    table.take("f" * 32, {"run": "run_1", "result": "refused"})

    assert table.take("f" * 32, {"run": "run_2", "result": "accepted"})["run"] == "run_2"
