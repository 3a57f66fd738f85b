"""The vault's network: isolated subnets, and ways out to nothing but what the vault needs."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from cdk import names
from cdk.config import DYNAMODB_PREFIX_LISTS, VAULT_NETWORKS, Config
from cdk.constructs.function import Network, retention
from cdk.vault_rights import union

HTTPS = 443


class VaultNetwork(Construct):
    """A VPC without any gateway but DynamoDB's, and two kinds of members: those who open the key store, and the rest.

    Nobody may connect to either. All may reach DynamoDB, and there the vault's tables; who opens the key store may also
    reach what ``let_key_users_reach`` names.
    """

    def __init__(self, scope: Construct, construct_id: str, *, config: Config, region: str) -> None:
        super().__init__(scope, construct_id)
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=ec2.IpAddresses.cidr(VAULT_NETWORKS[region]),
            max_azs=3,
            nat_gateways=0,
            create_internet_gateway=False,
            restrict_default_security_group=False,  # unused; a custom resource would be more than it protects
            subnet_configuration=[
                ec2.SubnetConfiguration(name="Vault", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=24)
            ],
        )
        self._flow_log(config)
        self._dynamodb()
        self.key_users = Network(self.vpc, self._group("KeyUsers", "Vault functions that open the key store", region))
        self.others = Network(self.vpc, self._group("Functions", "Vault functions: out to DynamoDB only", region))

    def let_key_users_reach(self, name: str, group_id: str, ports: tuple[int, int]) -> None:
        """Open a way, at both its ends, from who opens the key store to a security group's members."""
        key_users = self.key_users.security_group.security_group_id
        rule = {"ip_protocol": "tcp", "from_port": ports[0], "to_port": ports[1], "description": name}
        ec2.CfnSecurityGroupEgress(
            self, f"{name}Egress", group_id=key_users, destination_security_group_id=group_id, **rule
        )
        ec2.CfnSecurityGroupIngress(
            self, f"{name}Ingress", group_id=group_id, source_security_group_id=key_users, **rule
        )

    def closed_group(self, construct_id: str, description: str) -> ec2.SecurityGroup:
        """A security group whose members may connect to nothing."""
        return ec2.SecurityGroup(self, construct_id, vpc=self.vpc, description=description, allow_all_outbound=False)

    def _group(self, construct_id: str, description: str, region: str) -> ec2.SecurityGroup:
        group = self.closed_group(construct_id, description)
        # Written out, because add_egress_rule makes a prefix list's rule a resource of its own.
        group.node.default_child.security_group_egress = [  # type: ignore[union-attr]
            ec2.CfnSecurityGroup.EgressProperty(
                ip_protocol="tcp",
                from_port=HTTPS,
                to_port=HTTPS,
                destination_prefix_list_id=DYNAMODB_PREFIX_LISTS[region],
                description="DynamoDB gateway endpoint",
            )
        ]
        return group

    def _dynamodb(self) -> None:
        """Per table, what some function of the vault may do to it; nothing else passes."""
        endpoint = self.vpc.add_gateway_endpoint("DynamoDb", service=ec2.GatewayVpcEndpointAwsService.DYNAMODB)
        for table in names.VAULT_TABLES:
            endpoint.add_to_policy(
                iam.PolicyStatement(
                    principals=[iam.AnyPrincipal()], actions=union(table), resources=[names.table_arn(self, table)]
                )
            )

    def _flow_log(self, config: Config) -> None:
        if not config.flow_logs:
            return
        log = logs.LogGroup(self, "FlowLog", retention=retention(config), removal_policy=RemovalPolicy.RETAIN)
        self.vpc.add_flow_log("Flows", destination=ec2.FlowLogDestination.to_cloud_watch_logs(log))
