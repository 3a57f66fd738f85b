"""The API: routes, who is let in, what is logged, and how it says no."""

import json
import re

from tests.infrastructure.policies import text
from tests.infrastructure.synthesis import Synthesized


def _api(app: Synthesized) -> dict[str, dict]:
    return app.templates["us-east-1/api"]["Resources"]


def _routes(app: Synthesized) -> dict[str, dict]:
    """``GET /path`` → method."""
    resources = _api(app)

    def path(resource_id: object) -> str:
        if not (isinstance(resource_id, dict) and "Ref" in resource_id):
            return ""
        resource = resources[resource_id["Ref"]]["Properties"]
        return f"{path(resource['ParentId'])}/{resource['PathPart']}"

    return {
        f"{resource['Properties']['HttpMethod']} {path(resource['Properties']['ResourceId'])}": resource["Properties"]
        for resource in resources.values()
        if resource["Type"] == "AWS::ApiGateway::Method"
    }


def test_every_route_asks_for_an_api_key_but_health_and_the_public_key(deployment: Synthesized) -> None:
    routes = {route: method["AuthorizationType"] for route, method in _routes(deployment).items()}

    assert routes == {
        "GET /api/v1/payments": "CUSTOM",
        "POST /api/v1/payments/charge": "CUSTOM",
        "GET /api/v1/payments/{id}": "CUSTOM",
        "POST /api/v1/payments/{id}/capture": "CUSTOM",
        "POST /api/v1/payments/{id}/void": "CUSTOM",
        "POST /api/v1/payments/{id}/refund": "CUSTOM",
        "GET /api/v1/payments/{id}/refunds": "CUSTOM",
        "GET /api/v1/balance": "CUSTOM",
        "GET /api/v1/ledger/entries": "CUSTOM",
        "GET /api/v1/reconciliation/reports": "CUSTOM",
        "POST /api/v1/tokens": "CUSTOM",
        "DELETE /api/v1/tokens/{token}": "CUSTOM",
        "GET /api/v1/vault/public_key": "NONE",
        "OPTIONS /api/v1/vault/public_key": "NONE",
        "GET /health": "NONE",
    }


def test_pages_of_any_origin_may_fetch_the_public_key_and_nothing_else(deployment: Synthesized) -> None:
    preflights = {route: method for route, method in _routes(deployment).items() if route.startswith("OPTIONS ")}

    (method,) = preflights.values()
    assert list(preflights) == ["OPTIONS /api/v1/vault/public_key"]
    assert method["Integration"]["Type"] == "MOCK", "no function is asked"
    (answer,) = method["Integration"]["IntegrationResponses"]
    headers = {name.rsplit(".", 1)[-1]: value for name, value in answer["ResponseParameters"].items()}
    assert headers["Access-Control-Allow-Origin"] == "'*'"
    assert headers["Access-Control-Allow-Methods"] == "'GET'"
    assert "Access-Control-Allow-Credentials" not in headers


def test_the_authorizer_reads_the_authorization_header_and_is_cached_a_minute(deployment: Synthesized) -> None:
    (authorizer,) = (r["Properties"] for r in _api(deployment).values() if r["Type"] == "AWS::ApiGateway::Authorizer")

    assert authorizer["Type"] == "REQUEST"
    assert authorizer["IdentitySource"] == "method.request.header.Authorization"
    assert authorizer["AuthorizerResultTtlInSeconds"] == 60


def test_the_stage_is_throttled_and_logs_nothing_a_client_wrote(deployment: Synthesized) -> None:
    (stage,) = (r["Properties"] for r in _api(deployment).values() if r["Type"] == "AWS::ApiGateway::Stage")

    for settings in stage["MethodSettings"]:
        assert settings["DataTraceEnabled"] is False
        assert settings["LoggingLevel"] == "OFF"
        assert settings["ThrottlingRateLimit"]
        assert settings["ThrottlingBurstLimit"]
    logged = set(json.loads(stage["AccessLogSetting"]["Format"]).values())
    assert not [value for value in logged if any(word in value for word in ("path", "query", "header", "userAgent"))]
    assert "$context.resourcePath" in logged


def test_the_stage_is_not_traced_because_a_trace_holds_the_url(deployment: Synthesized) -> None:
    (stage,) = (r["Properties"] for r in _api(deployment).values() if r["Type"] == "AWS::ApiGateway::Stage")

    assert stage["TracingEnabled"] is False


def test_cards_are_stored_at_a_rate_of_their_own(deployment: Synthesized) -> None:
    """Whoever may store cards can try numbers until one has a known token."""
    (stage,) = (r["Properties"] for r in _api(deployment).values() if r["Type"] == "AWS::ApiGateway::Stage")

    settings = {
        f"{one['HttpMethod']} {one['ResourcePath'].replace('~1', '/')[1:]}": one for one in stage["MethodSettings"]
    }
    assert set(settings) == {"* *", "POST /api/v1/tokens"}
    assert set(settings["* *"]) == set(settings["POST /api/v1/tokens"]), "what a route leaves out is not the stage's"
    for limit in ("ThrottlingRateLimit", "ThrottlingBurstLimit"):
        assert settings["POST /api/v1/tokens"][limit] * 10 <= settings["* *"][limit]
    assert "POST /api/v1/tokens" in _routes(deployment)


def test_an_unusual_number_of_stored_cards_raises_an_alarm(production: Synthesized) -> None:
    alarms = [
        alarm["Properties"]
        for _, alarm in production.of_type("AWS::CloudWatch::Alarm")
        if alarm["Properties"]["AlarmName"] == "payments-api-tokens-unusual"
    ]

    assert len(alarms) == 2
    for alarm in alarms:
        (calls,) = (one["MetricStat"] for one in alarm["Metrics"] if "MetricStat" in one)
        assert {one["Name"]: one["Value"] for one in calls["Metric"]["Dimensions"]} == {
            "ApiName": "payments",
            "Stage": "live",
            "Method": "POST",
            "Resource": "/api/v1/tokens",
        }
        assert (calls["Metric"]["MetricName"], calls["Stat"]) == ("Count", "Sum")
        assert alarm["ComparisonOperator"] == "GreaterThanUpperThreshold"
        assert text(alarm["AlarmActions"][0]).endswith(":payments-alarms")


def test_production_refuses_old_versions_of_tls(production: Synthesized, local: Synthesized) -> None:
    apis = [api["Properties"] for _, api in production.of_type("AWS::ApiGateway::RestApi")]

    assert len(apis) == 4, "the merchants' and the operators', in two regions"
    for api in apis:
        assert re.fullmatch(r"SecurityPolicy_TLS13_1_[23]_\w*PFS_\w+", api["SecurityPolicy"]), "forward secrecy too"
        assert api["EndpointAccessMode"] == "STRICT", "a new policy must go with a mode"
        assert api["EndpointConfiguration"] == {"Types": ["REGIONAL"]}, "other endpoints have other policies"
    assert not [
        path for path, api in local.of_type("AWS::ApiGateway::RestApi") if "SecurityPolicy" in api["Properties"]
    ]


def test_gateway_errors_have_the_platforms_form(deployment: Synthesized) -> None:
    found = {}
    for resource in _api(deployment).values():
        if resource["Type"] == "AWS::ApiGateway::GatewayResponse":
            properties = resource["Properties"]
            error = json.loads(properties["ResponseTemplates"]["application/json"])["error"]
            assert set(error) == {"type", "code", "message", "request_id"}
            assert error["request_id"] == "$context.requestId"
            found[properties["ResponseType"]] = (properties.get("StatusCode"), error["type"])

    assert found["UNAUTHORIZED"] == found["ACCESS_DENIED"] == ("401", "authentication_error")
    assert found["THROTTLED"] == ("429", "rate_limit_error")
    assert {"DEFAULT_4XX", "DEFAULT_5XX"} <= set(found)


def test_production_is_behind_a_firewall_that_samples_no_requests(production: Synthesized, local: Synthesized) -> None:
    acls = [acl["Properties"] for _, acl in production.of_type("AWS::WAFv2::WebACL")]

    assert len(acls) == len(list(production.of_type("AWS::WAFv2::WebACLAssociation"))) == 2
    for acl in acls:
        rules = {rule["Name"] for rule in acl["Rules"]}
        assert {"AWSManagedRulesCommonRuleSet", "rate-limit"} <= rules
        for thing in (acl, *acl["Rules"]):
            assert thing["VisibilityConfig"]["SampledRequestsEnabled"] is False
    assert not list(local.of_type("AWS::WAFv2::WebACL"))


def test_the_stack_says_where_the_api_is(deployment: Synthesized) -> None:
    outputs = deployment.templates["us-east-1/api"]["Outputs"]

    assert outputs["ApiStage"]["Value"] == "live"
    assert {"ApiId", "ApiUrl"} <= set(outputs)
