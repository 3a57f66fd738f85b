"""Fraud's bucket of models, and the event source that labels come by."""

import json
from typing import Any

import pytest

from cdk.config import REGIONS
from tests.infrastructure.policies import text
from tests.infrastructure.synthesis import Synthesized


def _bucket(app: Synthesized, region: str) -> dict[str, Any]:
    (found,) = (
        bucket
        for path, bucket in app.of_type("AWS::S3::Bucket")
        if path.startswith(f"{region}/data/")
        and str(bucket["Properties"].get("BucketName")).startswith("payments-fraud-models-")
    )
    return found


def _source(app: Synthesized, region: str) -> dict[str, Any]:
    (found,) = (
        source["Properties"]
        for path, source in app.of_type("AWS::Lambda::EventSourceMapping")
        if path.startswith(f"{region}/fraud/")
    )
    return found


@pytest.mark.parametrize("region", REGIONS)
def test_models_are_kept_versioned_encrypted_and_private(deployment: Synthesized, region: str) -> None:
    bucket = _bucket(deployment, region)["Properties"]

    assert bucket["BucketName"].endswith(f"-{region}")
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert "ServerSideEncryptionConfiguration" in bucket["BucketEncryption"]
    assert list(bucket["PublicAccessBlockConfiguration"].values()) == [True] * 4
    expiring = [rule for rule in bucket["LifecycleConfiguration"]["Rules"] if "ExpirationInDays" in rule]
    assert [(rule["Prefix"], rule["ExpirationInDays"]) for rule in expiring] == [("runs/", 30)]


def test_models_outlive_their_stack_in_production_and_who_reads_them_is_recorded(production: Synthesized) -> None:
    for region in REGIONS:
        bucket = _bucket(production, region)
        assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"
        assert bucket["Properties"]["LoggingConfiguration"]["LogFilePrefix"] == "fraud-models/"
        policy = next(
            found["Properties"]["PolicyDocument"]["Statement"]
            for path, found in production.of_type("AWS::S3::BucketPolicy")
            if path.startswith(f"{region}/data/") and text(found["Properties"]["Bucket"]).startswith("<ModelStore")
        )
        assert any(one["Condition"] == {"Bool": {"aws:SecureTransport": "false"}} for one in policy)


def test_labels_hear_of_payments_of_their_own_region_that_somebody_has_spoken_about(deployment: Synthesized) -> None:
    for region in REGIONS:
        patterns = [json.loads(one["Pattern"]) for one in _source(deployment, region)["FilterCriteria"]["Filters"]]
        images = [pattern["dynamodb"]["NewImage"] for pattern in patterns]
        assert [image.pop("region") for image in images] == [{"S": [region]}] * 2
        assert images == [
            {"dispute": {"M": {"status": {"S": [{"exists": True}]}}}},
            {"review_decision": {"M": {"decision": {"S": [{"exists": True}]}}}},
        ]


def test_a_record_that_cannot_be_labelled_is_repeated_alone_and_ends_as_a_dead_letter(deployment: Synthesized) -> None:
    for region in REGIONS:
        source = _source(deployment, region)
        assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert source["BisectBatchOnFunctionError"] is True
        assert source["MaximumRetryAttempts"] == 20
        assert source["StartingPosition"] == "TRIM_HORIZON"
        assert "DeadLetters" in text(source["DestinationConfig"]["OnFailure"]["Destination"])


def test_production_keeps_a_sample_of_scores_and_the_local_cloud_all(
    production: Synthesized, local: Synthesized
) -> None:
    rates = [
        app.functions()[f"{REGIONS[0]}/payments-fraud"]["Environment"]["Variables"]["SCORES_RATE"]
        for app in (production, local)
    ]
    assert [float(rate) for rate in rates] == [0.05, 1]
