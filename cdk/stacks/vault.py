"""The vault: the only functions that see a card number, in a network with one way out, to one table.

Nothing here is shared with the rest of the platform: own network, own key, own table, own bundle.
"""

from typing import Any

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from cdk import names
from cdk.config import DYNAMODB_PREFIX_LISTS, Config
from cdk.constructs.function import Network, PaymentsFunction, retention

# Which function may do what to the vault table. No one may delete, query or scan.
TABLE_ACTIONS = {
    "Tokenize": ("dynamodb:GetItem", "dynamodb:UpdateItem"),
    "Release": ("dynamodb:UpdateItem",),
    "Detokenize": ("dynamodb:GetItem", "dynamodb:UpdateItem"),
    "PublicKey": ("dynamodb:GetItem",),
    "Provision": ("dynamodb:GetItem", "dynamodb:PutItem"),
}

_KEY_READ = ("kms:Decrypt", "kms:DescribeKey")
_KEY_WRITE = ("kms:Encrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey")


class VaultStack(Stack):
    """Network, key, table and functions of the vault in one region.

    The replica in the other region is encrypted under that region's key: deploy the other region's vault stack
    before the first region's (README).
    """

    def __init__(self, scope: Construct, construct_id: str, *, config: Config, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self._config = config
        key = self._key()
        if config.defines_global_tables(self.region):
            self._table(key)
        network = self._network()
        for name, actions in TABLE_ACTIONS.items():
            # Keys are made in one region only: made in both, one region's would replace the other's.
            if name != "Provision" or self.region == config.owner_region:
                self._function(name, actions, key, network)

    def _key(self) -> kms.Key:
        """The key of the table's encryption at rest. Card data is encrypted once more, under the key store's keys."""
        return kms.Key(
            self,
            "Key",
            alias=names.VAULT_KEY_ALIAS,
            description="Encryption at rest of the vault-tokens table",
            enable_key_rotation=True,
            removal_policy=RemovalPolicy.RETAIN if self._config.retain_data else RemovalPolicy.DESTROY,
        )

    def _table(self, key: kms.Key) -> None:
        regions = self._config.replica_regions()
        replica_keys = {region: names.vault_key_alias_arn(self, region) for region in regions}
        dynamodb.TableV2(
            self,
            "Tokens",
            table_name=names.VAULT_TOKENS,
            partition_key=dynamodb.Attribute(name="token", type=dynamodb.AttributeType.STRING),
            time_to_live_attribute="expires_at",
            billing=dynamodb.Billing.on_demand(),
            encryption=dynamodb.TableEncryptionV2.customer_managed_key(key, replica_keys),
            dynamo_stream=dynamodb.StreamViewType.NEW_AND_OLD_IMAGES,
            replicas=[
                dynamodb.ReplicaTableProps(region=region, deletion_protection=self._config.retain_data)
                for region in regions
            ],
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=self._config.retain_data,
            removal_policy=RemovalPolicy.RETAIN if self._config.retain_data else RemovalPolicy.DESTROY,
        )

    def _network(self) -> Network:
        """Isolated subnets; the one way out leads to DynamoDB, and there to the vault's table only."""
        vpc = ec2.Vpc(
            self,
            "Network",
            ip_addresses=ec2.IpAddresses.cidr("10.64.0.0/20"),
            max_azs=3,
            nat_gateways=0,
            create_internet_gateway=False,
            restrict_default_security_group=False,  # unused; a custom resource would be more than it protects
            subnet_configuration=[
                ec2.SubnetConfiguration(name="Vault", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=24)
            ],
        )
        self._flow_log(vpc)
        endpoint = vpc.add_gateway_endpoint("DynamoDb", service=ec2.GatewayVpcEndpointAwsService.DYNAMODB)
        endpoint.add_to_policy(
            iam.PolicyStatement(
                principals=[iam.AnyPrincipal()],
                actions=sorted({action for actions in TABLE_ACTIONS.values() for action in actions}),
                resources=[names.table_arn(self, names.VAULT_TOKENS)],
            )
        )
        group = ec2.SecurityGroup(
            self, "Functions", vpc=vpc, description="Vault functions: out to DynamoDB only", allow_all_outbound=False
        )
        # Written out, because add_egress_rule makes a prefix list's rule a resource of its own.
        group.node.default_child.security_group_egress = [  # type: ignore[union-attr]
            ec2.CfnSecurityGroup.EgressProperty(
                ip_protocol="tcp",
                from_port=443,
                to_port=443,
                destination_prefix_list_id=DYNAMODB_PREFIX_LISTS[self.region],
                description="DynamoDB gateway endpoint",
            )
        ]
        return Network(vpc, group)

    def _flow_log(self, vpc: ec2.Vpc) -> None:
        if not self._config.flow_logs:
            return
        log = logs.LogGroup(self, "FlowLog", retention=retention(self._config), removal_policy=RemovalPolicy.RETAIN)
        vpc.add_flow_log("Flows", destination=ec2.FlowLogDestination.to_cloud_watch_logs(log))

    def _function(self, name: str, actions: tuple[str, ...], key: kms.Key, network: Network) -> None:
        suffix = {"PublicKey": "public-key"}.get(name, name.lower())
        function = PaymentsFunction(
            self,
            name,
            config=self._config,
            name=f"payments-vault-{suffix}",
            settings={"VAULT_TABLE": names.VAULT_TOKENS, "KEY_STORE": self._config.key_store},
            domain=False,
            wheels="functions/vault/requirements.txt",
            network=network,
        )
        function.allow(actions, names.table_arn(self, names.VAULT_TOKENS))
        writes = bool({"dynamodb:PutItem", "dynamodb:UpdateItem"} & set(actions))
        function.allow(
            (*_KEY_READ, *(_KEY_WRITE if writes else ())),
            key.key_arn,
            StringEquals={"kms:ViaService": f"dynamodb.{self.region}.amazonaws.com"},
        )
