"""Time: the one place that asks for it and that waits, and the form in which the platform writes it."""

import random
import time
from datetime import UTC, datetime


def utc() -> datetime:
    """The current moment."""
    return datetime.now(UTC)


def now() -> str:
    """The current time, RFC 3339 in UTC with milliseconds: `2026-11-23T10:00:00.000Z`; sorts as text."""
    return timestamp(utc())


def timestamp(moment: datetime) -> str:
    """A moment with a time zone in the same form."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def monotonic() -> float:
    """Seconds since some moment in the past, which no change of the clock disturbs."""
    return time.monotonic()


def wait(seconds: float) -> None:
    """Waits for this many seconds."""
    time.sleep(seconds)


def pause(longest: float) -> None:
    """Waits for a random part of this many seconds, so that those who met once do not meet again."""
    time.sleep(random.uniform(0, longest))  # noqa: S311 - jitter
