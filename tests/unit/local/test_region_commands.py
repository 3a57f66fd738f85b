"""`payments region fail|restore|map`: whom it asks, how often, and what it shows."""

import json
from contextlib import contextmanager

import httpx
import pytest
import typer
from typer.testing import CliRunner

from local import cli, region_commands, shown
from local.ledger import Refused
from tests.unit.local.test_operations import Api, client

MOVE = {"number": 1, "id": "mov_1", "action": "fail", "region": "us-east-1", "by": "local", "reason": "gone",
        "at": "2026-11-28T10:00:00.000Z", "state": "done", "moved": 64}  # fmt: skip
RUNNING = {**MOVE, "state": "running", "moved": 20}
EAST = {"name": "us-east-1", "state": "failed", "changed_at": "2026-11-28T10:00:00.000Z", "shards": 0,
        "shards_of_others": 0, "highest_epoch": None, "sign_of_life": None}  # fmt: skip
WEST = {**EAST, "name": "us-west-2", "state": "serving", "changed_at": None, "shards": 128, "shards_of_others": 64,
        "highest_epoch": 7, "sign_of_life": {"age_seconds": 1.5, "well": True}}  # fmt: skip
MAP = {"data": [EAST, WEST], "move": MOVE, "trail": [MOVE]}


@pytest.fixture
def run(monkeypatch):
    """Runs a command against answers; tells what it printed, which regions it asked, and what."""

    def running(*arguments, answers=((200, MOVE),), silent=()):
        api, regions = Api(*answers), []

        def gone(request):
            raise httpx.ConnectTimeout("nobody there")

        @contextmanager
        def opened(region, in_aws):
            regions.append(region)
            try:
                yield client(gone if region in silent else api)
            except (Refused, httpx.HTTPError) as error:
                typer.echo(str(error))
                raise typer.Exit(1) from None

        monkeypatch.setattr(region_commands, "api_of", opened)
        monkeypatch.setattr(shown.console, "_width", 200)
        return CliRunner().invoke(cli.app, ["region", *arguments]), regions, api.asked

    return running


@pytest.mark.parametrize("action", ["fail", "restore"])
def test_another_region_than_the_lost_one_is_asked(run, action):
    result, regions, (asked,) = run(action, "us-east-1", "--reason", "gone")

    assert result.exit_code == 0 and '"moved": 64' in result.output
    assert regions == ["us-west-2"]
    assert (asked.method, asked.url.path.partition("/v1")[2]) == ("POST", f"/regions/us-east-1/{action}")
    assert json.loads(asked.content) == {"reason": "gone"}
    assert asked.headers["Idempotency-Key"].startswith("key-")
    assert run(action, "us-west-2", "--reason", "gone")[1] == ["us-east-1"]
    assert run(action, "us-east-1", "--reason", "gone", "--region", "us-east-1")[1] == ["us-east-1"], "if told so"


def test_a_move_that_its_request_had_no_time_for_goes_on_under_the_same_key(run):
    answers = ((202, RUNNING), (202, RUNNING), (200, MOVE))
    result, _, asked = run("fail", "us-east-1", "--reason", "gone", answers=answers)

    assert result.exit_code == 0 and '"state": "done"' in result.output
    assert len({request.headers["Idempotency-Key"] for request in asked}) == 1 and len(asked) == 3


def test_what_is_refused_is_told_with_the_key_to_ask_again(run):
    refusal = {"error": {"code": "move_running", "message": "Move 3 (restore us-east-1) is under way."}}
    result, _, (asked,) = run("fail", "us-east-1", "--reason", "gone", answers=((409, refusal),))

    assert result.exit_code == 1
    assert "move_running" in result.output and "Move 3" in result.output
    assert f"--key {asked.headers['Idempotency-Key']}" in result.output


def test_a_given_key_is_used(run):
    (asked,) = run("fail", "us-east-1", "--reason", "gone", "--key", "k-1")[2]

    assert asked.headers["Idempotency-Key"] == "k-1"


def test_the_map_shows_every_region_and_the_moves(run):
    result, regions, _ = run("map", answers=((200, MAP),))

    assert result.exit_code == 0 and regions == ["us-east-1"]
    lines = result.output.splitlines()
    (east,) = (line for line in lines if "us-east-1" in line and "failed" in line)
    (west,) = (line for line in lines if "us-west-2" in line and "serving" in line)
    assert "never" in east
    assert all(cell in west for cell in ("128", "64", "7", "1.5 s ago"))
    assert "gone" in result.output


def test_the_map_is_shown_by_the_region_that_is_left(run):
    result, regions, _ = run("map", answers=((200, {**MAP, "move": RUNNING, "trail": []}),), silent=("us-east-1",))

    assert result.exit_code == 0 and "running" in result.output
    assert regions == ["us-east-1", "us-west-2"]


def test_when_no_region_answers_that_is_said(run):
    result, _, _ = run("map", silent=("us-east-1", "us-west-2"))

    assert result.exit_code == 1 and "nobody there" in result.output


@pytest.mark.parametrize("command", ["freeze", "thaw", "kill"])
def test_only_regions_are_frozen_thawed_or_killed(command):
    assert CliRunner().invoke(cli.app, ["region", command, "eu-west-1"]).exit_code == 2
