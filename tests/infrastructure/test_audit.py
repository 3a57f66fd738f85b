"""What is recorded of the vault, and who is told when somebody goes past its callers."""

import pytest

from cdk.config import REGIONS
from tests.infrastructure.policies import text
from tests.infrastructure.synthesis import Synthesized

ACCOUNT = "123456789012"


def test_only_production_keeps_a_trail(production: Synthesized, local: Synthesized) -> None:
    assert len(list(production.of_type("AWS::CloudTrail::Trail"))) == len(REGIONS)
    assert not list(local.of_type("AWS::CloudTrail::Trail"))


@pytest.mark.parametrize("region", REGIONS)
def test_the_trail_records_changes_and_every_strangers_call_of_detokenize(production: Synthesized, region: str) -> None:
    trail = _one(production, region, "AWS::CloudTrail::Trail")

    selectors = {
        selector["Name"]: {
            field["Field"]: {name: value for name, value in field.items() if name != "Field"}
            for field in selector["FieldSelectors"]
        }
        for selector in trail["AdvancedEventSelectors"]
    }
    assert selectors == {
        "Management": {"eventCategory": {"Equals": ["Management"]}, "readOnly": {"Equals": ["false"]}},
        "Detokenize": {
            "eventCategory": {"Equals": ["Data"]},
            "resources.type": {"Equals": ["AWS::Lambda::Function"]},
            "resources.ARN": {"StartsWith": [f"arn:aws:lambda:{region}:{ACCOUNT}:function:payments-vault-detokenize"]},
            "userIdentity.arn": {"NotStartsWith": [f"arn:aws:sts::{ACCOUNT}:assumed-role/payments-network-{region}/"]},
        },
    }
    assert "EventSelectors" not in trail, "a trail has either kind"
    assert trail["IsLogging"] is trail["EnableLogFileValidation"] is True
    assert trail["IncludeGlobalServiceEvents"] is (region == "us-east-1"), "where IAM's events are"
    assert "Key" in text(trail["KMSKeyId"])


@pytest.mark.parametrize("region", REGIONS)
def test_a_single_strangers_call_raises_the_alarm(production: Synthesized, region: str) -> None:
    found = _one(production, region, "AWS::Logs::MetricFilter")
    (metric,) = found["MetricTransformations"]
    alarms = [
        alarm["Properties"]
        for path, alarm in production.of_type("AWS::CloudWatch::Alarm")
        if path.startswith(f"{region}/") and alarm["Properties"].get("MetricName") == metric["MetricName"]
    ]

    issuer = "$.userIdentity.sessionContext.sessionIssuer.arn"
    worker = f"arn:aws:iam::{ACCOUNT}:role/payments-network-{region}"
    assert f'{issuer} != "{worker}"' in found["FilterPattern"]
    assert f"{issuer} NOT EXISTS" in found["FilterPattern"], "a user or the root has no issuer"
    (alarm,) = alarms
    assert (alarm["Namespace"], alarm["Statistic"]) == (metric["MetricNamespace"], "Sum")
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (0, "GreaterThanThreshold")
    assert text(alarm["AlarmActions"][0]).endswith(":payments-alarms")


def test_the_role_the_alarm_knows_is_the_one_that_may_invoke(production: Synthesized) -> None:
    roles = {
        path.split("/")[0]: role["Properties"]["RoleName"]
        for path, role in production.of_type("AWS::IAM::Role")
        if path.split("/")[2].startswith("NetworkHandlerRole")
    }

    assert roles == {region: f"payments-network-{region}" for region in REGIONS}


def test_the_log_is_encrypted_and_its_records_outlive_a_year(production: Synthesized) -> None:
    for region in REGIONS:
        bucket = _one(production, region, "AWS::S3::Bucket")
        (rule,) = bucket["LifecycleConfiguration"]["Rules"]
        assert rule["ExpirationInDays"] >= 366
        assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
        assert all(bucket["PublicAccessBlockConfiguration"].values())
        log = _one(production, region, "AWS::Logs::LogGroup")
        assert log["LogGroupName"] == "/aws/cloudtrail/payments-vault"
        assert "KmsKeyId" in log


def test_changes_of_what_guards_the_vault_are_told(production: Synthesized) -> None:
    rules = {
        f"{path.split('/')[0]}/{rule['Properties']['Name'].split('-')[2]}": rule["Properties"]
        for path, rule in production.of_type("AWS::Events::Rule")
        if path.split("/")[1] == "audit"
    }

    kinds = ("keys", "functions", "trails")
    assert set(rules) == {f"{region}/{kind}" for region in REGIONS for kind in kinds} | {"us-east-1/roles"}
    for name, rule in rules.items():
        (target,) = rule["Targets"]
        assert target["Arn"].endswith(":payments-alarms"), name
        assert rule["EventPattern"]["detail-type"] == ["AWS API Call via CloudTrail"], name
    keys = rules["us-west-2/keys"]["EventPattern"]["detail"]
    assert {"DisableKey", "ScheduleKeyDeletion"} <= set(keys["eventName"])
    watched = [text(arn) for arn in keys["resources"]["ARN"]]
    assert [
        name for name in ("TokensKey", "CardKeysKey", "HsmSecretKey") if not any(name in arn for arn in watched)
    ] == []


def _one(app: Synthesized, region: str, kind: str) -> dict:
    (found,) = (resource["Properties"] for path, resource in app.of_type(kind) if path.startswith(f"{region}/audit/"))
    return found
