"""Whom alarms tell, and what an operator looks at first."""

from typing import Any

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from cdk import names
from cdk.config import Config
from cdk.constructs import metrics
from cdk.constructs.failover_alarms import failover_alarms
from cdk.constructs.metrics import CHECK_PERIOD, CHECK_PERIODS
from cdk.constructs.reconciliation_alarms import reconciliation_alarms
from cdk.constructs.training_alarms import training_alarms
from cdk.constructs.worker import alarm, silence_alarm, tell

LATENCY_BUDGET_MS = 300
"""p99 of an answered charge (DESIGN section 1)."""


STREAM_LAG_MS = 300_000

UNUSUAL_STD_DEVS = 4
"""How many standard deviations above the expected count are still usual: wide, so that a busy hour wakes nobody."""

WATCHED = (
    "payments-vault-tokenize",
    "payments-vault-release",
    "payments-vault-store",
    "payments-vault-shred",
    "payments-fraud",
    "payments-ledger",
    names.COMMAND,
    names.BOOK,
    names.NOTARY,
    names.AUDIT,
    "payments-sweeper",
    names.WATCHMAN,
)
"""Functions whose faults end in a compensation, a repetition or another run, and so show nowhere else."""

CRITICAL = {
    names.UNBALANCED: (
        "unbalanced",
        "debits and credits of a journal differ; the log names shard, currency and journal",
    ),
    names.CONTRADICTIONS: (
        "contradictions",
        "a payment contradicts its journals, or the card network refused what the books have; the log names it",
    ),
    names.IDEMPOTENCY_CONFLICTS: (
        "conflicts",
        "two requests under one idempotency key were accepted, one in each region; payments conflicts list has them",
    ),
}
"""Metrics that are 0 as long as the books are right; the end of the alarm's name, and what it means."""

NOTARY_SILENT_MINUTES = 5

LAGS = (
    ("ProjectorLag", names.PROJECTOR, "Balances are behind the ledger"),
    ("ShredderLag", "payments-vault-shredder", "Cards shredded in the other region can still be opened in this one"),
    ("FraudLabelsLag", names.FRAUD_LABELS, "Fraud that was reported is not known to scoring"),
    (
        "ConflictsLag",
        names.CONFLICTS,
        "Payments that the other region has written over may say less than was done, or hide a request",
    ),
)
"""Readers of streams, and what it means if one falls behind."""


class ObservabilityStack(Stack):
    """Topic ``payments-alarms``, alarms on the promises, and the dashboard ``payments``."""

    def __init__(self, scope: Construct, construct_id: str, *, config: Config, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self._topic(config)
        saga = names.saga_arn(self)
        sagas = {name: metrics.executions(saga, f"Executions{name}") for name in ("Failed", "TimedOut")}
        latency, errors = metrics.api("Latency", "p99"), metrics.api("5XXError", "Sum")
        if config.metric_math:
            self._stored_cards()
        for name, metric in sagas.items():
            alarm(
                self,
                f"Saga{name}",
                name=f"payments-saga-{name.lower()}",
                description="Charges ended in an unhandled fault: every fault path should end in a compensation",
                metric=metric,
            )
        for construct_id, api, name in (
            ("ApiErrors", names.API, "payments-api"),
            ("OperationsErrors", names.OPERATIONS, names.OPERATIONS),
        ):
            alarm(
                self,
                construct_id,
                name=f"{name}-5xx",
                description="The API answered 5xx in three consecutive minutes",
                metric=metrics.api("5XXError", "Sum", api),
                periods=3,
            )
        alarm(
            self,
            "ApiLatency",
            name="payments-api-p99",
            description=f"p99 above {LATENCY_BUDGET_MS} ms for five minutes",
            metric=latency,
            threshold=LATENCY_BUDGET_MS,
            periods=5,
        )
        for name in WATCHED:
            alarm(
                self,
                f"Errors-{name}",
                name=f"{name}-errors",
                description=f"{name} failed: the saga and the queues make up for it, and nobody else says so",
                metric=metrics.function("Errors", "Sum", name),
                periods=3,
            )
        for construct_id, function, means in LAGS:
            alarm(
                self,
                construct_id,
                name=f"{function}-lag",
                description=f"{means} for more than five minutes",
                metric=metrics.function("IteratorAge", "Maximum", function),
                threshold=STREAM_LAG_MS,
                periods=3,
            )
        if config.metric_math:
            alarm(
                self,
                "DeadLetters",
                name="payments-dead-letters",
                description="Messages wait in dead-letter queues; each queue's own alarm says in which",
                metric=_dead_letters(),
            )
        self._books()
        reconciliation_alarms(self, config, self.region)
        training_alarms(self, config, self.region)
        failover_alarms(self)
        self._dashboard(list(sagas.values()), latency, errors)

    def _topic(self, config: Config) -> None:
        topic = sns.Topic(self, "Alarms", topic_name=names.ALARM_TOPIC, enforce_ssl=config.enforce_tls)
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": self.account}},
            )
        )
        if config.alarm_email:
            topic.add_subscription(subscriptions.EmailSubscription(config.alarm_email))

    def _books(self) -> None:
        """The financial record is right, and what proves it runs."""
        for metric, (name, means) in CRITICAL.items():
            alarm(
                self,
                metric,
                name=f"payments-ledger-{name}",
                description=f"CRITICAL: {means}",
                metric=metrics.own(metric),
            )
        alarm(
            self,
            "BalanceCheckFailed",
            name=f"{names.BALANCE_CHECK}-failed",
            description="CRITICAL: the books do not balance, or could not be checked; the execution says which",
            metric=metrics.executions(names.machine_arn(self, names.BALANCE_CHECK), "ExecutionsFailed"),
        )
        silence_alarm(
            self,
            "BalanceCheckMissing",
            name=f"{names.BALANCE_CHECK}-missing",
            description="CRITICAL: no balance check has succeeded for more than a day",
            metric=metrics.executions(names.machine_arn(self, names.BALANCE_CHECK), "ExecutionsSucceeded").with_(
                period=CHECK_PERIOD
            ),
            periods=CHECK_PERIODS,
        )
        silence_alarm(
            self,
            "NotarySilent",
            name=f"{names.NOTARY}-silent",
            description="CRITICAL: the notary, which runs every minute, does not: journals are not anchored",
            metric=metrics.function("Invocations", "Sum", names.NOTARY),
            periods=NOTARY_SILENT_MINUTES,
        )

    def _stored_cards(self) -> None:
        """Many cards stored at once may be somebody who tries numbers until one has a token that he knows.

        What is usual differs from platform to platform, so CloudWatch learns it: it needs two weeks for that.
        """
        calls = metrics.route("Count", "Sum", names.STORE_A_CARD).with_(period=Duration.minutes(5))
        made = cloudwatch.AnomalyDetectionAlarm(
            self,
            "StoredCards",
            alarm_name="payments-api-tokens-unusual",
            alarm_description="Far more cards are stored than usual: perhaps somebody tries card numbers",
            metric=calls,
            std_devs=UNUSUAL_STD_DEVS,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_UPPER_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        tell(made)

    def _dashboard(self, sagas: list[cloudwatch.Metric], latency: cloudwatch.Metric, errors: cloudwatch.Metric) -> None:
        queues = (names.NETWORK_QUEUE, names.FANOUT_QUEUE, names.DELIVERY_QUEUE)
        age = [metrics.queue("ApproximateAgeOfOldestMessage", queue) for queue in queues]
        lag = metrics.function("IteratorAge", "Maximum", names.PROJECTOR)
        notary = metrics.function("Duration", "Maximum", names.NOTARY)
        figures = [metrics.own(name, "Maximum") for name in (names.MATCH_RATE, names.AT_RISK, names.DRIFT)]
        cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name="payments",
            widgets=[
                [
                    cloudwatch.GraphWidget(title="Requests", left=[metrics.api("Count", "Sum")], right=[errors]),
                    cloudwatch.GraphWidget(title="Answer time, ms", left=[latency, metrics.api("Latency", "p50")]),
                ],
                [
                    cloudwatch.GraphWidget(title="Failed sagas", left=sagas),
                    cloudwatch.GraphWidget(title="Dead letters", left=[_dead_letters()]),
                ],
                [
                    cloudwatch.GraphWidget(title="Oldest message, s", left=age),
                    cloudwatch.GraphWidget(title="Projector behind the ledger, ms", left=[lag]),
                ],
                [
                    cloudwatch.GraphWidget(
                        title="Books that are wrong", left=[metrics.own(metric) for metric in CRITICAL]
                    ),
                    cloudwatch.GraphWidget(title="A round of the notary, ms", left=[notary]),
                ],
                [
                    cloudwatch.GraphWidget(title="Settled of 100,000 lines", left=[figures[0]]),
                    cloudwatch.GraphWidget(title="At risk and drift, minor units", left=figures[1:]),
                ],
            ],
        )


def _dead_letters() -> cloudwatch.IMetric:
    """Messages in all dead-letter queues together."""
    parts = {
        f"q{index}": metrics.queue("ApproximateNumberOfMessagesVisible", queue)
        for index, queue in enumerate(names.DEAD_LETTER_QUEUES)
    }
    return cloudwatch.MathExpression(
        expression=" + ".join(parts), using_metrics=parts, label="dead letters", period=metrics.MINUTE
    )
