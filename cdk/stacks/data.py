"""The tables, except the vault's; the ledger's archive, reconciliation's store, and that of fraud models.

In production the first region's stack owns the global tables, DynamoDB keeps their replicas in the other region, and
the other region's stack refers to them by name. Locally every region's emulator gets tables of its own, which
local/replication.py keeps alike.
"""

from typing import Any

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from cdk import names
from cdk.config import WITNESS_REGION, Config
from cdk.constructs.append_only import append_only
from cdk.constructs.archive import Archive
from cdk.constructs.model_store import ModelStore
from cdk.constructs.replica import replica_policy, replica_stream_arn
from cdk.constructs.settlement_store import SettlementStore

_TEXT = dynamodb.AttributeType.STRING
_NUMBER = dynamodb.AttributeType.NUMBER


class DataStack(Stack):
    """Payments, ledger, merchants, shards, fraud profiles and rules; per region the ledger's projections and its
    archive, what reconciliation keeps, and fraud's scores and models."""

    ledger_stream_arn: str
    payments_stream_arn: str
    """Streams of the region's ledger and payments. They carry a time stamp, so they are what cannot be named."""

    def __init__(self, scope: Construct, construct_id: str, *, config: Config, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self._config = config
        self._table(names.BALANCES, ("account", _TEXT), ("period", _TEXT), ttl="expires_at")
        self._table(names.ACCOUNTS, ("account", _TEXT), ("position", _TEXT))
        self._table(names.PROOFS, ("record", _TEXT), ("position", _TEXT))
        self._settlements()
        archive = Archive(self, "Archive", config=config)
        SettlementStore(self, "SettlementStore", config=config, access_log=archive.access_log)
        self._table(names.FRAUD_SCORES, ("day", _TEXT), ("payment_id", _TEXT), ttl="expires_at")
        ModelStore(self, "ModelStore", config=config, access_log=archive.access_log)
        if config.defines_global_tables(self.region):
            self.payments_stream_arn, self.ledger_stream_arn = self._global_tables()
        else:
            self.ledger_stream_arn = replica_stream_arn(self, "LedgerStream", names.LEDGER)
            self.payments_stream_arn = replica_stream_arn(self, "PaymentsStream", names.PAYMENTS)
            if config.guards_history:
                replica_policy(self, "LedgerPolicy", names.LEDGER, append_only(self, names.LEDGER))

    def _settlements(self) -> None:
        """Results of reconciliation. What is open, and nothing else, is in the index."""
        settlements = self._table(names.SETTLEMENTS, ("network_ref", _TEXT), ("line", _TEXT))
        settlements.add_global_secondary_index(
            index_name=names.UNMATCHED_INDEX,
            partition_key=dynamodb.Attribute(name="open", type=_TEXT),
            sort_key=dynamodb.Attribute(name="open_since", type=_TEXT),
            projection_type=dynamodb.ProjectionType.KEYS_ONLY,
        )

    def _global_tables(self) -> tuple[str, str]:
        """Make the global tables; the answer is the stream ARNs of payments and ledger."""
        payments = self._global_table(names.PAYMENTS, ("payment_id", _TEXT))
        payments.add_global_secondary_index(
            index_name=names.PENDING_INDEX,
            partition_key=dynamodb.Attribute(name="pending_bucket", type=_NUMBER),
            sort_key=dynamodb.Attribute(name="pending_since", type=_TEXT),
            projection_type=dynamodb.ProjectionType.KEYS_ONLY,
        )
        payments.add_global_secondary_index(
            index_name=names.MERCHANT_INDEX,
            partition_key=dynamodb.Attribute(name="merchant_bucket", type=_TEXT),
            sort_key=dynamodb.Attribute(name="listed_as", type=_TEXT),
            projection_type=dynamodb.ProjectionType.KEYS_ONLY,
        )
        payments.add_global_secondary_index(
            index_name=names.REVIEW_INDEX,
            partition_key=dynamodb.Attribute(name="review", type=_TEXT),
            sort_key=dynamodb.Attribute(name="listed_as", type=_TEXT),
            projection_type=dynamodb.ProjectionType.KEYS_ONLY,
        )
        policy = append_only(self, names.LEDGER) if self._config.guards_history else None
        ledger = self._global_table(names.LEDGER, ("payment_id", _TEXT), ("journal_id", _TEXT), resource_policy=policy)
        self._global_table(names.MERCHANTS, ("merchant_id", _TEXT), ("kind", _TEXT))
        self._global_table(names.FRAUD_PROFILES, ("entity", _TEXT), ("region", _TEXT), ttl="expires_at")
        self._global_table(names.FRAUD_RULES, ("scope", _TEXT), ("entry", _TEXT), ttl="expires_at")
        self._shards()
        assert payments.table_stream_arn
        assert ledger.table_stream_arn
        return payments.table_stream_arn, ledger.table_stream_arn

    def _shards(self) -> None:
        """Who writes for a shard must be agreed on before anybody writes: strong consistency, a witness as third vote.

        Such tables know no TTL and no transactions (CDK would let one ask for them).
        """
        strong: dict[str, Any] = {}
        if self._config.global_tables:
            strong = {
                "multi_region_consistency": dynamodb.MultiRegionConsistency.STRONG,
                "witness_region": WITNESS_REGION,
            }
        self._global_table(names.SHARDS, ("shard", _NUMBER), **strong)

    def _global_table(
        self, name: str, partition: tuple[str, dynamodb.AttributeType], *sort: Any, **properties: Any
    ) -> dynamodb.TableV2:
        replicas = [
            dynamodb.ReplicaTableProps(region=region, deletion_protection=self._config.retain_data)
            for region in self._config.replica_regions()
        ]
        return self._table(
            name,
            partition,
            *sort,
            replicas=replicas,
            dynamo_stream=dynamodb.StreamViewType.NEW_AND_OLD_IMAGES,  # what replication reads, there as here
            **properties,
        )

    def _table(
        self,
        name: str,
        partition: tuple[str, dynamodb.AttributeType],
        sort: tuple[str, dynamodb.AttributeType] | None = None,
        ttl: str | None = None,
        **properties: Any,
    ) -> dynamodb.TableV2:
        return dynamodb.TableV2(
            self,
            "".join(part.title() for part in name.split("-")),
            table_name=name,
            partition_key=dynamodb.Attribute(name=partition[0], type=partition[1]),
            sort_key=dynamodb.Attribute(name=sort[0], type=sort[1]) if sort else None,
            time_to_live_attribute=ttl,
            billing=dynamodb.Billing.on_demand(),
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=self._config.retain_data,
            removal_policy=RemovalPolicy.RETAIN if self._config.retain_data else RemovalPolicy.DESTROY,
            **properties,
        )
