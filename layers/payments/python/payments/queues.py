"""Partial batch failures of SQS workers: what is done stays done, what is not comes back alone."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from payments.clients import client
from payments.observability import logger


class TryLater(Exception):
    """The message cannot be finished now; the queue shall deliver it again, and in the end to its dead letters."""


def postpone(record: Mapping[str, Any], queue_url: str, seconds: int) -> None:
    """Has the queue deliver an SQS record that fails again after so many seconds, instead of its own time-out."""
    client("sqs").change_message_visibility(
        QueueUrl=queue_url,
        ReceiptHandle=record["receiptHandle"],
        VisibilityTimeout=seconds,
    )


def receives(record: Mapping[str, Any]) -> int:
    """How often an SQS record was delivered, this time included."""
    return int(record["attributes"]["ApproximateReceiveCount"])


def each(records: Iterable[dict[str, Any]], work: Callable[[dict[str, Any], dict[str, Any]], None]) -> dict[str, Any]:
    """Calls `work(body, record)` for each SQS record (`body` decoded from JSON); answers which of them failed.

    One failing message never stops the others. Its error is logged by type: its text could carry what it holds.
    """
    failed = []
    for record in records:
        try:
            work(json.loads(record["body"]), record)
        except TryLater as reason:
            logger.warning("message postponed", extra={"message_id": record["messageId"], "reason": str(reason)})
            failed.append(record["messageId"])
        except Exception as error:  # noqa: BLE001 - the outermost edge of one message
            logger.error("message failed", extra={"message_id": record["messageId"], "fault": type(error).__name__})
            failed.append(record["messageId"])
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}
