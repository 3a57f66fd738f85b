"""Settings of the watchman."""

from functools import cache

import msgspec

from payments.settings import load


class WatchmanSettings(msgspec.Struct, frozen=True, rename="upper"):
    """See docs/interfaces.md, "Settings"."""

    aws_lambda_function_name: str
    health_urls: str = "{}"
    round_seconds: float = 5
    signal_seconds: float = 2
    sign_seconds: float = 15
    watch_seconds: float = 57
    quiet_minutes: float = 30
    payments_table: str = "payments"

    @property
    def longest_gap(self) -> float:
        """Seconds between two rounds that follow one another; those further apart do not agree, nor contradict."""
        return 4 * self.round_seconds + self.signal_seconds


def settings() -> WatchmanSettings:
    """The function's settings, read once."""
    return load(WatchmanSettings)


@cache
def health_urls() -> dict[str, str]:
    """Every region's public `/health`; empty where the deployment names none."""
    return msgspec.json.decode(settings().health_urls, type=dict[str, str])
