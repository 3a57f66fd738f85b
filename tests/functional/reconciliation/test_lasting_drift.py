"""A drift that lasts: what the alarm counts, account by account, of two runs in a row."""

import json

from tests.functional.reconciliation.test_run import metrics


def lasting(world, capsys, name):
    """What a run counts."""
    capsys.readouterr()
    world.run(name)
    return metrics(capsys)["ReconciliationDriftLasting"]


def test_a_drift_counts_from_the_second_run_on(world, capsys):
    world.lost = {world.payment("a", 4200).payment_id}
    world.project()

    assert lasting(world, capsys, "first") == [0]
    assert lasting(world, capsys, "second") == [4200]
    assert lasting(world, capsys, "third") == [4200]


def test_a_drift_that_is_gone_counts_no_longer(world, capsys):
    world.lost = {world.payment("a", 4200).payment_id}
    world.project()
    lasting(world, capsys, "first")
    world.projected, world.lost = set(), set()
    world.project()

    assert lasting(world, capsys, "second") == [0]


def test_drifts_of_two_accounts_are_not_one_that_lasts(world, capsys):
    earlier = {"clearing": [{"network": "amex", "currency": "USD", "drift": 100}], "match_rate": None, "at_risk": {}}
    lasting(world, capsys, "first")
    world.put("runs/run_00000001/report.json", json.dumps({**earlier, "run": "run_00000001"}).encode())
    world.lost = {world.payment("a", 4200).payment_id}
    world.project()

    assert lasting(world, capsys, "second") == [0]
    assert lasting(world, capsys, "third") == [4200]


def test_of_a_drift_that_grows_or_turns_round_the_lesser_amount_lasts(world, capsys):
    earlier = {"clearing": [{"network": "visa", "currency": "USD", "drift": 100}], "match_rate": None, "at_risk": {}}
    lasting(world, capsys, "first")
    world.put("runs/run_00000001/report.json", json.dumps({**earlier, "run": "run_00000001"}).encode())
    world.lost = {world.payment("a", 4200).payment_id}
    world.project()

    assert lasting(world, capsys, "second") == [100]
