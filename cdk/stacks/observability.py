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
from cdk.constructs.worker import alarm, silence_alarm, tell

_MINUTE = Duration.minutes(1)

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
)
"""Functions whose faults end in a compensation, a repetition or another run, and so show nowhere else."""

CRITICAL = {
    names.UNBALANCED: (
        "unbalanced",
        "debits and credits of a journal differ; the log names shard, currency and journal",
    ),
    names.CONTRADICTIONS: (
        "contradictions",
        "a payment contradicts its journals, and was not mended; the log names it",
    ),
}
"""Metrics that are 0 as long as the books are right; the end of the alarm's name, and what it means."""

NOTARY_SILENT_MINUTES = 5

CHECK_PERIOD = Duration.hours(6)
CHECK_PERIODS = 5
"""The balance check and reconciliation are daily: after 30 hours one is missing, however long the last one took."""

MATCH_RATE_AT_LEAST = 99_950
"""Of 100,000 movements that are due, how many must be matched."""

LAGS = (
    ("ProjectorLag", names.PROJECTOR, "Balances are behind the ledger"),
    ("ShredderLag", "payments-vault-shredder", "Cards shredded in the other region can still be opened in this one"),
)
"""Readers of streams, and what it means if one falls behind."""


class ObservabilityStack(Stack):
    """Topic ``payments-alarms``, alarms on the promises, and the dashboard ``payments``."""

    def __init__(self, scope: Construct, construct_id: str, *, config: Config, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self._topic(config)
        saga = names.saga_arn(self)
        sagas = {name: _executions(saga, f"Executions{name}") for name in ("Failed", "TimedOut")}
        latency, errors = _api("Latency", "p99"), _api("5XXError", "Sum")
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
                metric=_api("5XXError", "Sum", api),
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
                metric=_function("Errors", "Sum", name),
                periods=3,
            )
        for construct_id, function, means in LAGS:
            alarm(
                self,
                construct_id,
                name=f"{function}-lag",
                description=f"{means} for more than five minutes",
                metric=_function("IteratorAge", "Maximum", function),
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
        self._reconciliation(config)
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
                metric=_own(metric),
            )
        alarm(
            self,
            "BalanceCheckFailed",
            name=f"{names.BALANCE_CHECK}-failed",
            description="CRITICAL: the books do not balance, or could not be checked; the execution says which",
            metric=_executions(names.machine_arn(self, names.BALANCE_CHECK), "ExecutionsFailed"),
        )
        silence_alarm(
            self,
            "BalanceCheckMissing",
            name=f"{names.BALANCE_CHECK}-missing",
            description="CRITICAL: no balance check has succeeded for more than a day",
            metric=_executions(names.machine_arn(self, names.BALANCE_CHECK), "ExecutionsSucceeded").with_(
                period=CHECK_PERIOD
            ),
            periods=CHECK_PERIODS,
        )
        silence_alarm(
            self,
            "NotarySilent",
            name=f"{names.NOTARY}-silent",
            description="CRITICAL: the notary, which runs every minute, does not: journals are not anchored",
            metric=_function("Invocations", "Sum", names.NOTARY),
            periods=NOTARY_SILENT_MINUTES,
        )

    def _reconciliation(self, config: Config) -> None:
        """What a run of reconciliation comes to, and that there is one."""
        rate = _figure(names.MATCH_RATE, "Minimum")
        limit = config.at_risk_limit
        for metric, name, means, threshold in (
            (_figure(names.AT_RISK), "at-risk", f"more than {limit} minor units may be lost; see the report", limit),
            (_figure(names.DRIFT), "drift", "CRITICAL: the clearing accounts and reconciliation differ", 0),
            (_own(names.FILES_REFUSED), "file-refused", "a settlement file was refused; the log says why", 0),
            (_own(names.FEED_DAMAGED), "feed-damaged", "CRITICAL: facts cannot be read; the log names the objects", 0),
        ):
            alarm(
                self,
                f"Reconciliation-{name}",
                name=f"{names.RECONCILIATION}-{name}",
                description=means[0].upper() + means[1:],
                metric=metric,
                threshold=threshold,
            )
        alarm(
            self,
            "Reconciliation-match-rate",
            name=f"{names.RECONCILIATION}-match-rate",
            description=f"Fewer than {MATCH_RATE_AT_LEAST} of 100,000 movements that are due are matched",
            metric=rate,
            threshold=MATCH_RATE_AT_LEAST,
            below=True,
        )
        machine = names.machine_arn(self, names.RECONCILIATION)
        for ended in ("Failed", "TimedOut"):
            alarm(
                self,
                f"Reconciliation{ended}",
                name=f"{names.RECONCILIATION}-{ended.lower()}",
                description="A run of reconciliation did not come to its end; the next execution takes it up",
                metric=_executions(machine, f"Executions{ended}"),
            )
        silence_alarm(
            self,
            "ReconciliationMissing",
            name=f"{names.RECONCILIATION}-missing",
            description="CRITICAL: no run of reconciliation has succeeded for more than a day",
            metric=_executions(machine, "ExecutionsSucceeded").with_(period=CHECK_PERIOD),
            periods=CHECK_PERIODS,
        )

    def _stored_cards(self) -> None:
        """Many cards stored at once may be somebody who tries numbers until one has a token that he knows.

        What is usual differs from platform to platform, so CloudWatch learns it: it needs two weeks for that.
        """
        resource, method = names.STORE_A_CARD.rsplit("/", 1)
        dimensions = {"ApiName": names.API, "Stage": names.API_STAGE, "Resource": resource, "Method": method}
        calls = _metric("AWS/ApiGateway", "Count", "Sum", dimensions).with_(period=Duration.minutes(5))
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
        age = [_queue("ApproximateAgeOfOldestMessage", queue) for queue in queues]
        lag = _function("IteratorAge", "Maximum", names.PROJECTOR)
        notary = _function("Duration", "Maximum", names.NOTARY)
        cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name="payments",
            widgets=[
                [
                    cloudwatch.GraphWidget(title="Requests", left=[_api("Count", "Sum")], right=[errors]),
                    cloudwatch.GraphWidget(title="Answer time, ms", left=[latency, _api("Latency", "p50")]),
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
                    cloudwatch.GraphWidget(title="Books that are wrong", left=[_own(metric) for metric in CRITICAL]),
                    cloudwatch.GraphWidget(title="A round of the notary, ms", left=[notary]),
                ],
            ],
        )


def _dead_letters() -> cloudwatch.IMetric:
    """Messages in all dead-letter queues together."""
    parts = {
        f"q{index}": _queue("ApproximateNumberOfMessagesVisible", queue)
        for index, queue in enumerate(names.DEAD_LETTER_QUEUES)
    }
    return cloudwatch.MathExpression(
        expression=" + ".join(parts), using_metrics=parts, label="dead letters", period=_MINUTE
    )


def _own(name: str) -> cloudwatch.Metric:
    """A metric that the platform's functions write themselves."""
    return _metric(names.METRICS, name, "Sum", {})


def _figure(name: str, statistic: str = "Maximum") -> cloudwatch.Metric:
    """What a run of reconciliation came to, once per run."""
    return _metric(names.METRICS, name, statistic, {})


def _executions(machine: str, metric: str) -> cloudwatch.Metric:
    return _metric("AWS/States", metric, "Sum", {"StateMachineArn": machine})


def _api(metric: str, statistic: str, name: str = names.API) -> cloudwatch.Metric:
    return _metric("AWS/ApiGateway", metric, statistic, {"ApiName": name, "Stage": names.API_STAGE})


def _function(metric: str, statistic: str, name: str) -> cloudwatch.Metric:
    return _metric("AWS/Lambda", metric, statistic, {"FunctionName": name})


def _queue(metric: str, queue: str) -> cloudwatch.Metric:
    return _metric("AWS/SQS", metric, "Maximum", {"QueueName": queue})


def _metric(namespace: str, name: str, statistic: str, dimensions: dict[str, str]) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=namespace, metric_name=name, statistic=statistic, dimensions_map=dimensions, period=_MINUTE
    )
