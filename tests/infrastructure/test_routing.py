"""The merchants' domain: which names a region answers to, and how and when Route 53 moves traffic."""

from typing import Any

import pytest

from cdk.config import GLOBAL_REGION, REGIONS
from cdk.stacks import routing, traffic
from tests.infrastructure.conftest import DOMAIN, HOSTED_ZONE
from tests.infrastructure.policies import text
from tests.infrastructure.synthesis import Resource, Synthesized

PROMISE_S = 60
"""In which traffic must have left a lost region (DESIGN section 1)."""

HEALTHY_ABOVE = 0.18
"""Route 53 thinks well of an endpoint when more than this part of its checkers do."""

CLOUDWATCH_STATISTICS = {"Average", "Minimum", "Maximum", "Sum", "SampleCount"}
"""Of alarms that Route 53 can go by; nor may they be of more than one metric."""


def other(region: str) -> str:
    (found,) = set(REGIONS) - {region}
    return found


def of(template: dict[str, Any], kind: str) -> dict[str, Resource]:
    return {
        name: resource["Properties"] for name, resource in template["Resources"].items() if resource["Type"] == kind
    }


@pytest.fixture(scope="module")
def moving(production: Synthesized) -> dict[str, Any]:
    """The stack that says where traffic goes."""
    return production.templates["global/traffic"]


@pytest.fixture(scope="module")
def checks(moving: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Id of a health check, as others refer to it → its configuration."""
    found = of(moving, "AWS::Route53::HealthCheck")
    return {f"<{name}.HealthCheckId>": check["HealthCheckConfig"] for name, check in found.items()}


@pytest.fixture(scope="module")
def records(moving: dict[str, Any]) -> dict[str, Resource]:
    """The common name's records, by region."""
    return {record["Region"]: record for record in of(moving, "AWS::Route53::RecordSet").values()}


def children(checks: dict[str, dict[str, Any]], record: Resource) -> list[dict[str, Any]]:
    return [checks[text(child)] for child in checks[text(record["HealthCheckId"])]["ChildHealthChecks"]]


def test_the_common_name_leads_to_the_nearest_region_that_may_serve(
    records: dict[str, Resource],
) -> None:
    assert set(records) == set(REGIONS)
    for region, record in records.items():
        assert (record["Name"], record["Type"], record["HostedZoneId"]) == (DOMAIN, "CNAME", HOSTED_ZONE)
        assert record["ResourceRecords"] == [f"{region}.{DOMAIN}"]
        assert record["SetIdentifier"] == region
        assert record["HealthCheckId"]
    assert records[REGIONS[0]]["HealthCheckId"] != records[REGIONS[1]]["HealthCheckId"]


def test_traffic_has_moved_within_the_promised_time(
    records: dict[str, Resource], checks: dict[str, dict[str, Any]]
) -> None:
    """Three questions that fail, and the time for which the name may still be remembered."""
    for region in REGIONS:
        (asked,) = (check for check in children(checks, records[region]) if _asks(check, region))
        ttl = int(records[region]["TTL"])

        assert asked["FailureThreshold"] * asked["RequestInterval"] + ttl == 40 <= PROMISE_S
        assert "AliasTarget" not in records[region], "an alias has its target's TTL, which is 60 s"
    assert (traffic.FAILURES, traffic.CHECK_EVERY_S, traffic.TTL_S) == (3, 10, 10), "as docs/operations.md adds up"


def test_health_is_asked_over_https_by_the_regions_own_name_from_everywhere(checks: dict[str, dict[str, Any]]) -> None:
    questions = [check for check in checks.values() if check["Type"] == "HTTPS"]

    assert len(questions) == 2 * len(REGIONS)
    for question in questions:
        assert question["FullyQualifiedDomainName"] in {f"{region}.{DOMAIN}" for region in REGIONS}
        assert (question["ResourcePath"], question["Port"], question["EnableSNI"]) == ("/health", 443, True)
        assert question["MeasureLatency"] is True
        assert 1 / len(set(question["Regions"])) < HEALTHY_ABOVE, "a region's neighbours alone would hold it up"


def test_a_region_serves_while_two_of_three_hold(
    records: dict[str, Resource], checks: dict[str, dict[str, Any]]
) -> None:
    for region, record in records.items():
        serves = checks[text(record["HealthCheckId"])]
        answers, charges, alone = children(checks, record)

        assert (serves["Type"], serves["HealthThreshold"]) == ("CALCULATED", 2)
        assert _asks(answers, region)
        assert (charges["Type"], charges["AlarmIdentifier"]["Region"]) == ("CLOUDWATCH_METRIC", region)
        assert charges["InsufficientDataHealthStatus"] == "Healthy", "no charges are no failing charges"
        assert _asks(alone, other(region), inverted=True)


@pytest.mark.parametrize(
    ("east", "west", "goes_to"),
    [
        # Each: does health answer, do charges work.
        ((True, True), (True, True), {"east", "west"}),
        ((False, True), (True, True), {"west"}),
        ((False, False), (True, True), {"west"}),
        ((True, False), (True, True), {"west"}),  # looks well, and fails charges
        ((False, True), (True, False), {"west"}),  # failing charges are no reason to go where nobody answers
        ((False, False), (True, False), {"west"}),
        ((True, False), (True, False), {"east", "west"}),
        ((False, True), (False, True), {"east", "west"}),
        ((False, False), (False, False), {"east", "west"}),
    ],
)
def test_no_alarm_sends_traffic_to_a_region_that_is_gone(
    records: dict[str, Resource],
    checks: dict[str, dict[str, Any]],
    east: tuple[bool, bool],
    west: tuple[bool, bool],
    goes_to: set[str],
) -> None:
    """By Route 53's rules, over what was deployed: where every record is unhealthy, all of them count as healthy."""
    state = dict(zip(REGIONS, (east, west), strict=True))

    def healthy(check: dict[str, Any]) -> bool:
        if check["Type"] == "CALCULATED":
            return sum(healthy(checks[text(child)]) for child in check["ChildHealthChecks"]) >= check["HealthThreshold"]
        if check["Type"] == "CLOUDWATCH_METRIC":
            return state[check["AlarmIdentifier"]["Region"]][1]
        answers = state[check["FullyQualifiedDomainName"].removesuffix(f".{DOMAIN}")][0]
        return answers is not check.get("Inverted", False)

    well = {region for region in REGIONS if healthy(checks[text(records[region]["HealthCheckId"])])}

    assert (well or set(REGIONS)) == {dict(zip(("east", "west"), REGIONS, strict=True))[name] for name in goes_to}


def test_what_takes_traffic_away_is_an_alarm_that_route_53_can_go_by(
    production: Synthesized, checks: dict[str, dict[str, Any]]
) -> None:
    named = {check["AlarmIdentifier"]["Name"] for check in checks.values() if "AlarmIdentifier" in check}

    assert len(named) == 1
    for region in REGIONS:
        alarms = of(production.templates[f"{region}/routing"], "AWS::CloudWatch::Alarm").values()
        (alarm,) = (alarm for alarm in alarms if alarm["AlarmName"] in named)
        dimensions = {one["Name"]: one["Value"] for one in alarm["Dimensions"]}
        assert alarm["Statistic"] in CLOUDWATCH_STATISTICS
        assert "Metrics" not in alarm, "no metric math"
        assert "DatapointsToAlarm" not in alarm
        assert alarm["Period"] >= 60, "no high resolution"
        assert (alarm["Statistic"], alarm["MetricName"]) == ("Average", "5XXError"), "the share, not the number"
        assert dimensions == {
            "ApiName": "payments",
            "Stage": "live",
            "Resource": "/api/v1/payments/charge",
            "Method": "POST",
        }, "answers of /health do not count"
        assert (alarm["Threshold"], alarm["EvaluationPeriods"]) == (routing.FAILING_SHARE, routing.FAILING_MINUTES)
        assert alarm["TreatMissingData"] == "notBreaching"


def test_health_and_traffic_of_each_region_have_an_alarm_where_route_53_has_its_metrics(
    production: Synthesized, records: dict[str, Resource]
) -> None:
    found = {
        alarm["Properties"]["AlarmName"]: (path, alarm["Properties"])
        for path, alarm in production.of_type("AWS::CloudWatch::Alarm")
        if alarm["Properties"].get("Namespace") == "AWS/Route53"
    }

    assert GLOBAL_REGION == "us-east-1", "they are nowhere else"
    assert set(found) == {f"payments-{kind}-{region}" for kind in ("health", "traffic") for region in REGIONS}
    for path, alarm in found.values():
        assert path.startswith("global/traffic/")
        assert (alarm["MetricName"], alarm["Statistic"], alarm["Threshold"]) == ("HealthCheckStatus", "Minimum", 1)
        assert alarm["ComparisonOperator"] == "LessThanThreshold"
        assert alarm["AlarmActions"] == [f"arn:aws:sns:{GLOBAL_REGION}:123456789012:payments-alarms"]
    for region in REGIONS:
        (watched,) = found[f"payments-traffic-{region}"][1]["Dimensions"]
        assert watched == {"Name": "HealthCheckId", "Value": records[region]["HealthCheckId"]}


@pytest.mark.parametrize("region", REGIONS)
def test_a_region_answers_to_both_names_with_the_strict_policy(production: Synthesized, region: str) -> None:
    template = production.templates[f"{region}/routing"]
    (api,) = of(production.templates[f"{region}/api"], "AWS::ApiGateway::RestApi").values()
    names = of(template, "AWS::ApiGateway::DomainName")
    (certificate,) = of(template, "AWS::CertificateManager::Certificate").values()

    assert {name["DomainName"] for name in names.values()} == {DOMAIN, f"{region}.{DOMAIN}"}
    for name in names.values():
        assert (name["SecurityPolicy"], name["EndpointAccessMode"]) == (api["SecurityPolicy"], "STRICT")
        assert name["EndpointConfiguration"] == {"Types": ["REGIONAL"]}
        assert text(name["RegionalCertificateArn"]).startswith("<Certificate")
    assert (certificate["DomainName"], certificate["SubjectAlternativeNames"]) == (DOMAIN, [f"{region}.{DOMAIN}"])
    assert certificate["ValidationMethod"] == "DNS"
    assert {line["DomainName"]: line["HostedZoneId"] for line in certificate["DomainValidationOptions"]} == {
        DOMAIN: HOSTED_ZONE,
        f"{region}.{DOMAIN}": HOSTED_ZONE,
    }


@pytest.mark.parametrize("region", REGIONS)
def test_both_names_lead_to_the_stage_of_the_merchants_api(production: Synthesized, region: str) -> None:
    template = production.templates[f"{region}/routing"]
    outputs = production.templates[f"{region}/api"]["Outputs"]

    mappings = of(template, "AWS::ApiGateway::BasePathMapping").values()
    assert {mapping["DomainName"]["Ref"] for mapping in mappings} == set(of(template, "AWS::ApiGateway::DomainName"))
    for mapping in mappings:
        source = mapping["RestApiId"]["Fn::GetStackOutput"]
        assert (mapping["Stage"], source["StackName"], source["Region"]) == ("live", "payments-api", region)
        assert outputs[source["OutputName"]]["Value"] == outputs["ApiId"]["Value"]
        assert "BasePath" not in mapping


@pytest.mark.parametrize("region", REGIONS)
def test_a_regions_own_name_leads_there_whatever_its_health(production: Synthesized, region: str) -> None:
    """Its health is asked by this name: were the record to follow it, neither could ever come back."""
    template = production.templates[f"{region}/routing"]
    (record,) = of(template, "AWS::Route53::RecordSet").values()
    own = next(n for n, p in of(template, "AWS::ApiGateway::DomainName").items() if p["DomainName"] != DOMAIN)

    assert (record["Name"], record["Type"], record["HostedZoneId"]) == (f"{region}.{DOMAIN}", "A", HOSTED_ZONE)
    assert text(record["AliasTarget"]["DNSName"]) == f"<{own}.RegionalDomainName>"
    assert record["AliasTarget"]["EvaluateTargetHealth"] is False
    assert not {"HealthCheckId", "Region", "SetIdentifier", "Weight"} & set(record)


def test_the_merchants_api_can_be_reached_by_its_domain_only(production: Synthesized, local: Synthesized) -> None:
    """Where the context says so. The operators' API, which has no domain, keeps its name."""
    off = {
        f"{path.split('/')[0]} {api['Properties']['Name']}"
        for path, api in production.of_type("AWS::ApiGateway::RestApi")
        if api["Properties"].get("DisableExecuteApiEndpoint")
    }

    assert off == {f"{region} payments" for region in REGIONS}
    assert not [
        api for _, api in local.of_type("AWS::ApiGateway::RestApi") if "DisableExecuteApiEndpoint" in api["Properties"]
    ]


def test_the_local_cloud_has_no_domain(local: Synthesized) -> None:
    assert not [stack for stack in local.templates if stack.endswith(("/routing", "/traffic"))]


def _asks(check: dict[str, Any], region: str, *, inverted: bool = False) -> bool:
    return (
        check["Type"] == "HTTPS"
        and check["FullyQualifiedDomainName"] == f"{region}.{DOMAIN}"
        and check.get("Inverted", False) is inverted
    )
