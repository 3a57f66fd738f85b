"""Says that a journal is wrong: one log line that is an alarm's metric at the same time."""

import time
from collections.abc import Iterable
from typing import Any

from functions.projector.arrivals import Arrival
from payments.observability import logger

NAMESPACE = "payments"
METRIC = "UnbalancedJournals"


def report(arrivals: Iterable[Arrival]) -> None:
    """Logs those that do not balance, or are no journals. Before they are counted: said twice is better than never."""
    for arrival in arrivals:
        if arrival.fault:
            logger.critical("unbalanced journal", extra=_told(arrival))


def _told(arrival: Arrival) -> dict[str, Any]:
    """CloudWatch's embedded metric format, without dimensions: CloudWatch Logs makes the metric of the line."""
    metrics = [{"Name": METRIC, "Unit": "Count"}]
    return {
        "journal": arrival.name,
        "fault": arrival.fault,
        METRIC: 1,
        "_aws": {
            "Timestamp": int(time.time() * 1000),
            "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": [[]], "Metrics": metrics}],
        },
    }
