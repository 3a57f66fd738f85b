"""The web ACL before the API: AWS's managed rules and a limit per sender."""

from aws_cdk import aws_wafv2 as wafv2
from constructs import Construct

MANAGED_RULES = (
    "AWSManagedRulesAmazonIpReputationList",
    "AWSManagedRulesCommonRuleSet",
    "AWSManagedRulesKnownBadInputsRuleSet",
)

LEFT_TO_THE_API = {"AWSManagedRulesCommonRuleSet": ("SizeRestrictions_BODY", "NoUserAgent_HEADER")}
"""Rules that only count: a charge with much metadata exceeds 8 KB, and a merchant's server may have no user agent."""

REQUESTS_PER_SENDER = 600_000
"""Per address and five minutes: 2,000 a second. Merchants are servers, and a large one sends from few addresses."""


def web_acl(scope: Construct, construct_id: str) -> wafv2.CfnWebACL:
    """A regional web ACL. It samples no requests: a sample would show their headers to whoever reads it."""
    return wafv2.CfnWebACL(
        scope,
        construct_id,
        name="payments",
        scope="REGIONAL",
        default_action=wafv2.CfnWebACL.DefaultActionProperty(allow={}),
        visibility_config=_visibility("payments"),
        rules=[
            *(_managed(name, priority) for priority, name in enumerate(MANAGED_RULES)),
            _rate_limit(len(MANAGED_RULES)),
        ],
    )


def _managed(name: str, priority: int) -> wafv2.CfnWebACL.RuleProperty:
    counted = wafv2.CfnWebACL.RuleActionProperty(count={})
    group = wafv2.CfnWebACL.ManagedRuleGroupStatementProperty(
        vendor_name="AWS",
        name=name,
        rule_action_overrides=[
            wafv2.CfnWebACL.RuleActionOverrideProperty(name=rule, action_to_use=counted)
            for rule in LEFT_TO_THE_API.get(name, ())
        ],
    )
    return wafv2.CfnWebACL.RuleProperty(
        name=name,
        priority=priority,
        statement=wafv2.CfnWebACL.StatementProperty(managed_rule_group_statement=group),
        override_action=wafv2.CfnWebACL.OverrideActionProperty(none={}),
        visibility_config=_visibility(name),
    )


def _rate_limit(priority: int) -> wafv2.CfnWebACL.RuleProperty:
    limit = wafv2.CfnWebACL.RateBasedStatementProperty(
        limit=REQUESTS_PER_SENDER, aggregate_key_type="IP", evaluation_window_sec=300
    )
    return wafv2.CfnWebACL.RuleProperty(
        name="rate-limit",
        priority=priority,
        statement=wafv2.CfnWebACL.StatementProperty(rate_based_statement=limit),
        action=wafv2.CfnWebACL.RuleActionProperty(
            block=wafv2.CfnWebACL.BlockActionProperty(
                custom_response=wafv2.CfnWebACL.CustomResponseProperty(response_code=429)
            )
        ),
        visibility_config=_visibility("rate-limit"),
    )


def _visibility(metric: str) -> wafv2.CfnWebACL.VisibilityConfigProperty:
    return wafv2.CfnWebACL.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, metric_name=metric, sampled_requests_enabled=False
    )
