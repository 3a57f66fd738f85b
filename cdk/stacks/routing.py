"""Under which names a region answers merchants, and how Route 53 knows that its charges fail."""

from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_route53 as route53
from constructs import Construct

from cdk import names
from cdk.config import Config
from cdk.constructs import metrics
from cdk.constructs.rest_api import ACCESS_MODE, TLS_POLICY
from cdk.constructs.worker import alarm
from cdk.domain import Domain

FAILING_SHARE, FAILING_MINUTES = 0.2, 2
"""What part of charges may end in 5xx, and for how many minutes, before traffic leaves the region."""


class RoutingStack(Stack):
    """``payments-routing``: the region's API answers to the common name and to its own, which always leads to it.

    Which region the common name leads to is said by one stack for all (``stacks/traffic.py``).
    """

    def __init__(self, scope: Construct, construct_id: str, *, config: Config, api_id: str, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, **kwargs)
        domain = config.domain
        assert domain, "without one there is no such stack"
        certificate = self._certificate(domain)
        self._answer_to("Common", domain.name, certificate, api_id)
        self._lead_to(domain, self._answer_to("Regional", domain.regional(self.region), certificate, api_id))
        self._watch_charges()

    def _certificate(self, domain: Domain) -> acm.Certificate:
        zone = route53.HostedZone.from_hosted_zone_id(self, "Zone", domain.hosted_zone_id)
        common, regional = domain.names(self.region)
        return acm.Certificate(
            self,
            "Certificate",
            domain_name=common,
            subject_alternative_names=[regional],
            validation=acm.CertificateValidation.from_dns(zone),
        )

    def _answer_to(self, kind: str, name: str, certificate: acm.Certificate, api_id: str) -> apigateway.CfnDomainName:
        """API Gateway answers to this name here, by the same policy of TLS as under the name that it gave the API."""
        answering = apigateway.CfnDomainName(
            self,
            f"{kind}Name",
            domain_name=name,
            regional_certificate_arn=certificate.certificate_arn,
            endpoint_configuration=apigateway.CfnDomainName.EndpointConfigurationProperty(types=["REGIONAL"]),
            security_policy=TLS_POLICY,
            endpoint_access_mode=ACCESS_MODE,
        )
        apigateway.CfnBasePathMapping(
            self, f"{kind}Mapping", domain_name=answering.ref, rest_api_id=api_id, stage=names.API_STAGE
        )
        return answering

    def _lead_to(self, domain: Domain, answering: apigateway.CfnDomainName) -> None:
        """The region's own name leads there whatever its health is: it is what health is asked of."""
        route53.CfnRecordSet(
            self,
            "RegionalRecord",
            hosted_zone_id=domain.hosted_zone_id,
            name=domain.regional(self.region),
            type="A",
            alias_target=route53.CfnRecordSet.AliasTargetProperty(
                dns_name=answering.attr_regional_domain_name,
                hosted_zone_id=answering.attr_regional_hosted_zone_id,
                evaluate_target_health=False,
            ),
        )

    def _watch_charges(self) -> None:
        """A saga that fails, a vault or a ledger that does not work: all of it ends in a charge that is answered 5xx.

        Route 53 can go by one metric and its average only, which for this metric is the share of all requests.
        """
        alarm(
            self,
            "ChargesFail",
            name=names.CHARGES_FAIL,
            description=f"More than {FAILING_SHARE:.0%} of charges end in 5xx: traffic goes to the other region",
            metric=metrics.route("5XXError", "Average", names.CHARGE),
            threshold=FAILING_SHARE,
            periods=FAILING_MINUTES,
        )
