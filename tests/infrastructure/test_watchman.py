"""The watchman runs in every region, may do no more than look and move shards, and somebody is told what it finds."""

import json

import pytest

from cdk import names
from cdk.config import REGIONS
from cdk.constructs.bundles import ROOT
from tests.infrastructure.conftest import PRODUCTION_ACCOUNT
from tests.infrastructure.policies import statements, text
from tests.infrastructure.synthesis import Synthesized, synthesize


def _settings(app: Synthesized, region: str = REGIONS[0]) -> dict[str, str]:
    return app.functions()[f"{region}/{names.WATCHMAN}"]["Environment"]["Variables"]


def _alarms(app: Synthesized, name: str) -> list[dict]:
    alarms = [alarm["Properties"] for _, alarm in app.of_type("AWS::CloudWatch::Alarm")]
    return [alarm for alarm in alarms if alarm["AlarmName"] == name]


def test_only_operators_and_the_watchman_move_shards_and_nobody_forgets_one(deployment: Synthesized) -> None:
    may: dict[str, set[str]] = {}
    for statement in statements(deployment):
        if any(resource.rpartition("table/")[2] == names.SHARDS for resource in statement.resources):
            for action in statement.actions:
                may.setdefault(action.removeprefix("dynamodb:"), set()).add(statement.path.split("/")[1])

    assert may["PutItem"] == {"operations", "watchman"}
    assert may["BatchGetItem"] == {"operations", "watchman"}
    assert set(may) == {"PutItem", "BatchGetItem", "GetItem"}


def test_of_other_regions_it_reads_a_table_and_asks_their_watchmen(deployment: Synthesized) -> None:
    for region in REGIONS:
        elsewhere = [
            (statement.actions, resource)
            for statement in statements(deployment)
            if statement.path.startswith(f"{region}/watchman/")
            for resource in statement.resources
            if any(f":{other}:" in resource for other in REGIONS if other != region)
        ]
        assert [(actions, resource.split(":", 5)[5]) for actions, resource in sorted(elsewhere)] == [
            (("dynamodb:GetItem",), "table/payments"),
            (("lambda:InvokeFunction",), "function:payments-watchman"),
        ]


def test_a_run_ends_in_time_for_the_next_and_may_finish_a_move(deployment: Synthesized) -> None:
    function = deployment.functions()[f"us-east-1/{names.WATCHMAN}"]
    settings = _settings(deployment)

    assert float(settings["WATCH_SECONDS"]) + float(settings["SIGNAL_SECONDS"]) < 60
    assert function["Timeout"] == 120, "locally as well: a move that begins at the end of a run takes a while"


def test_it_is_not_run_again_for_a_minute_that_is_over(deployment: Synthesized) -> None:
    found = [
        config["Properties"]
        for path, config in deployment.of_type("AWS::Lambda::EventInvokeConfig")
        if "/watchman/" in path
    ]

    assert [(one["MaximumEventAgeInSeconds"], one["MaximumRetryAttempts"]) for one in found] == [(60, 0)] * len(REGIONS)


def test_who_is_only_slow_has_time_to_answer_everywhere(production: Synthesized, local: Synthesized) -> None:
    figures = ("ROUND_SECONDS", "SIGNAL_SECONDS", "SIGN_SECONDS", "QUIET_MINUTES")

    assert [float(_settings(production)[name]) for name in figures] == [5, 2, 15, 30]
    assert [float(_settings(local)[name]) for name in figures] == [5, 4, 15, 1]
    for app in (production, local):
        settings = _settings(app)
        assert float(settings["SIGN_SECONDS"]) >= 2 * float(settings["ROUND_SECONDS"]), "one that is late is no loss"


def test_health_has_an_address_only_where_the_deployment_says_so(
    production: Synthesized, tmp_path_factory: pytest.TempPathFactory
) -> None:
    urls = {region: f"https://{region}.api.example.com/health" for region in REGIONS}
    named = synthesize(
        tmp_path_factory.mktemp("named"),
        checked=False,
        environment="local",
        key_store="file:/var/empty/keys",
        health_urls=json.dumps(urls),
    )

    assert json.loads(_settings(production)["HEALTH_URLS"]) == {}
    assert json.loads(_settings(named, REGIONS[1])["HEALTH_URLS"]) == urls
    assert PRODUCTION_ACCOUNT not in _settings(production)["HEALTH_URLS"]


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("payments-region-down", names.REGIONS_JUDGED_DOWN),
        ("payments-region-failed-over", names.AUTOMATIC_FAILOVERS),
        ("payments-shard-move-late", names.SHARD_MOVES_LATE),
        ("payments-watchman-silent", names.WATCHMAN_ROUNDS),
    ],
)
def test_what_it_finds_is_a_critical_alarm(deployment: Synthesized, name: str, metric: str) -> None:
    alarms = _alarms(deployment, name)

    assert len(alarms) == len(REGIONS)
    for alarm in alarms:
        silence = name.endswith("-silent")
        assert (alarm["Namespace"], alarm["MetricName"]) == (names.METRICS, metric)
        assert not alarm.get("Dimensions"), "it is counted without any"
        assert alarm["TreatMissingData"] == ("breaching" if silence else "notBreaching")
        assert alarm["AlarmDescription"].startswith("CRITICAL: ")
        assert text(alarm["AlarmActions"][0]).endswith(":payments-alarms")
    code = "".join(file.read_text() for file in (ROOT / "functions/watchman").glob("*.py"))
    assert f'"{metric}"' in code


def test_its_faults_raise_an_alarm_too(deployment: Synthesized) -> None:
    assert len(_alarms(deployment, "payments-watchman-errors")) == len(REGIONS)
