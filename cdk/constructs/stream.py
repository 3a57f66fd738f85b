"""A function that reads some records of a table's stream."""

from typing import Any

from aws_cdk import Duration
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as event_sources
from constructs import Construct

from cdk.config import Config
from cdk.constructs.function import PaymentsFunction
from cdk.constructs.nag import acknowledge
from cdk.constructs.worker import DeadLetters

BATCH = 100

PATIENCE = Duration.hours(12)
"""How long a record of the stream is repeated before it becomes a dead letter; half of what a stream keeps."""

RETRIES = 20
"""Some ten minutes, with Lambda's growing pauses: longer than a hiccup, shorter than what other records may wait."""


def read_stream(
    scope: Construct,
    reader: PaymentsFunction,
    stream_arn: str,
    filters: list[dict[str, Any]],
    *,
    config: Config,
    name: str,
    prefix: str = "",
) -> None:
    """Let the function of this name read what the filters let through. Records are in order, so one that fails holds up
    those behind it, and after some minutes goes to the dead letters. The constructs' ids begin with ``prefix``."""
    reader.allow(("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"), stream_arn)
    reader.allow(("dynamodb:ListStreams",), "*")
    acknowledge(reader.role, "AwsSolutions-IAM5[Resource::*]", "streams are listed, not named")
    dead_letters = DeadLetters(scope, f"{prefix}DeadLetters", config=config, worker=name)
    acknowledge(dead_letters.queue, "AwsSolutions-SQS3", "it is the dead-letter queue, of a stream")
    reader.allow(("sqs:SendMessage",), dead_letters.queue.queue_arn)
    lambda_.EventSourceMapping(
        scope,
        f"{prefix}Stream",
        target=reader.function,
        event_source_arn=stream_arn,
        starting_position=lambda_.StartingPosition.TRIM_HORIZON,
        batch_size=BATCH,
        filters=filters,
        report_batch_item_failures=True,
        bisect_batch_on_error=True,
        max_record_age=PATIENCE,
        retry_attempts=RETRIES,
        on_failure=event_sources.SqsDlq(dead_letters.queue),
    ).node.add_dependency(reader.role)
