"""A worker: a queue, what becomes of messages nobody could handle, and the function that reads the queue."""

from collections.abc import Mapping

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk import names
from cdk.config import Config
from cdk.constructs.function import PaymentsFunction

_CONSUME = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility")


class DeadLetters(Construct):
    """A queue for what could not be handled: kept 14 days, with an alarm on the first message."""

    def __init__(self, scope: Construct, construct_id: str, *, config: Config, worker: str) -> None:
        super().__init__(scope, construct_id)
        self.queue = _queue(self, names.dead_letters(worker), config, retention_period=Duration.days(14))
        alarm(
            self,
            "Alarm",
            name=f"{worker}-dead-letters",
            description=f"{worker} gave up on a message: look at it, then redrive it (docs/operations.md)",
            metric=self.queue.metric_approximate_number_of_messages_visible(
                period=Duration.minutes(1), statistic="Maximum"
            ),
        )


class Worker(Construct):
    """A queue and its function, both called ``name``. A message fails alone, not with its batch.

    ``receives`` is how often a message is tried before it becomes a dead letter.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: Config,
        name: str,
        settings: Mapping[str, str],
        batch_size: int = 10,
        receives: int = 5,
        role_name: str | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.dead_letters = DeadLetters(self, "DeadLetters", config=config, worker=name)
        self.queue = _queue(
            self,
            name,
            config,
            visibility_timeout=Duration.seconds(config.visibility_factor * config.timeout_s(name)),
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.dead_letters.queue, max_receive_count=receives),
        )
        self.handler = PaymentsFunction(
            self, "Handler", config=config, name=name, settings=settings, role_name=role_name
        )
        self.handler.allow(_CONSUME, self.queue.queue_arn)
        lambda_.EventSourceMapping(
            self,
            "Source",
            target=self.handler.function,
            event_source_arn=self.queue.queue_arn,
            batch_size=batch_size,
            max_concurrency=config.worker_concurrency,
            report_batch_item_failures=True,
        ).node.add_dependency(self.handler.role)


def alarm(
    scope: Construct,
    construct_id: str,
    *,
    name: str,
    description: str,
    metric: cloudwatch.IMetric,
    threshold: float = 0,
    periods: int = 1,
    below: bool = False,
) -> cloudwatch.Alarm:
    """An alarm that tells the platform's topic when the metric exceeds the threshold, or is ``below`` it; no data is
    good news."""
    exceeds, falls = (
        cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
        cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
    )
    made = cloudwatch.Alarm(
        scope,
        construct_id,
        alarm_name=name,
        alarm_description=description,
        metric=metric,
        threshold=threshold,
        evaluation_periods=periods,
        comparison_operator=falls if below else exceeds,
        treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
    )
    tell(made)
    return made


def silence_alarm(
    scope: Construct, construct_id: str, *, name: str, description: str, metric: cloudwatch.IMetric, periods: int
) -> cloudwatch.Alarm:
    """An alarm that tells the platform's topic when the metric counted nothing for so many periods; no data is
    nothing."""
    made = cloudwatch.Alarm(
        scope,
        construct_id,
        alarm_name=name,
        alarm_description=description,
        metric=metric,
        threshold=1,
        evaluation_periods=periods,
        comparison_operator=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
        treat_missing_data=cloudwatch.TreatMissingData.BREACHING,
    )
    tell(made)
    return made


def tell(made: cloudwatch.AlarmBase) -> None:
    """Let the alarm tell the platform's topic."""
    topic = sns.Topic.from_topic_arn(made, "Topic", names.alarm_topic_arn(made))
    made.add_alarm_action(actions.SnsAction(topic))


def _queue(scope: Construct, name: str, config: Config, **properties: object) -> sqs.Queue:
    return sqs.Queue(
        scope,
        "Queue",
        queue_name=name,
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=config.enforce_tls,
        receive_message_wait_time=Duration.seconds(20),
        removal_policy=RemovalPolicy.RETAIN if config.retain_data else RemovalPolicy.DESTROY,
        **properties,  # type: ignore[arg-type]
    )
