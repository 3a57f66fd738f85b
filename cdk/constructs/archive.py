"""The ledger's archive: a bucket in which nobody changes or removes anything before its time."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from cdk import names
from cdk.config import Config
from cdk.constructs.nag import acknowledge
from cdk.constructs.private_bucket import private_bucket

COLD_AFTER = Duration.days(90)
"""Within a quarter people look at journals; later it is verifications and auditors, and storage is the cost."""

ACCESS_LOG_KEPT = Duration.days(400)
"""A year, as the other records of access, and time to fetch the last of it."""


class Archive(Construct):
    """The bucket of a region (``names.archive``): versioned, and every version locked from the moment it is written.

    It is encrypted under S3's own keys and not under one of ours: an archive is lost with its key. Nothing in it
    expires. Its old objects stay readable at once (Glacier Instant Retrieval), because the proof is verified over all
    of them; S3 leaves those below 128 KB where they are, and to move them would cost more than to keep them.
    """

    def __init__(self, scope: Construct, construct_id: str, *, config: Config) -> None:
        super().__init__(scope, construct_id)
        self.access_log = self._access_log() if config.audit_trail else None
        days = Duration.days(config.archive_days)
        lock = s3.ObjectLockRetention
        self.bucket = private_bucket(
            self,
            config=config,
            name=names.archive(self),
            lifecycle_rules=[_grow_cold()],
            object_lock_enabled=True,
            object_lock_default_retention=lock.compliance(days) if config.archive_final else lock.governance(days),
            server_access_logs_bucket=self.access_log,
        )
        if config.guards_history:
            self._guard()

    def _guard(self) -> None:
        """Only the notary writes, and only what is not there yet. Nobody deletes: not even the marker that would hide
        an object behind it."""
        objects = self.bucket.arn_for_objects("*")
        deletes = ["s3:DeleteObject", "s3:DeleteObjectVersion", "s3:BypassGovernanceRetention"]
        puts = ["s3:PutObject"]
        stranger = {"ArnNotEquals": {"aws:PrincipalArn": names.notary_role_arn(self)}}
        unconditional = {"Null": {"s3:if-none-match": "true"}}
        for actions, conditions in ((deletes, None), (puts, stranger), (puts, unconditional)):
            self.bucket.add_to_resource_policy(
                iam.PolicyStatement(
                    effect=iam.Effect.DENY,
                    principals=[iam.AnyPrincipal()],
                    actions=actions,
                    resources=[objects],
                    conditions=conditions,
                )
            )

    def _access_log(self) -> s3.Bucket:
        """Who read the archive."""
        bucket = s3.Bucket(
            self,
            "AccessLog",
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            lifecycle_rules=[s3.LifecycleRule(expiration=ACCESS_LOG_KEPT)],
            removal_policy=RemovalPolicy.RETAIN,
        )
        acknowledge(bucket, "AwsSolutions-S1", "it is the access log; a log of its own readers would have none either")
        return bucket


def _grow_cold() -> s3.LifecycleRule:
    cold = s3.Transition(storage_class=s3.StorageClass.GLACIER_INSTANT_RETRIEVAL, transition_after=COLD_AFTER)
    return s3.LifecycleRule(transitions=[cold], abort_incomplete_multipart_upload_after=Duration.days(1))
