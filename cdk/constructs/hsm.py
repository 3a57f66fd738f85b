"""The HSM cluster of a region, the way to it, and the credentials for it (docs/cloudhsm.md)."""

from aws_cdk import CfnOutput, RemovalPolicy, SecretValue
from aws_cdk import aws_cloudhsm as cloudhsm
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from cdk import names
from cdk.constructs.nag import acknowledge
from cdk.constructs.vault_network import HTTPS, VaultNetwork

HSM_TYPE = "hsm2m.medium"

HSM_PORTS = (2223, 2225)
"""What CloudHSM's client speaks to an HSM on."""

BACKUP_DAYS = 90
"""How long the cluster's own backups are kept. They hold key-encryption keys, never a card's key: that one is in the
table ``vault-card-keys``, so a backup undoes no shredding."""


class Hsm(Construct):
    """A region's way to its HSM cluster, and the secret with the crypto user's name and password.

    The first region's cluster is a resource of the stack: empty, without an HSM, to be initialized by hand. The second
    region's must hold the same keys, so it is restored from a backup of the first one's, which CloudFormation's
    resource cannot do: the operator makes it in this network and names its security group (``restored_group``). Until
    then there is no way to it.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        network: VaultNetwork,
        makes_cluster: bool,
        restored_group: str | None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.secret_key = kms.Key(
            self,
            "SecretKey",
            alias="alias/payments-vault-crypto-user",
            description="Encryption of the HSM crypto user's credentials",
            enable_key_rotation=True,
            removal_policy=RemovalPolicy.RETAIN,
        )
        self.secret = self._secret()
        self._secrets_endpoint(network)
        group = self._cluster(network.vpc).attr_security_group if makes_cluster else restored_group
        if group:
            network.let_key_users_reach("CloudHsm", group, HSM_PORTS)
        CfnOutput(self, "Subnets", value=",".join(subnet.subnet_id for subnet in network.vpc.isolated_subnets))
        CfnOutput(self, "CryptoUserSecret", value=self.secret.secret_arn)

    def _cluster(self, vpc: ec2.Vpc) -> cloudhsm.CfnCluster:
        cluster = cloudhsm.CfnCluster(
            self,
            "Cluster",
            hsm_type=HSM_TYPE,
            mode="FIPS",
            subnet_ids=[subnet.subnet_id for subnet in vpc.isolated_subnets],
            backup_retention_policy=cloudhsm.CfnCluster.BackupRetentionPolicyProperty(
                type="DAYS", value=str(BACKUP_DAYS)
            ),
        )
        cluster.apply_removal_policy(RemovalPolicy.RETAIN)
        CfnOutput(self, "ClusterId", value=cluster.attr_cluster_id)
        return cluster

    def _secret(self) -> secretsmanager.Secret:
        """Made without a password, which the key store refuses to try; the operator puts one in its place."""
        secret = secretsmanager.Secret(
            self,
            "CryptoUser",
            secret_name=names.CRYPTO_USER,
            description="username and password (JSON) of the vault's crypto user at the region's HSM cluster",
            encryption_key=self.secret_key,
            secret_string_value=SecretValue.unsafe_plain_text('{"username": "", "password": ""}'),
            removal_policy=RemovalPolicy.RETAIN,
        )
        acknowledge(
            secret,
            "AwsSolutions-SMG4",
            "only an HSM administrator can change the password, which takes people: docs/cloudhsm.md",
        )
        return secret

    def _secrets_endpoint(self, network: VaultNetwork) -> None:
        """An interface to Secrets Manager, for one secret and for who opens the key store."""
        group = network.closed_group("SecretsEndpoint", "Secrets Manager endpoint: in from who opens the key store")
        network.let_key_users_reach("SecretsManager", group.security_group_id, (HTTPS, HTTPS))
        endpoint = network.vpc.add_interface_endpoint(
            "SecretsManager",
            service=ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER,
            security_groups=[group],
            open=False,
            private_dns_enabled=True,
        )
        endpoint.add_to_policy(
            iam.PolicyStatement(
                principals=[iam.AnyPrincipal()],
                actions=["secretsmanager:GetSecretValue"],
                resources=[self.secret.secret_arn],
            )
        )
