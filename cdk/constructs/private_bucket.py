"""A bucket as all of the platform's are, and the right to what is below a prefix of one."""

from collections.abc import Sequence
from typing import Any

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_s3 as s3
from constructs import Construct

from cdk.config import Config
from cdk.constructs.function import PaymentsFunction
from cdk.constructs.nag import acknowledge


def private_bucket(
    scope: Construct, *, config: Config, name: str, lifecycle_rules: Sequence[s3.LifecycleRule], **more: Any
) -> s3.Bucket:
    """A bucket that is versioned, encrypted under S3's own keys, closed to the public, and outlives its stack where
    data is retained; `more` is what else it has."""
    return s3.Bucket(
        scope,
        "Bucket",
        bucket_name=name,
        versioned=True,
        encryption=s3.BucketEncryption.S3_MANAGED,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        enforce_ssl=config.enforce_tls,
        lifecycle_rules=list(lifecycle_rules),
        removal_policy=RemovalPolicy.RETAIN if config.retain_data else RemovalPolicy.DESTROY,
        **more,
    )


def tidy(undo_days: int) -> s3.LifecycleRule:
    """Of all objects: what was never finished goes, and after so many days what was replaced or deleted."""
    return s3.LifecycleRule(
        abort_incomplete_multipart_upload_after=Duration.days(1),
        noncurrent_version_expiration=Duration.days(undo_days),
        expired_object_delete_marker=True,
    )


def allow_below(function: PaymentsFunction, actions: Sequence[str], *resources: str) -> None:
    """Let a function do exactly these actions on the objects below prefixes (ARNs that end with ``*``)."""
    function.allow(actions, *resources)
    for resource in resources:
        acknowledge(
            function.role, f"AwsSolutions-IAM5[Resource::{resource}]", "the objects below a prefix, and no others"
        )
