"""Queues and workers: nothing is dropped silently."""

import json

from cdk import names
from cdk.config import FUNCTIONS, REGIONS
from tests.infrastructure.policies import statements, text
from tests.infrastructure.synthesis import Synthesized

QUEUES = {names.NETWORK_QUEUE, names.FANOUT_QUEUE, names.DELIVERY_QUEUE}


def _queues(app: Synthesized) -> dict[str, dict]:
    return {
        queue["Properties"]["QueueName"]: queue["Properties"]
        for path, queue in app.of_type("AWS::SQS::Queue")
        if path.startswith("us-east-1/")
    }


def _sources(app: Synthesized, kind: str) -> dict[str, dict]:
    """Event sources of the first region by the function they feed."""
    found = {}
    for path, source in app.of_type("AWS::Lambda::EventSourceMapping"):
        region, stack, _ = path.split("/")
        target = app.templates[f"{region}/{stack}"]["Resources"][source["Properties"]["FunctionName"]["Ref"]]
        if region == "us-east-1" and ("StartingPosition" in source["Properties"]) == (kind == "stream"):
            found[target["Properties"]["FunctionName"]] = source["Properties"]
    return found


def test_every_worker_has_a_queue_and_dead_letters_for_14_days(deployment: Synthesized) -> None:
    queues = _queues(deployment)

    assert set(queues) == QUEUES | set(names.DEAD_LETTER_QUEUES)
    for name in names.DEAD_LETTER_QUEUES:
        assert queues[name]["MessageRetentionPeriod"] == 14 * 86_400, name
    for name in QUEUES:
        assert "DeadLetters" in text(queues[name]["RedrivePolicy"]["deadLetterTargetArn"]), name
        assert queues[name]["SqsManagedSseEnabled"] is True, name
        assert queues[name]["ReceiveMessageWaitTimeSeconds"] == 20, name


def test_a_message_stays_hidden_for_six_time_outs(production: Synthesized) -> None:
    for name in QUEUES:
        assert _queues(production)[name]["VisibilityTimeout"] >= 6 * FUNCTIONS[name].timeout_s, name


def test_messages_fail_one_by_one(deployment: Synthesized) -> None:
    sources = _sources(deployment, "queue")

    assert set(sources) == QUEUES
    for name, source in sources.items():
        assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"], name
        assert source["ScalingConfig"]["MaximumConcurrency"] >= 2, name


def test_the_projector_fails_by_whole_batches_that_end_as_dead_letters(deployment: Synthesized) -> None:
    """Its marker of what was counted stands under a batch's first record: half a batch would have none."""
    source = _sources(deployment, "stream")["payments-projector"]

    assert "ProjectorDeadLetters" in text(source["DestinationConfig"]["OnFailure"]["Destination"])
    assert not source.get("BisectBatchOnFunctionError")
    assert "FunctionResponseTypes" not in source


def test_the_projector_waits_for_fuller_batches_in_production_only(production: Synthesized, local: Synthesized) -> None:
    windows = [
        _sources(app, "stream")["payments-projector"]["MaximumBatchingWindowInSeconds"] for app in (production, local)
    ]

    assert windows == [1, 0]
    assert _sources(production, "stream")["payments-projector"]["BatchSize"] == 200


def test_every_dead_letter_queue_has_an_alarm_that_tells_the_topic(deployment: Synthesized) -> None:
    watched = set()
    for path, alarm in deployment.of_type("AWS::CloudWatch::Alarm"):
        properties = alarm["Properties"]
        assert text(properties["AlarmActions"][0]).endswith(":payments-alarms"), path
        if properties.get("MetricName") == "ApproximateNumberOfMessagesVisible":
            assert (properties["Threshold"], properties["ComparisonOperator"]) == (0, "GreaterThanThreshold"), path
            region, stack, _ = path.split("/")
            queue = properties["Dimensions"][0]["Value"]["Fn::GetAtt"][0]
            watched.add(deployment.templates[f"{region}/{stack}"]["Resources"][queue]["Properties"]["QueueName"])

    assert watched == set(names.DEAD_LETTER_QUEUES)


def test_events_are_routed_to_their_workers(deployment: Synthesized) -> None:
    routes = {}
    for path, rule in deployment.of_type("AWS::Events::Rule"):
        if path.startswith("us-east-1/workers/") and "EventPattern" in rule["Properties"]:
            pattern, (target,) = rule["Properties"]["EventPattern"], rule["Properties"]["Targets"]
            assert pattern["source"] == ["payments"]
            assert "DeadLetters" in text(target["DeadLetterConfig"]["Arn"]), "what cannot be sent is a dead letter too"
            queue = deployment.templates["us-east-1/workers"]["Resources"][target["Arn"]["Fn::GetAtt"][0]]
            routes[json.dumps(pattern["detail-type"])] = queue["Properties"]["QueueName"]

    assert routes == {
        '["charge_authorized", "payment_command"]': names.NETWORK_QUEUE,
        '["payment_result"]': names.FANOUT_QUEUE,
    }


def test_what_is_periodic_has_a_schedule(deployment: Synthesized) -> None:
    schedules = {
        f"{path.split('/')[0]}/{rule['Properties']['Name']}": rule["Properties"]["ScheduleExpression"]
        for path, rule in deployment.of_type("AWS::Events::Rule")
        if "ScheduleExpression" in rule["Properties"]
    }

    assert schedules == {
        f"{region}/{name}": schedule
        for region in REGIONS
        for name, schedule in {
            "payments-sweeper": "rate(1 minute)",
            "payments-notary": "rate(1 minute)",
            "payments-watchman": "rate(1 minute)",
            "payments-fraud-training-daily": "cron(13 2 * * ? *)",
            "payments-balance-check": "cron(17 3 * * ? *)",
            "payments-reconciliation-daily": "cron(43 6 * * ? *)",
        }.items()
    }


def test_the_ledgers_stream_keeps_its_event_source(deployment: Synthesized) -> None:
    """A new one would begin with the oldest records that the stream still has, in the middle of what is counted."""
    streams = [
        path.split("/")[2]
        for path, source in deployment.of_type("AWS::Lambda::EventSourceMapping")
        if "StartingPosition" in source["Properties"]
        and path.split("/")[1] == "workers"
        and path.split("/")[2].startswith("Ledger")
    ]

    assert streams == ["LedgerStream26CD6D6B"] * len(REGIONS)


def test_conflicts_are_looked_for_only_where_another_region_has_written_over_a_payment_of_ours(
    deployment: Synthesized,
) -> None:
    source = _sources(deployment, "stream")[names.CONFLICTS]

    (pattern,) = [json.loads(found["Pattern"]) for found in source["FilterCriteria"]["Filters"]]
    assert pattern == {
        "eventName": ["MODIFY"],
        "dynamodb": {
            "OldImage": {"written_in": {"S": ["us-east-1"]}},
            "NewImage": {"written_in": {"S": [{"anything-but": ["us-east-1"]}]}},
        },
    }


def test_a_conflict_that_cannot_be_kept_is_repeated_alone_and_ends_as_a_dead_letter(deployment: Synthesized) -> None:
    source = _sources(deployment, "stream")[names.CONFLICTS]

    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert source["BisectBatchOnFunctionError"] is True
    assert source["StartingPosition"] == "TRIM_HORIZON"
    assert "ConflictsDeadLetters" in text(source["DestinationConfig"]["OnFailure"]["Destination"])


def test_conflicts_and_their_lag_have_alarms(deployment: Synthesized) -> None:
    alarms = {
        alarm["Properties"]["AlarmName"]: alarm["Properties"]
        for path, alarm in deployment.of_type("AWS::CloudWatch::Alarm")
        if path.startswith("us-east-1/")
    }

    found = alarms["payments-ledger-conflicts"]
    assert (found["MetricName"], found["Threshold"]) == ("IdempotencyConflicts", 0)
    assert "payments-conflicts-lag" in alarms
    assert "payments-conflicts-dead-letters" in alarms


def test_who_keeps_conflicts_can_write_no_payment(deployment: Synthesized) -> None:
    found = [
        (set(one.actions), one.keys)
        for one in statements(deployment)
        if one.role.startswith("<ConflictsRole") and any(found.endswith("table/payments") for found in one.resources)
    ]

    assert found == [({"dynamodb:GetItem", "dynamodb:PutItem"}, "pay_*#conflict")] * len(REGIONS)
