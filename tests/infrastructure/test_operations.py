"""The operators' API: nobody gets in but by IAM, and what it logs says who it was and nothing that was typed."""

import json
from typing import Any

import pytest

from cdk.config import REGIONS
from cdk.constructs.bundles import ROOT
from tests.infrastructure.policies import text
from tests.infrastructure.synthesis import Synthesized


def _resources(app: Synthesized, kind: str, region: str = REGIONS[0]) -> list[dict[str, Any]]:
    resources = app.templates[f"{region}/operations"]["Resources"].values()
    return [resource["Properties"] for resource in resources if resource["Type"] == kind]


@pytest.mark.parametrize("region", REGIONS)
def test_there_is_one_route_and_it_asks_for_a_signature(deployment: Synthesized, region: str) -> None:
    (method,) = _resources(deployment, "AWS::ApiGateway::Method", region)
    paths = [resource["PathPart"] for resource in _resources(deployment, "AWS::ApiGateway::Resource", region)]

    assert (method["HttpMethod"], method["AuthorizationType"]) == ("ANY", "AWS_IAM")
    assert method["Integration"]["Type"] == "AWS_PROXY"
    assert sorted(paths) == ["operations", "v1", "{proxy+}"]
    assert "<RestApioperationsv1proxy" in text(method["ResourceId"])


def test_nothing_else_leads_to_its_function(deployment: Synthesized) -> None:
    for region in REGIONS:
        (permission,) = _resources(deployment, "AWS::Lambda::Permission", region)
        assert permission["Principal"] == "apigateway.amazonaws.com"
        assert text(permission["SourceArn"]).endswith("/*/operations/v1/*"), "this API, its stage, these paths"
        assert "<RestApi" in text(permission["SourceArn"])
        (api,) = _resources(deployment, "AWS::ApiGateway::RestApi", region)
        assert "Policy" not in api, "none that lets other accounts in"
        assert not _resources(deployment, "AWS::ApiGateway::Authorizer", region)


def test_the_stage_is_throttled_not_traced_and_logs_who_it_was(deployment: Synthesized) -> None:
    (stage,) = _resources(deployment, "AWS::ApiGateway::Stage")
    (settings,) = stage["MethodSettings"]
    logged = set(json.loads(stage["AccessLogSetting"]["Format"]).values())

    assert 0 < settings["ThrottlingRateLimit"] <= settings["ThrottlingBurstLimit"] <= 100
    assert (settings["HttpMethod"], settings["ResourcePath"]) == ("*", "/*")
    assert (settings["LoggingLevel"], settings["DataTraceEnabled"]) == ("OFF", False)
    assert stage["TracingEnabled"] is False
    assert "$context.identity.userArn" in logged
    assert not [value for value in logged if any(word in value for word in ("path", "query", "header", "userAgent"))]


def test_production_takes_no_old_tls_here_either(production: Synthesized) -> None:
    for region in REGIONS:
        (merchants,) = (
            api["Properties"]
            for api in production.templates[f"{region}/api"]["Resources"].values()
            if api["Type"] == "AWS::ApiGateway::RestApi"
        )
        (api,) = _resources(production, "AWS::ApiGateway::RestApi", region)
        assert api["SecurityPolicy"] == merchants["SecurityPolicy"]
        assert api["EndpointAccessMode"] == "STRICT"


def test_a_refusal_has_the_platforms_form(deployment: Synthesized) -> None:
    found = {}
    for answer in _resources(deployment, "AWS::ApiGateway::GatewayResponse"):
        error = json.loads(answer["ResponseTemplates"]["application/json"])["error"]
        assert set(error) == {"type", "code", "message", "request_id"}
        found[answer["ResponseType"]] = (answer.get("StatusCode"), error["type"])

    for refusal in ("MISSING_AUTHENTICATION_TOKEN", "INVALID_SIGNATURE", "ACCESS_DENIED"):
        assert found[refusal] == ("403", "permission_error")
    assert found["THROTTLED"] == ("429", "rate_limit_error")
    assert {"DEFAULT_4XX", "DEFAULT_5XX"} <= set(found)


def test_it_writes_its_log_with_the_role_that_the_merchants_api_sets(deployment: Synthesized) -> None:
    """There is one per account and region: a second stack that set it would take it away with itself."""
    assert not _resources(deployment, "AWS::ApiGateway::Account")
    for region in REGIONS:
        of_api = deployment.templates[f"{region}/api"]["Resources"].values()
        assert [resource["Type"] for resource in of_api].count("AWS::ApiGateway::Account") == 1


def test_its_function_answers_before_api_gateway_gives_up(production: Synthesized) -> None:
    assert production.functions()["us-east-1/payments-operations"]["Timeout"] < 29


def test_it_and_fraud_scoring_make_the_same_digests_and_no_template_has_the_key(production: Synthesized) -> None:
    """With two keys no e-mail address on a list would ever be found."""
    for region in REGIONS:
        functions = (production.functions()[f"{region}/{name}"] for name in ("payments-operations", "payments-fraud"))
        keys = {text(function["Environment"]["Variables"]["PROFILE_DIGEST_KEY"]) for function in functions}
        (key,) = keys
        assert key.startswith("{{resolve:secretsmanager:payments/fraud/profile-digest-key:")


def test_it_knows_the_model_that_the_fraud_function_carries(deployment: Synthesized) -> None:
    """The bundle of another function: who rolls back to it must name it."""
    shipped = json.loads((ROOT / "models/fraud/model.json").read_text())["version"]
    for region in REGIONS:
        settings = deployment.functions()[f"{region}/payments-operations"]["Environment"]["Variables"]
        assert settings["SHIPPED_MODEL"] == shipped
        assert text(settings["FRAUD_MODELS_BUCKET"]).endswith(f"-{region}"), "this region's"


def test_its_faults_raise_an_alarm(deployment: Synthesized) -> None:
    alarms = [
        alarm["Properties"]
        for _, alarm in deployment.of_type("AWS::CloudWatch::Alarm")
        if alarm["Properties"]["AlarmName"] == "payments-operations-5xx"
    ]

    assert len(alarms) == len(REGIONS)
    for alarm in alarms:
        assert {"Name": "ApiName", "Value": "payments-operations"} in alarm["Dimensions"]
        assert text(alarm["AlarmActions"][0]).endswith(":payments-alarms")


def test_the_stack_says_where_it_is(deployment: Synthesized) -> None:
    for region in REGIONS:
        assert {"OperationsApiId", "OperationsApiUrl"} <= set(deployment.templates[f"{region}/operations"]["Outputs"])
