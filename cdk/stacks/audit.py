"""Who uses the vault past its callers, and who changes what guards it or the ledger: recorded, and told to the alarm
topic.

CloudTrail's data events cost $0.10 per 100,000, which for every detokenization would be $1 per million charges, and
CloudWatch Logs as much again. So the trail knows only the functions that open cards, change keys, walk over all cards
or destroy them, and it leaves out the calls of the roles that do so for every charge or deletion: in quiet times it
records none. The functions' own logs say how often those roles called. The trail also records write events of
management, without which EventBridge would not see them; the first such trail of an account is free, a further one
costs $2 per 100,000 events.
"""

from typing import Any

from aws_cdk import ArnFormat, Duration, RemovalPolicy, Stack
from aws_cdk import aws_cloudtrail as cloudtrail
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from constructs import Construct

from cdk import names
from cdk.config import Config
from cdk.constructs.function import retention
from cdk.constructs.nag import acknowledge
from cdk.constructs.worker import alarm

TRAIL = "payments-vault"

IAM_REGION = "us-east-1"
"""The one region in which IAM's events appear."""

KEPT = Duration.days(400)
"""A year, which PCI DSS 10.5.1 asks for, and time to fetch the last of it."""

KEY_EVENTS = ("DisableKey", "ScheduleKeyDeletion", "PutKeyPolicy", "DisableKeyRotation")

FUNCTION_EVENTS = (
    "AddPermission",
    "RemovePermission",
    "UpdateFunctionCode",
    "UpdateFunctionConfiguration",
    "DeleteFunction",
)
"""Beginnings of the names: the API's date stands behind them."""

GUARDED_FUNCTIONS = ("payments-vault-", "payments-network", "payments-api")
"""Beginnings of the names: the vault's functions, the one that may detokenize, and the one that hands out the vault's
public key and sees raw cards."""

TABLE_EVENTS = ("CreateBackup", "EnableKinesisStreamingDestination", "StartAwsBackupJob", "UpdateContinuousBackups")
"""What would keep a card key past its deletion."""

NETWORK_EVENTS = (
    "AuthorizeSecurityGroupEgress",
    "AuthorizeSecurityGroupIngress",
    "ModifySecurityGroupRules",
    "RevokeSecurityGroupEgress",
    "RevokeSecurityGroupIngress",
    "CreateVpcEndpoint",
    "DeleteVpcEndpoints",
    "ModifyVpcEndpoint",
    "AcceptVpcPeeringConnection",
    "AttachInternetGateway",
    "CreateNatGateway",
    "CreateRoute",
    "CreateVpcPeeringConnection",
    "DeleteFlowLogs",
)
"""Of any network in the region: the account has no other than the vault's, and these calls name theirs in many ways."""

ROLE_EVENTS = (
    "PutRolePolicy",
    "DeleteRolePolicy",
    "AttachRolePolicy",
    "DetachRolePolicy",
    "UpdateAssumeRolePolicy",
    "DeleteRolePermissionsBoundary",
)

TRAIL_EVENTS = ("StopLogging", "DeleteTrail", "UpdateTrail", "PutEventSelectors")

GUARDED_ROLES = ("payments-vault-", "payments-network-", "payments-charge-", "payments-api-", "payments-notary-")
"""Beginnings of the names of the vault's roles and its callers', and of the archive's only writer, in both regions."""

POLICY_EVENTS = ("PutResourcePolicy", "DeleteResourcePolicy")

ARCHIVE_EVENTS = (
    "PutBucketPolicy",
    "DeleteBucketPolicy",
    "PutBucketLifecycle",
    "PutBucketObjectLockConfiguration",
    "PutBucketVersioning",
)
"""What is locked stays so whatever happens; these change what will become of what is written next."""


class AuditStack(Stack):
    """A trail, an alarm on every unexpected detokenization, and rules on changes of keys, functions, the table of card
    keys, the network, trails, roles, the ledger's policy and its archive."""

    def __init__(
        self, scope: Construct, construct_id: str, *, config: Config, watched_keys: list[str], **kwargs: Any
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self._key = self._trail_key()
        log = logs.LogGroup(
            self,
            "Log",
            log_group_name=self._log_name(),
            encryption_key=self._key,
            retention=retention(config),
            removal_policy=RemovalPolicy.RETAIN,
        )
        self._select(self._trail(log))
        self._detokenize_alarm(log)
        self._topic = sns.Topic.from_topic_arn(self, "Alarms", names.alarm_topic_arn(self))
        self._tell("Keys", "kms", KEY_EVENTS, {"resources": {"ARN": watched_keys}})
        # A caller may name a function by its name, by its ARN or by the end of it.
        functions = [{"wildcard": f"*{name}*"} for name in GUARDED_FUNCTIONS]
        self._tell("Functions", "lambda", _prefixes(FUNCTION_EVENTS), _parameter("functionName", functions))
        card_keys = [{"suffix": names.VAULT_CARD_KEYS}]
        self._tell("Tables", "dynamodb", TABLE_EVENTS, _parameter("tableName", card_keys))
        self._tell("Network", "ec2", NETWORK_EVENTS, {})
        self._tell("Trails", "cloudtrail", TRAIL_EVENTS, {})
        if self.region == IAM_REGION:
            self._tell("Roles", "iam", ROLE_EVENTS, _parameter("roleName", _prefixes(GUARDED_ROLES)))
        ledger = [{"suffix": f"table/{names.LEDGER}"}]
        self._tell("Policy", "dynamodb", POLICY_EVENTS, _parameter("resourceArn", ledger), of="ledger")
        archive = {"requestParameters": {"bucketName": [names.archive(self)]}}
        self._tell("Archive", "s3", ARCHIVE_EVENTS, archive, of="ledger")

    def _trail(self, log: logs.LogGroup) -> cloudtrail.Trail:
        bucket = s3.Bucket(
            self,
            "Records",
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self._key,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            versioned=True,
            lifecycle_rules=[s3.LifecycleRule(expiration=KEPT, noncurrent_version_expiration=KEPT)],
            removal_policy=RemovalPolicy.RETAIN,
        )
        acknowledge(
            bucket, "AwsSolutions-S1", "it holds the access log; who reads the log is in the account's own trail"
        )
        return cloudtrail.Trail(
            self,
            "Trail",
            trail_name=TRAIL,
            bucket=bucket,
            encryption_key=self._key,
            cloud_watch_log_group=log,
            send_to_cloud_watch_logs=True,
            enable_file_validation=True,
            is_multi_region_trail=False,
            include_global_service_events=self.region == IAM_REGION,
        )

    def _select(self, trail: cloudtrail.Trail) -> None:
        """Write events of management; every call of what only operators use; calls of detokenize by anybody but the
        network worker; calls of shred by anybody but the API, which deletes cards for merchants.

        The trail's construct knows only the older selectors, which cannot tell one caller from another.
        """
        selector = cloudtrail.CfnTrail.AdvancedFieldSelectorProperty
        management = [
            selector(field="eventCategory", equal_to=["Management"]),
            selector(field="readOnly", equal_to=["false"]),
        ]
        calls = [
            selector(field="eventCategory", equal_to=["Data"]),
            selector(field="resources.type", equal_to=["AWS::Lambda::Function"]),
        ]
        opened = [
            *calls,
            selector(field="resources.ARN", starts_with=[names.function_arn(self, names.DETOKENIZE)]),
            selector(field="userIdentity.arn", not_starts_with=[names.sessions_of(self, names.network_role(self))]),
        ]
        operated = [
            *calls,
            selector(
                field="resources.ARN", starts_with=[names.function_arn(self, name) for name in names.OPERATORS_OWN]
            ),
        ]
        shredded = [
            *calls,
            selector(
                field="resources.ARN",
                starts_with=[names.function_arn(self, names.SHRED)],
                not_starts_with=[names.function_arn(self, names.SHREDDER)],
            ),
            selector(field="userIdentity.arn", not_starts_with=[names.sessions_of(self, names.api_role(self))]),
        ]
        resource = trail.node.default_child
        assert isinstance(resource, cloudtrail.CfnTrail)
        resource.event_selectors = None
        resource.advanced_event_selectors = [
            cloudtrail.CfnTrail.AdvancedEventSelectorProperty(name=name, field_selectors=fields)
            for name, fields in (
                ("Management", management),
                ("Detokenize", opened),
                ("Operated", operated),
                ("Shred", shredded),
            )
        ]

    def _detokenize_alarm(self, log: logs.LogGroup) -> None:
        """Any call of the function that is not its caller's; CloudTrail may take a quarter of an hour to show it.

        The trail already leaves out the caller; the filter says so once more, should somebody widen the selectors. A
        caller without a role (a user, the root) has no issuer, which only ``NOT EXISTS`` finds. A call of an unnamed
        function counts too.
        """
        issuer, function = "$.userIdentity.sessionContext.sessionIssuer.arn", "$.resources[0].ARN"
        stranger = f'({issuer} NOT EXISTS) || ({issuer} != "{names.network_role_arn(self)}")'
        opening = f'({function} NOT EXISTS) || ({function} = "{names.function_arn(self, names.DETOKENIZE)}*")'
        calls = '($.eventSource = "lambda.amazonaws.com") && ($.eventCategory = "Data")'
        pattern = f"{{ {calls} && ({opening}) && ({stranger}) }}"
        logs.MetricFilter(
            self,
            "Strangers",
            log_group=log,
            filter_pattern=logs.FilterPattern.literal(pattern),
            metric_namespace="Payments/Vault",
            metric_name="UnexpectedDetokenize",
            metric_value="1",
        )
        alarm(
            self,
            "UnexpectedDetokenize",
            name="payments-vault-unexpected-detokenize",
            description=f"Somebody other than {names.network_role(self)} called {names.DETOKENIZE}: an incident",
            metric=cloudwatch.Metric(
                namespace="Payments/Vault",
                metric_name="UnexpectedDetokenize",
                statistic="Sum",
                period=Duration.minutes(1),
            ),
        )

    def _tell(self, name: str, service: str, calls: Any, what: dict[str, Any], of: str = "vault") -> None:
        """Tell the alarm topic of calls of a service's API that change something the vault or the ledger rests on."""
        pattern = events.EventPattern(
            source=[f"aws.{service}"],
            detail_type=["AWS API Call via CloudTrail"],
            detail={"eventSource": [f"{service}.amazonaws.com"], "eventName": list(calls), **what},
        )
        rule = events.Rule(self, name, rule_name=f"payments-{of}-{name.lower()}-changed", event_pattern=pattern)
        rule.add_target(targets.SnsTopic(self._topic, authorize_using_role=True))

    def _trail_key(self) -> kms.Key:
        key = kms.Key(
            self,
            "Key",
            alias="alias/payments-vault-audit",
            description="Encryption of the vault's audit trail and log",
            enable_key_rotation=True,
            removal_policy=RemovalPolicy.RETAIN,
        )
        log = self.format_arn(
            service="logs",
            resource="log-group",
            resource_name=self._log_name(),
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        trail = self.format_arn(service="cloudtrail", resource="trail", resource_name=TRAIL)
        uses = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
        _let_use(key, f"logs.{self.region}.amazonaws.com", uses, {"kms:EncryptionContext:aws:logs:arn": log})
        _let_use(
            key,
            "cloudtrail.amazonaws.com",
            ["kms:GenerateDataKey*"],
            {"aws:SourceArn": trail, "kms:EncryptionContext:aws:cloudtrail:arn": trail},
        )
        _let_use(key, "cloudtrail.amazonaws.com", ["kms:DescribeKey"], {"aws:SourceArn": trail})
        return key

    def _log_name(self) -> str:
        return f"/aws/cloudtrail/{TRAIL}"


def _let_use(key: kms.Key, service: str, actions: list[str], where: dict[str, str]) -> None:
    statement = iam.PolicyStatement(
        principals=[iam.ServicePrincipal(service)], actions=actions, resources=["*"], conditions={"StringEquals": where}
    )
    key.add_to_resource_policy(statement)


def _prefixes(beginnings: tuple[str, ...]) -> list[dict[str, str]]:
    return [{"prefix": beginning} for beginning in beginnings]


def _parameter(name: str, patterns: list[dict[str, str]]) -> dict[str, Any]:
    return {"requestParameters": {name: patterns}}
