"""The vault: the only functions that see a card number, in a network with no way out but to what they need.

Nothing here is shared with the rest of the platform: own network, own keys, own tables, own bundle.
"""

from typing import Any

from aws_cdk import Duration, Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as event_sources
from constructs import Construct

from cdk import names
from cdk.config import Config
from cdk.constructs.function import ARCHITECTURE, RUNTIME, PaymentsFunction
from cdk.constructs.nag import acknowledge
from cdk.constructs.replica import replica_stream_arn
from cdk.constructs.worker import DeadLetters
from cdk.stacks.vault_base import VaultBaseStack
from cdk.vault_rights import VAULT_RIGHTS, Rights

KEY_RING = "keys"
"""Exists in the first region only: keys made in both, one region's would replace the other's."""

STREAM_BATCH = 100

STREAM_PATIENCE = Duration.hours(12)
"""How long a record of the stream is repeated before it becomes a dead letter; half of what a stream keeps."""

STREAM_RETRIES = 20
"""Some ten minutes, with Lambda's growing pauses: longer than a hiccup, shorter than what others may wait."""

_KEY_READ = ("kms:Decrypt", "kms:DescribeKey")
_KEY_WRITE = ("kms:Encrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey")
_CHANGES = ("DeleteItem", "PutItem", "UpdateItem")


class VaultStack(Stack):
    """The vault's functions in one region."""

    def __init__(
        self, scope: Construct, construct_id: str, *, config: Config, base: VaultBaseStack, **kwargs: Any
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self._config = config
        self._base = base
        self._client = self._client_layer()
        functions = {
            name: self._function(name, rights)
            for name, rights in VAULT_RIGHTS.items()
            if name != KEY_RING or self.region == config.owner_region
        }
        self._feed(functions["shredder"])

    def _client_layer(self) -> list[lambda_.ILayerVersion]:
        """CloudHSM's PKCS#11 library and where it finds this region's HSMs, as the operator supplies it."""
        source = self._config.cloudhsm.client_layers.get(self.region) if self._config.cloudhsm else None
        if not source:
            return []
        if source.startswith("arn:"):
            return [lambda_.LayerVersion.from_layer_version_arn(self, "CloudHsmClient", source)]
        layer = lambda_.LayerVersion(
            self,
            "CloudHsmClient",
            code=lambda_.Code.from_asset(source),
            compatible_architectures=[ARCHITECTURE],
            compatible_runtimes=[RUNTIME],
        )
        return [layer]

    def _function(self, name: str, rights: Rights) -> PaymentsFunction:
        network = self._base.network
        function = PaymentsFunction(
            self,
            "".join(part.title() for part in name.split("-")),
            config=self._config,
            name=f"payments-vault-{name}",
            settings={
                "VAULT_TABLE": names.VAULT_TOKENS,
                "CARD_KEYS_TABLE": names.VAULT_CARD_KEYS,
                "KEY_STORE": self._key_store(),
            },
            domain=False,
            wheels="functions/vault/requirements.txt",
            network=network.key_users if rights.opens_key_store else network.others,
            layers=self._client if rights.opens_key_store else (),
        )
        for table in names.VAULT_TABLES:
            self._allow_table(function, rights, table)
        if rights.opens_key_store:
            self._allow_credentials(function)
        return function

    def _key_store(self) -> str:
        """The key store's URI, in AWS with the ARN of the region's secret."""
        hsm = self._base.hsm
        return f"{self._config.key_store}&pin-source={hsm.secret.secret_arn}" if hsm else self._config.key_store

    def _allow_table(self, function: PaymentsFunction, rights: Rights, table: str) -> None:
        """The rights on a table, and on its key as far as DynamoDB uses it for them."""
        actions = rights.on(table)
        if not actions:
            return
        function.allow(actions, names.table_arn(self, table))
        changes = any(action.endswith(_CHANGES) for action in actions)
        function.allow(
            (*_KEY_READ, *(_KEY_WRITE if changes else ())),
            self._base.keys[table].key_arn,
            StringEquals={"kms:ViaService": f"dynamodb.{self.region}.amazonaws.com"},
        )

    def _allow_credentials(self, function: PaymentsFunction) -> None:
        hsm = self._base.hsm
        if not hsm:
            return
        function.allow(("secretsmanager:GetSecretValue",), hsm.secret.secret_arn)
        function.allow(
            ("kms:Decrypt",),
            hsm.secret_key.key_arn,
            StringEquals={"kms:ViaService": f"secretsmanager.{self.region}.amazonaws.com"},
        )

    def _feed(self, shredder: PaymentsFunction) -> None:
        """What the other region has shredded, and what has expired. Records are independent, but a stream waits for the
        one that fails: after some minutes it goes to the dead letters, and `payments vault repair` does what it asked.
        """
        stream = self._base.tokens_stream_arn or replica_stream_arn(self, "TokensStream", names.VAULT_TOKENS)
        shredder.allow(("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"), stream)
        shredder.allow(("dynamodb:ListStreams",), "*")
        acknowledge(shredder.role, "AwsSolutions-IAM5[Resource::*]", "streams are listed, not named")
        dead_letters = DeadLetters(self, "DeadLetters", config=self._config, worker="payments-vault-shredder")
        acknowledge(dead_letters.queue, "AwsSolutions-SQS3", "it is the dead-letter queue, of a stream")
        shredder.allow(("sqs:SendMessage",), dead_letters.queue.queue_arn)
        lambda_.EventSourceMapping(
            self,
            "Stream",
            target=shredder.function,
            event_source_arn=stream,
            starting_position=lambda_.StartingPosition.TRIM_HORIZON,
            batch_size=STREAM_BATCH,
            filters=[
                _records(lambda_.FilterRule.or_("INSERT", "MODIFY"), "NewImage", "shredded"),
                _records(lambda_.FilterRule.is_equal("REMOVE"), "OldImage", "card"),
            ],
            report_batch_item_failures=True,
            bisect_batch_on_error=True,
            max_record_age=STREAM_PATIENCE,
            retry_attempts=STREAM_RETRIES,
            on_failure=event_sources.SqsDlq(dead_letters.queue),
        ).node.add_dependency(shredder.role)


def _records(event_name: Any, image: str, kind: str) -> dict[str, Any]:
    """A filter for records of the stream, by what happened to an item of which kind."""
    images = {image: {"kind": {"S": lambda_.FilterRule.is_equal(kind)}}}
    return lambda_.FilterCriteria.filter({"eventName": event_name, "dynamodb": images})
