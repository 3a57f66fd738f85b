"""Time as the platform writes it."""

from datetime import UTC, datetime


def now() -> str:
    """The current time, RFC 3339 in UTC with milliseconds: `2026-11-23T10:00:00.000Z`; sorts as text."""
    return timestamp(datetime.now(UTC))


def timestamp(moment: datetime) -> str:
    """A moment with a time zone in the same form."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
