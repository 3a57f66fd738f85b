"""What is recorded of the vault, and who is told when somebody goes past its callers."""

from fnmatch import fnmatch

import pytest

from cdk.config import REGIONS
from tests.infrastructure.policies import text
from tests.infrastructure.synthesis import Synthesized

ACCOUNT = "123456789012"


def test_only_production_keeps_a_trail(production: Synthesized, local: Synthesized) -> None:
    assert len(list(production.of_type("AWS::CloudTrail::Trail"))) == len(REGIONS)
    assert not list(local.of_type("AWS::CloudTrail::Trail"))


@pytest.mark.parametrize("region", REGIONS)
def test_the_trail_records_changes_operators_calls_and_every_strangers(production: Synthesized, region: str) -> None:
    function, session = f"arn:aws:lambda:{region}:{ACCOUNT}:function:", f"arn:aws:sts::{ACCOUNT}:assumed-role/"
    trail = _one(production, region, "AWS::CloudTrail::Trail")

    selectors = {
        selector["Name"]: {
            field["Field"]: {name: value for name, value in field.items() if name != "Field"}
            for field in selector["FieldSelectors"]
        }
        for selector in trail["AdvancedEventSelectors"]
    }
    calls = {"eventCategory": {"Equals": ["Data"]}, "resources.type": {"Equals": ["AWS::Lambda::Function"]}}
    assert selectors == {
        "Management": {"eventCategory": {"Equals": ["Management"]}, "readOnly": {"Equals": ["false"]}},
        "Detokenize": calls
        | {
            "resources.ARN": {"StartsWith": [f"{function}payments-vault-detokenize"]},
            "userIdentity.arn": {"NotStartsWith": [f"{session}payments-network-{region}/"]},
        },
        "Operated": calls
        | {"resources.ARN": {"StartsWith": [f"{function}payments-vault-keys", f"{function}payments-vault-walk"]}},
        "Shred": calls
        | {
            "resources.ARN": {
                "StartsWith": [f"{function}payments-vault-shred"],
                "NotStartsWith": [f"{function}payments-vault-shredder"],
            },
            "userIdentity.arn": {"NotStartsWith": [f"{session}payments-api-{region}/"]},
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
    opening = f"arn:aws:lambda:{region}:{ACCOUNT}:function:payments-vault-detokenize*"
    assert f'$.resources[0].ARN = "{opening}"' in found["FilterPattern"], "an operator's call of another is none"
    assert "$.resources[0].ARN NOT EXISTS" in found["FilterPattern"]
    assert len(found["FilterPattern"]) <= 1024, "CloudWatch takes no more"
    (alarm,) = alarms
    assert (alarm["Namespace"], alarm["Statistic"]) == (metric["MetricNamespace"], "Sum")
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (0, "GreaterThanThreshold")
    assert text(alarm["AlarmActions"][0]).endswith(":payments-alarms")


@pytest.mark.parametrize(
    ("logical_id", "name"), [("NetworkHandlerRole", "payments-network"), ("ApiRole", "payments-api")]
)
def test_the_roles_that_the_trail_knows_are_those_that_may_invoke(
    production: Synthesized, logical_id: str, name: str
) -> None:
    roles = {
        path.split("/")[0]: role["Properties"]["RoleName"]
        for path, role in production.of_type("AWS::IAM::Role")
        if path.split("/")[2][:-8] == logical_id
    }

    assert roles == {region: f"{name}-{region}" for region in REGIONS}


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

    kinds = ("keys", "functions", "tables", "network", "trails", "policy", "archive")
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
    functions = rules["us-west-2/functions"]["EventPattern"]["detail"]["requestParameters"]["functionName"]
    for name in ("payments-vault-store", "payments-network", "payments-api", f"{ACCOUNT}:function:payments-vault-keys"):
        assert [one for one in functions if fnmatch(name, one["wildcard"])], name
    assert not [one for one in functions if fnmatch("payments-fraud", one["wildcard"])]


def test_what_would_keep_a_deleted_card_key_is_told(production: Synthesized) -> None:
    for region in REGIONS:
        detail = _rule(production, region, "tables")
        assert {"UpdateContinuousBackups", "CreateBackup"} <= set(detail["eventName"])
        assert detail["requestParameters"] == {"tableName": [{"suffix": "vault-card-keys"}]}, "the name or the ARN"


def test_changes_of_what_guards_the_ledger_are_told(production: Synthesized) -> None:
    for region in REGIONS:
        policy = _rule(production, region, "policy", of="ledger")
        assert set(policy["eventName"]) == {"PutResourcePolicy", "DeleteResourcePolicy"}
        assert policy["requestParameters"] == {"resourceArn": [{"suffix": "table/ledger"}]}
        archive = _rule(production, region, "archive", of="ledger")
        assert {"PutBucketPolicy", "DeleteBucketPolicy", "PutBucketObjectLockConfiguration"} <= set(
            archive["eventName"]
        )
        assert archive["requestParameters"] == {"bucketName": [f"payments-ledger-archive-{ACCOUNT}-{region}"]}
    roles = _rule(production, "us-east-1", "roles")
    assert {"prefix": "payments-notary-"} in roles["requestParameters"]["roleName"]


def test_changes_of_the_vaults_walls_are_told(production: Synthesized) -> None:
    for region in REGIONS:
        detail = _rule(production, region, "network")
        assert {"AuthorizeSecurityGroupEgress", "ModifySecurityGroupRules", "ModifyVpcEndpoint"} <= set(
            detail["eventName"]
        )
        assert set(detail) == {"eventSource", "eventName"}, "whatever they are about"
    networks = [path for path, _ in production.of_type("AWS::EC2::VPC")]
    assert len(networks) == len(REGIONS), "the platform has no other network whose changes would be told as the vault's"


def _rule(app: Synthesized, region: str, kind: str, of: str = "vault") -> dict:
    (found,) = (
        rule["Properties"]["EventPattern"]["detail"]
        for path, rule in app.of_type("AWS::Events::Rule")
        if path.startswith(f"{region}/audit/") and rule["Properties"]["Name"] == f"payments-{of}-{kind}-changed"
    )
    return found


def _one(app: Synthesized, region: str, kind: str) -> dict:
    (found,) = (resource["Properties"] for path, resource in app.of_type(kind) if path.startswith(f"{region}/audit/"))
    return found
