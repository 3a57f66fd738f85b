"""What happens after a charge is answered: the event bus, its queues, and the functions that read them."""

from typing import Any

from aws_cdk import Duration, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as event_sources
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk import names
from cdk.config import Config
from cdk.constructs.function import PaymentsFunction, keys_like, let_invoke
from cdk.constructs.nag import acknowledge
from cdk.constructs.settlement_store import allow_objects
from cdk.constructs.stream import read_stream
from cdk.constructs.worker import DeadLetters, Worker

STREAM_BATCH = 200
"""The projector cuts a batch into transactions itself; the more journals of an account it sees at once, the fewer
updates they cost."""

STREAM_PATIENCE = Duration.hours(12)
"""How long a batch of the stream is repeated before it becomes a dead letter; half of what a stream keeps."""


class WorkersStack(Stack):
    """Bus ``payments``; network and webhook workers, the projector of the ledger's stream, the sweeper."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: Config,
        ledger_stream_arn: str,
        payments_stream_arn: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self._config = config
        bus = events.EventBus(self, "Bus", event_bus_name=names.BUS)
        _route(bus, self._network(), "charge_authorized", "payment_command")
        delivery = self._deliver()
        _route(bus, self._fanout(delivery.queue), "payment_result")
        self._projector(ledger_stream_arn)
        self._sweeper()
        read_stream(
            self,
            self._conflicts(),
            payments_stream_arn,
            [self._written_over()],
            config=config,
            name=names.CONFLICTS,
            prefix="Conflicts",
        )

    def _network(self) -> Worker:
        worker = Worker(
            self,
            "Network",
            config=self._config,
            name=names.NETWORK_QUEUE,
            batch_size=5,  # one after another, each up to its time-out at the card network
            role_name=names.network_role(self),
            settings={
                "PAYMENTS_TABLE": names.PAYMENTS,
                "LEDGER_TABLE": names.LEDGER,
                "EVENT_BUS": names.BUS,
                "DETOKENIZE_FUNCTION": names.DETOKENIZE,
                "CARD_NETWORK_URL": self._config.card_network_url,
            },
        )
        # It puts off what waits for replication by the message's visibility.
        worker.handler.function.add_environment("NETWORK_QUEUE_URL", worker.queue.queue_url)
        changes = ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem")  # a payment is put when it is mended
        worker.handler.allow(changes, names.table_arn(self, names.PAYMENTS))
        worker.handler.allow(("dynamodb:PutItem", "dynamodb:Query"), names.table_arn(self, names.LEDGER))
        worker.handler.allow(("lambda:InvokeFunction",), names.function_arn(self, names.DETOKENIZE))
        let_invoke(self, worker.handler.role, names.DETOKENIZE)
        worker.handler.allow(("events:PutEvents",), names.bus_arn(self))
        return worker

    def _fanout(self, delivery: sqs.Queue) -> Worker:
        worker = Worker(
            self,
            "WebhooksFanout",
            config=self._config,
            name=names.FANOUT_QUEUE,
            settings={"MERCHANTS_TABLE": names.MERCHANTS, "DELIVERY_QUEUE_URL": delivery.queue_url},
        )
        worker.handler.allow(("dynamodb:Query",), names.table_arn(self, names.MERCHANTS))
        worker.handler.allow(("sqs:SendMessage",), delivery.queue_arn)
        return worker

    def _deliver(self) -> Worker:
        worker = Worker(
            self,
            "WebhooksDeliver",
            config=self._config,
            name=names.DELIVERY_QUEUE,
            batch_size=1,  # a merchant's slow endpoint holds up nobody else's delivery
            receives=12,
            settings={
                "MERCHANTS_TABLE": names.MERCHANTS,
                "PRIVATE_ENDPOINTS_ALLOWED": str(self._config.private_webhook_endpoints).lower(),
            },
        )
        # It puts off a failed delivery by the message's visibility.
        worker.handler.function.add_environment("DELIVERY_QUEUE_URL", worker.queue.queue_url)
        worker.handler.allow(("dynamodb:GetItem",), names.table_arn(self, names.MERCHANTS))
        return worker

    def _projector(self, stream_arn: str) -> None:
        """A batch's progress is kept under its first record, so it is never bisected and fails as a whole."""
        projector = PaymentsFunction(
            self,
            "Projector",
            config=self._config,
            name=names.PROJECTOR,
            settings={
                "BALANCES_TABLE": names.BALANCES,
                "ACCOUNTS_TABLE": names.ACCOUNTS,
                "PROOFS_TABLE": names.PROOFS,
                "RECONCILIATION_BUCKET": names.settlement_store(self),
            },
        )
        projector.allow(("dynamodb:GetItem", "dynamodb:UpdateItem"), names.table_arn(self, names.BALANCES))
        projector.allow(("dynamodb:BatchWriteItem",), names.table_arn(self, names.ACCOUNTS))
        projector.allow(("dynamodb:PutItem",), names.table_arn(self, names.PROOFS))
        allow_objects(projector, ("s3:PutObject",), "feed/")
        projector.allow(("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"), stream_arn)
        projector.allow(("dynamodb:ListStreams",), "*")
        acknowledge(projector.role, "AwsSolutions-IAM5[Resource::*]", "streams are listed, not named")
        dead_letters = DeadLetters(self, "ProjectorDeadLetters", config=self._config, worker=names.PROJECTOR)
        acknowledge(dead_letters.queue, "AwsSolutions-SQS3", "it is the dead-letter queue, of a stream")
        projector.allow(("sqs:SendMessage",), dead_letters.queue.queue_arn)
        lambda_.EventSourceMapping(
            self,
            "LedgerStream",
            target=projector.function,
            event_source_arn=stream_arn,
            starting_position=lambda_.StartingPosition.TRIM_HORIZON,
            batch_size=STREAM_BATCH,
            max_batching_window=Duration.seconds(self._config.stream_window_s),
            max_record_age=STREAM_PATIENCE,
            on_failure=event_sources.SqsDlq(dead_letters.queue),
        ).node.add_dependency(projector.role)

    def _sweeper(self) -> None:
        sweeper = PaymentsFunction(
            self,
            "Sweeper",
            config=self._config,
            name="payments-sweeper",
            settings={
                "PAYMENTS_TABLE": names.PAYMENTS,
                "SHARDS_TABLE": names.SHARDS,
                "BALANCES_TABLE": names.BALANCES,
                "EVENT_BUS": names.BUS,
                "COMMAND_FUNCTION": names.COMMAND,
                "REGIONS": self._config.regions_setting,
            },
        )
        lists = [names.index_arn(self, names.PAYMENTS, one) for one in (names.PENDING_INDEX, names.REVIEW_INDEX)]
        sweeper.allow(("dynamodb:Query",), *lists, names.table_arn(self, names.BALANCES))
        sweeper.allow(("lambda:InvokeFunction",), names.function_arn(self, names.COMMAND))
        tables = (names.table_arn(self, names.PAYMENTS), names.table_arn(self, names.SHARDS))
        sweeper.allow(("dynamodb:GetItem",), *tables)
        sweeper.allow(("dynamodb:BatchGetItem",), names.table_arn(self, names.PAYMENTS))
        sweeper.allow(("events:PutEvents",), names.bus_arn(self))
        every_minute = events.Schedule.rate(Duration.minutes(1))
        rule = events.Rule(self, "EveryMinute", rule_name="payments-sweeper", schedule=every_minute)
        # The next minute's run is the retry.
        rule.add_target(targets.LambdaFunction(sweeper.function, retry_attempts=0))

    def _conflicts(self) -> PaymentsFunction:
        """It may read and write the records of conflicts, and no payment: that it leaves to the network worker."""
        function = PaymentsFunction(
            self,
            "Conflicts",
            config=self._config,
            name=names.CONFLICTS,
            settings={"PAYMENTS_TABLE": names.PAYMENTS, "EVENT_BUS": names.BUS},
        )
        function.allow(("events:PutEvents",), names.bus_arn(self))
        function.allow(
            ("dynamodb:GetItem", "dynamodb:PutItem"),
            names.table_arn(self, names.PAYMENTS),
            **keys_like(names.CONFLICT_KEYS),
        )
        return function

    def _written_over(self) -> dict[str, Any]:
        """A filter for payments that this region had written and another one has written over: whether with what it
        knew, or without, a filter cannot tell. Nothing else in the table says where it was written."""
        old = {"written_in": {"S": lambda_.FilterRule.is_equal(self.region)}}
        new = {"written_in": {"S": lambda_.FilterRule.not_equals(self.region)}}
        return lambda_.FilterCriteria.filter(
            {"eventName": lambda_.FilterRule.is_equal("MODIFY"), "dynamodb": {"OldImage": old, "NewImage": new}}
        )


def _route(bus: events.EventBus, worker: Worker, *detail_types: str) -> None:
    """Send the platform's events of these types to a worker's queue; what cannot be sent becomes a dead letter."""
    pattern = events.EventPattern(source=["payments"], detail_type=list(detail_types))
    rule = events.Rule(worker, "Rule", event_bus=bus, event_pattern=pattern)
    rule.add_target(targets.SqsQueue(worker.queue, dead_letter_queue=worker.dead_letters.queue))
