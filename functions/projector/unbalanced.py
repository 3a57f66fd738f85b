"""Says that a journal is wrong: a log line with its name, and a metric that an alarm watches."""

from collections.abc import Iterable

from functions.projector.arrivals import Arrival
from payments.observability import count, logger

METRIC = "UnbalancedJournals"


def report(arrivals: Iterable[Arrival]) -> None:
    """Tells of those that do not balance, or are no journals. Before they are counted: said twice is better than
    never."""
    for arrival in arrivals:
        if arrival.fault:
            logger.critical("unbalanced journal", extra={"journal": arrival.name, "fault": arrival.fault})
            count(METRIC)
