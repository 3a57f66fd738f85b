"""What the vault stands on: keys, tables, network, HSM cluster. It holds no code, so it changes rarely.

It is a stack of its own because of the order in which a deployment comes about: a replica needs its region's keys
before the first region can make the table, and an HSM cluster is initialized by people between this stack and the
functions' (README).
"""

from typing import Any

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from constructs import Construct

from cdk import names
from cdk.config import Config
from cdk.constructs.hsm import Hsm
from cdk.constructs.nag import acknowledge
from cdk.constructs.vault_network import VaultNetwork

_TEXT = dynamodb.AttributeType.STRING

_CONTENTS = {names.VAULT_TOKENS: "Tokens", names.VAULT_CARD_KEYS: "CardKeys"}


class VaultBaseStack(Stack):
    """The vault's base in one region. The tables are made in the first region, which replicates them to the other."""

    keys: dict[str, kms.Key]
    """Table → the key it is encrypted under at rest, in this region."""
    tokens_stream_arn: str | None
    """Stream of ``vault-tokens``; None where the table is a replica of another region's stack."""
    network: VaultNetwork
    hsm: Hsm | None

    def __init__(self, scope: Construct, construct_id: str, *, config: Config, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self._config = config
        self._removal = RemovalPolicy.RETAIN if config.retain_data else RemovalPolicy.DESTROY
        self.keys = {table: self._key(table) for table in names.VAULT_TABLES}
        self.tokens_stream_arn = None
        if config.defines_global_tables(self.region):
            self.tokens_stream_arn = self._table(names.VAULT_TOKENS, ttl="delete_after").table_stream_arn
            self._card_keys()
        self.network = VaultNetwork(self, "Network", config=config, region=self.region)
        self.hsm = self._hsm() if config.cloudhsm else None

    def watched_keys(self) -> list[str]:
        """ARNs of the keys without which the vault is lost."""
        return [key.key_arn for key in self.keys.values()] + ([self.hsm.secret_key.key_arn] if self.hsm else [])

    def _key(self, table: str) -> kms.Key:
        """A table's key, and no other table's. What is in the tables is encrypted once more, under the vault's keys."""
        return kms.Key(
            self,
            f"{_CONTENTS[table]}Key",
            alias=names.vault_key_alias(table),
            description=f"Encryption at rest of the {table} table",
            enable_key_rotation=True,
            removal_policy=self._removal,
        )

    def _card_keys(self) -> None:
        """A card is shredded by deleting its key, so there is no backup from which the key could come back."""
        table = self._table(names.VAULT_CARD_KEYS, backups=False)
        acknowledge(
            table,
            "AwsSolutions-DDB3",
            "deleting a card's key must be final (crypto-shredding): a backup would undo it; a lost key is a card that "
            "has to be presented again",
        )

    def _table(self, name: str, *, ttl: str | None = None, backups: bool = True) -> dynamodb.TableV2:
        regions = self._config.replica_regions()
        replica_keys = {region: names.vault_key_alias_arn(self, name, region) for region in regions}
        return dynamodb.TableV2(
            self,
            _CONTENTS[name],
            table_name=name,
            partition_key=dynamodb.Attribute(name="token", type=_TEXT),
            sort_key=dynamodb.Attribute(name="holding", type=_TEXT),
            time_to_live_attribute=ttl,
            billing=dynamodb.Billing.on_demand(),
            encryption=dynamodb.TableEncryptionV2.customer_managed_key(self.keys[name], replica_keys),
            dynamo_stream=dynamodb.StreamViewType.NEW_AND_OLD_IMAGES,
            replicas=[
                dynamodb.ReplicaTableProps(region=region, deletion_protection=self._config.retain_data)
                for region in regions
            ],
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=backups
            ),
            deletion_protection=self._config.retain_data,
            removal_policy=self._removal,
        )

    def _hsm(self) -> Hsm:
        assert self._config.cloudhsm
        return Hsm(
            self,
            "Hsm",
            network=self.network,
            makes_cluster=self.region == self._config.owner_region,
            restored_group=self._config.cloudhsm.restored_group,
        )
