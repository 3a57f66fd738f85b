"""The one logger of the platform, and its counters. Card data never reaches them: values that cross the vault's wall
carry none."""

import json
import time

from aws_lambda_powertools import Logger

NAMESPACE = "payments"
"""Where CloudWatch keeps what is counted here."""

CONTRADICTIONS = "LedgerContradictions"
"""Metric: payments whose journals, or what the card network makes of them, cannot all be true."""

logger = Logger()


def count(metric: str, value: int = 1) -> None:
    """Counts in a CloudWatch metric: one line on standard output, in the embedded metric format, without dimensions."""
    directive = {"Namespace": NAMESPACE, "Dimensions": [[]], "Metrics": [{"Name": metric, "Unit": "Count"}]}
    metadata = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}
    print(json.dumps({"_aws": metadata, metric: value}), flush=True)
