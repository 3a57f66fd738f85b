"""Which region the common name leads to: Route 53's health checks, and its records by latency.

A region takes traffic when two of three hold: its `GET /health` answers, its charges do not fail (a CloudWatch alarm),
and the other region's `GET /health` does not answer. So failing charges take a region out of service although it looks
well, but only while the other region is there. When neither may take traffic, Route 53 sends it to both.
"""

from collections.abc import Sequence
from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_route53 as route53
from constructs import Construct

from cdk import names
from cdk.config import REGIONS
from cdk.constructs import metrics
from cdk.constructs.worker import alarm
from cdk.domain import Domain

CHECK_EVERY_S, FAILURES = 10, 3
"""Each checker asks so often, and tells the region's health by so many answers in a row: Route 53's fastest."""

TTL_S = 10
"""How long the common name may be remembered. An alias of API Gateway's name would have API Gateway's own: 60."""

CHECKERS = (
    "us-east-1",
    "us-west-1",
    "us-west-2",
    "eu-west-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-northeast-1",
    "sa-east-1",
)
"""Where Route 53 asks from: everywhere. A region is well as long as 18 % of the checkers say so. One eighth are its own
neighbours: they alone cannot hold it up when nobody else reaches it."""

_TWO_OF_THREE = 2

Config = route53.CfnHealthCheck.HealthCheckConfigProperty


class TrafficStack(Stack):
    """``payments-traffic``: the common name's records, the health checks that they go by, and alarms on these."""

    def __init__(self, scope: Construct, construct_id: str, *, domain: Domain, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self._domain = domain
        for region in REGIONS:
            well = self._answers(region)
            serves = self._serves(region, well)
            self._record(region, serves)
            self._alarm(region, "health", well, "GET /health does not answer, or says 503")
            self._alarm(region, "traffic", serves, "Route 53 sends no traffic to the region")

    def _serves(self, region: str, well: str) -> str:
        (other,) = (name for name in REGIONS if name != region)
        charges = self._check(f"Charges-{region}", f"charges in {region}", _alarm_check(region))
        alone = self._check(f"Alone-{region}", f"no answer from {other}", self._question(other, inverted=True))
        children = [well, charges, alone]
        return self._check(f"Serves-{region}", f"traffic to {region}", _calculated(children))

    def _answers(self, region: str) -> str:
        return self._check(f"Answers-{region}", f"health of {region}", self._question(region))

    def _question(self, region: str, *, inverted: bool = False) -> Config:
        """`GET /health` of the region. It is asked by its own name, for the common one may lead elsewhere."""
        return Config(
            type="HTTPS",
            fully_qualified_domain_name=self._domain.regional(region),
            port=443,
            resource_path="/health",
            enable_sni=True,
            request_interval=CHECK_EVERY_S,
            failure_threshold=FAILURES,
            measure_latency=True,
            regions=list(CHECKERS),
            inverted=inverted,
        )

    def _check(self, construct_id: str, name: str, config: Config) -> str:
        """A health check's id."""
        tag = route53.CfnHealthCheck.HealthCheckTagProperty(key="Name", value=f"payments: {name}")
        check = route53.CfnHealthCheck(self, construct_id, health_check_config=config, health_check_tags=[tag])
        return check.attr_health_check_id

    def _record(self, region: str, health_check: str) -> None:
        route53.CfnRecordSet(
            self,
            f"Name-{region}",
            hosted_zone_id=self._domain.hosted_zone_id,
            name=self._domain.name,
            type="CNAME",
            resource_records=[self._domain.regional(region)],
            ttl=str(TTL_S),
            region=region,
            set_identifier=region,
            health_check_id=health_check,
        )

    def _alarm(self, region: str, kind: str, health_check: str, means: str) -> None:
        status = {"HealthCheckId": health_check}
        alarm(
            self,
            f"{kind.title()}Alarm-{region}",
            name=f"payments-{kind}-{region}",
            description=f"{means}: {region}",
            metric=metrics.metric("AWS/Route53", "HealthCheckStatus", "Minimum", status),
            threshold=1,
            below=True,
        )


def _alarm_check(region: str) -> Config:
    """Route 53 reads the metric of the alarm itself, and thinks well of a region that has no charges."""
    return Config(
        type="CLOUDWATCH_METRIC",
        alarm_identifier=route53.CfnHealthCheck.AlarmIdentifierProperty(name=names.CHARGES_FAIL, region=region),
        insufficient_data_health_status="Healthy",
    )


def _calculated(children: Sequence[str]) -> Config:
    return Config(type="CALCULATED", child_health_checks=list(children), health_threshold=_TWO_OF_THREE)
