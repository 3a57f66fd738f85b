"""`payments invoke` works with every sample event."""

import json
from pathlib import Path

import pytest

EVENTS = sorted((Path(__file__).resolve().parents[2] / "events").glob("*.json"))
FUNCTIONS = (
    "api",
    "authorizer",
    "conflicts",
    "fraud",
    "fraud-labels",
    "ledger",
    "ledger-audit",
    "ledger-book",
    "ledger-command",
    "network",
    "notary",
    "operations",
    "projector",
    "reconciliation-begin",
    "reconciliation-compact",
    "reconciliation-ingest",
    "reconciliation-match",
    "reconciliation-report",
    "sweeper",
    "training-collect",
    "training-learn",
    "training-release",
    "vault-tokenize",
    "vault-release",
    "vault-detokenize",
    "vault-public-key",
    "vault-store",
    "vault-shredder",
    "vault-shred",
    "vault-walk",
    "vault-keys",
    "vault-key-check",
    "watchman",
    "webhooks-fanout",
    "webhooks-deliver",
)


def function_of(event):
    """The function whose name the file's name begins with; the longest such name."""
    return max((name for name in FUNCTIONS if event.stem.startswith(name.replace("-", "_"))), key=len)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.stem)
def test_a_sample_event_runs_and_prints_result_duration_and_log(cloud, cli, event):
    run = cli("invoke", function_of(event), str(event))

    assert "errorMessage" not in run.stdout
    assert "batchItemFailures" not in run.stdout or '"batchItemFailures": []' in run.stdout, run.stdout
    assert " ms" in run.stdout
    assert '"level"' in run.stdout, "the function's own log line"


def test_every_function_has_a_sample_event(cloud):
    deployed = {function["FunctionName"] for function in cloud.aws("lambda").list_functions()["Functions"]}

    sampled = {f"payments-{function_of(event)}" for event in EVENTS}
    assert sampled == {name for name in deployed if name.startswith("payments-")}


def test_an_unknown_function_and_a_broken_event_are_clear_errors(cloud, cli, tmp_path):
    broken = tmp_path / "broken.json"
    broken.write_text("{")

    for arguments in (
        ("invoke", "nothing", str(EVENTS[0])),
        ("invoke", "ledger", str(broken)),
        ("invoke", "ledger", "no.json"),
    ):
        run = cli(*arguments, check=False)
        assert run.returncode != 0
        assert "Traceback" not in run.stdout + run.stderr
    assert json.loads(EVENTS[0].read_text())
