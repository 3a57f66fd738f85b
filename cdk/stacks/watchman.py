"""The watchman: in every region one function that looks whether the other regions are there."""

import json
from typing import Any

from aws_cdk import Duration, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from constructs import Construct

from cdk import names
from cdk.config import REGIONS, Config
from cdk.constructs.function import PaymentsFunction

EVERY = Duration.minutes(1)

WATCH_SECONDS = 59
"""Of each minute in which a round may be at work; the next run has begun before another one would."""


class WatchmanStack(Stack):
    """``payments-watchman`` and its schedule."""

    def __init__(self, scope: Construct, construct_id: str, *, config: Config, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, **kwargs)
        watchman = PaymentsFunction(
            self,
            "Watchman",
            config=config,
            name=names.WATCHMAN,
            settings={
                "PAYMENTS_TABLE": names.PAYMENTS,
                "SHARDS_TABLE": names.SHARDS,
                "REGIONS": config.regions_setting,
                "HEALTH_URLS": json.dumps(config.health_urls, sort_keys=True),
                "ROUND_SECONDS": str(config.watch_round_s),
                "SIGNAL_SECONDS": str(config.watch_signal_s),
                "SIGN_SECONDS": str(config.watch_sign_s),
                "WATCH_SECONDS": str(WATCH_SECONDS - config.watch_signal_s),
                "QUIET_MINUTES": str(config.quiet_minutes),
            },
        )
        # It moves shards, and deletes none: an epoch must never be forgotten.
        rights = ("BatchGetItem", "PutItem")
        watchman.allow([f"dynamodb:{right}" for right in rights], names.table_arn(self, names.SHARDS))
        # Of the other regions it only asks whether they answer.
        tables = (names.table_arn(self, names.PAYMENTS, region) for region in REGIONS)
        watchman.allow(("dynamodb:GetItem",), *tables)
        watchmen = (names.function_arn(self, names.WATCHMAN, region) for region in REGIONS)
        watchman.allow(("lambda:InvokeFunction",), *watchmen)
        # The next minute's run is the retry; one that waits longer is of no use.
        watchman.function.configure_async_invoke(max_event_age=EVERY, retry_attempts=0)
        rule = events.Rule(self, "EveryMinute", rule_name=names.WATCHMAN, schedule=events.Schedule.rate(EVERY))
        rule.add_target(targets.LambdaFunction(watchman.function))
