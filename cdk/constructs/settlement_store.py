"""Reconciliation's bucket: settlement files, facts, runs, reports (docs/reconciliation.md, "The store")."""

from collections.abc import Sequence

from aws_cdk import Duration, Stack
from aws_cdk import aws_s3 as s3
from constructs import Construct

from cdk import names
from cdk.config import SEVEN_YEARS_DAYS, Config
from cdk.constructs.function import PaymentsFunction
from cdk.constructs.private_bucket import allow_below, private_bucket, tidy

EVIDENCE = ("inbox/", "files/", "runs/")
"""What the networks said, and what was made of it: records of money, kept as long as the ledger's archive."""

COLD_AFTER = Duration.days(90)
"""A discrepancy is older only in an audit."""

WORKING_DAYS = {"facts/": 400, "state/": 90}
"""What can be made anew, by prefix. Facts follow from the ledger, and nothing reads them once their run is over; for a
year people ask what a run was given. A state is what the next run begins with: 90 days, because the alarm for a missing
run comes after 30 hours."""

STANDBY_FEED_DAYS = 13
"""In a region that does not reconcile nobody takes the feed. Whoever takes over with the other region's last state
needs what came since; and the state knows what was closed in the last 14 days, so that nothing older may be there."""

UNDO_DAYS = 30
"""How long something that was deleted or overwritten can still be fetched back: an object of the feed that a run took
and lost, or a report that was written anew."""


class SettlementStore(Construct):
    """The bucket of a region (``names.settlement_store``). S3 tells EventBridge of every new object.

    Where runs are, the feed and what operators decided never expire: a fact that nobody has taken yet is nowhere else
    in this form.
    """

    def __init__(self, scope: Construct, construct_id: str, *, config: Config, access_log: s3.IBucket | None) -> None:
        super().__init__(scope, construct_id)
        self.bucket = private_bucket(
            self,
            config=config,
            name=names.settlement_store(self),
            lifecycle_rules=[
                tidy(UNDO_DAYS),
                *map(_evidence, EVIDENCE),
                *(_working(*rule) for rule in _working_days(config, self)),
            ],
            server_access_logs_bucket=access_log,
            server_access_logs_prefix="reconciliation/" if access_log else None,
        )
        self._tell_event_bridge()

    def _tell_event_bridge(self) -> None:
        """By the bucket's own property: CDK would make a function for it."""
        resource = self.bucket.node.default_child
        assert isinstance(resource, s3.CfnBucket)
        resource.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True)
        )


def allow_objects(
    function: PaymentsFunction, actions: Sequence[str], *prefixes: str, region: str | None = None
) -> None:
    """Let a function do exactly these actions on the objects below these prefixes of a region's bucket, its own by
    default."""
    allow_below(function, actions, *names.settlement_objects(function, *prefixes, region=region))


def allow_finding(function: PaymentsFunction, region: str | None = None) -> None:
    """Let a function find objects, and be told that there is none: without this right S3 refuses to say."""
    function.allow(("s3:ListBucket",), names.settlement_store_arn(function, region))


def _working_days(config: Config, scope: Construct) -> list[tuple[str, int]]:
    standby = {} if config.reconciles_in(Stack.of(scope).region) else {"feed/": STANDBY_FEED_DAYS}
    return [*WORKING_DAYS.items(), *standby.items()]


def _evidence(prefix: str) -> s3.LifecycleRule:
    cold = s3.Transition(storage_class=s3.StorageClass.GLACIER_INSTANT_RETRIEVAL, transition_after=COLD_AFTER)
    return s3.LifecycleRule(prefix=prefix, transitions=[cold], expiration=Duration.days(SEVEN_YEARS_DAYS))


def _working(prefix: str, days: int) -> s3.LifecycleRule:
    return s3.LifecycleRule(prefix=prefix, expiration=Duration.days(days))
