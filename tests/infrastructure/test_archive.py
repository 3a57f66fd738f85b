"""The ledger's archive: what is in it stays as it is for seven years."""

import boto3
import pytest
from moto import mock_aws

from cdk.config import REGIONS
from local.object_lock import lock_buckets
from tests.infrastructure.policies import many, statements, text
from tests.infrastructure.synthesis import Synthesized

ROLES = "arn:aws:iam::123456789012:role"

OTHERS = ("arn:aws:s3:::payments-reconciliation-", "arn:aws:s3:::payments-fraud-models-")
"""Buckets of their own (test_reconciliation.py, test_fraud.py)."""

SEVEN_YEARS_DAYS = 7 * 365 + 2
"""At the most: with two leap days."""


def _archive(app: Synthesized, region: str) -> dict:
    account = "123456789012" if "us-east-1/audit" in app.templates else "000000000000"
    (found,) = (
        bucket
        for path, bucket in app.of_type("AWS::S3::Bucket")
        if bucket["Properties"].get("BucketName") == f"payments-ledger-archive-{account}-{region}"
        and path.startswith(f"{region}/data/")
    )
    return found


@pytest.mark.parametrize("region", REGIONS)
def test_nobody_can_unlock_an_object_in_production_for_seven_years(production: Synthesized, region: str) -> None:
    archive = _archive(production, region)["Properties"]

    lock = archive["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]
    assert archive["ObjectLockEnabled"] is True
    assert archive["ObjectLockConfiguration"]["ObjectLockEnabled"] == "Enabled"
    assert lock == {"Mode": "COMPLIANCE", "Days": SEVEN_YEARS_DAYS + 1}
    assert archive["VersioningConfiguration"] == {"Status": "Enabled"}


def test_a_local_archive_can_be_cleared_away(local: Synthesized) -> None:
    for region in REGIONS:
        lock = _archive(local, region)["Properties"]["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]
        assert lock == {"Mode": "GOVERNANCE", "Days": 1}


def test_the_archive_is_private_encrypted_and_survives_its_stack(production: Synthesized) -> None:
    for region in REGIONS:
        archive = _archive(production, region)
        assert archive["DeletionPolicy"] == archive["UpdateReplacePolicy"] == "Retain"
        assert all(archive["Properties"]["PublicAccessBlockConfiguration"].values())
        assert archive["Properties"]["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        (rule,) = archive["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule == {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}, "no key that could be lost"
        assert "DestinationBucketName" in archive["Properties"]["LoggingConfiguration"], "who read it is recorded"


def test_nothing_in_the_archive_expires_and_what_is_old_can_be_read_at_once(deployment: Synthesized) -> None:
    for region in REGIONS:
        (rule,) = _archive(deployment, region)["Properties"]["LifecycleConfiguration"]["Rules"]
        assert not [name for name in rule if "Expiration" in name or "Noncurrent" in name]
        assert rule["Transitions"] == [{"StorageClass": "GLACIER_IR", "TransitionInDays": 90}]


def test_the_archive_refuses_deletions_replacements_and_every_writer_but_the_notary(production: Synthesized) -> None:
    for region in REGIONS:
        denied = _denials(production, region)
        assert denied == [
            (["s3:*"], {"Bool": {"aws:SecureTransport": "false"}}),
            (["s3:BypassGovernanceRetention", "s3:DeleteObject", "s3:DeleteObjectVersion"], None),
            (["s3:PutObject"], {"ArnNotEquals": {"aws:PrincipalArn": f"{ROLES}/payments-notary-{region}"}}),
            (["s3:PutObject"], {"Null": {"s3:if-none-match": "true"}}),
        ]


def test_the_writer_that_the_archive_knows_is_the_notary(production: Synthesized) -> None:
    roles = {
        path.split("/")[0]: role["Properties"].get("RoleName")
        for path, role in production.of_type("AWS::IAM::Role")
        if path.split("/")[2].startswith("NotaryRole")
    }

    assert roles == {region: f"payments-notary-{region}" for region in REGIONS}


def test_only_the_notary_has_rights_on_objects_and_none_to_delete_or_unlock(deployment: Synthesized) -> None:
    rights = {
        (statement.role.strip("<>")[:-8], action)
        for statement in statements(deployment)
        if statement.effect == "Allow" and statement.path.split("/")[1] != "audit"
        for action in statement.actions
        if action.startswith("s3:") and not all(one.startswith(OTHERS) for one in statement.resources)
    }

    assert rights == {("NotaryRole", f"s3:{right}") for right in ("GetObject", "PutObject")}


def test_the_notary_reaches_its_own_regions_archive_only(production: Synthesized) -> None:
    for statement in statements(production):
        if any(action.startswith("s3:") for action in statement.actions) and statement.path.split("/")[1] == "proof":
            region = statement.path.split("/")[0]
            assert statement.resources == (f"arn:aws:s3:::payments-ledger-archive-123456789012-{region}/*",)


def _denials(app: Synthesized, region: str) -> list[tuple[list[str], dict | None]]:
    """What the archive's policy denies to everybody: actions and condition."""
    found = []
    for path, policy in app.of_type("AWS::S3::BucketPolicy"):
        bucket = text(policy["Properties"]["Bucket"])
        if path.startswith(f"{region}/data/") and bucket.startswith("<ArchiveBucket"):
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
                assert (statement["Effect"], statement["Principal"]) == ("Deny", {"AWS": "*"})
                assert any(resource.endswith("/*") for resource in many(statement["Resource"]))
                found.append((sorted(many(statement["Action"])), statement.get("Condition")))
    return found


@mock_aws
def test_the_local_cloud_locks_what_its_emulators_leave_unlocked(local: Synthesized) -> None:
    s3 = boto3.client("s3", region_name="us-east-1")
    name = "payments-ledger-archive-000000000000-us-east-1"
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)

    assert lock_buckets(s3, local.folder, "us-east-1") == [name], "its own, and not the other region's"

    version = s3.put_object(Bucket=name, Key="journals/1", Body=b"batch")["VersionId"]
    with pytest.raises(s3.exceptions.ClientError, match="AccessDenied"):
        s3.delete_object(Bucket=name, Key="journals/1", VersionId=version)
    s3.delete_object(Bucket=name, Key="journals/1", VersionId=version, BypassGovernanceRetention=True)
