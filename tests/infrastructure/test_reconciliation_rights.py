"""Reconciliation is apart from production: what its roles, and those of the operators' API, may do."""

import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import pytest

from cdk.config import REGIONS
from tests.infrastructure.policies import Statement, invokers, many, statements
from tests.infrastructure.reconciliation_rights import RIGHTS, SETTLEMENTS, STEPS
from tests.infrastructure.synthesis import Synthesized

STACKS = ("reconciliation", "operations")
"""Those whose roles must not reach the payments or the ledger, but for what operators read of payments in review, and
of conflicts, whose acknowledgements they also write."""

READ_FOR_REVIEWS = {
    ("operations", f"dynamodb:{right}", f"table/payments{of}")
    for right, of in (("BatchGetItem", ""), ("GetItem", ""), ("Query", "/index/review"))
}

ACKNOWLEDGING = ("operations", "dynamodb:PutItem", "table/payments", "pay_*#conflict#acknowledged")

OF_NOTHING = ("xray:", "logs:")
"""Rights that every function and machine has."""

TABLE = "arn:aws:dynamodb:us-east-1:000000000000:table"

PRODUCTION = [
    f"arn:aws:dynamodb:{region}:{account}:table/{table}{of}"
    for region in REGIONS
    for account in ("000000000000", "123456789012")
    for table in ("payments", "ledger")
    for of in ("", "/index/merchant", "/stream/2026-11-23T10:00:00.000", "/backup/1", "/export/1")
]

MAY_INVOKE = tuple(
    f":function:payments-{name}"
    for name in ("ledger-book", "ledger-command", *(f"reconciliation-{step}" for step in STEPS))
)


def test_nothing_in_reconciliation_may_touch_the_payments_or_the_ledger_nor_operators_write_them(
    deployment: Synthesized,
) -> None:
    assert not _reaching_production(deployment)


@pytest.mark.parametrize(
    ("stack", "action", "resource"),
    [
        ("reconciliation", "dynamodb:GetItem", f"{TABLE}/ledger"),
        ("reconciliation", "dynamodb:Query", f"{TABLE}/payments/index/merchant"),
        ("reconciliation", "dynamodb:GetRecords", f"{TABLE}/ledger/stream/2026-11-23T10:00:00.000"),
        ("reconciliation", "dynamodb:PartiQLSelect", f"{TABLE}/p*"),
        ("reconciliation", "dynamodb:Scan", f"{TABLE}/*"),
        ("reconciliation", "dynamodb:*", "*"),
        ("reconciliation", "*", "*"),
        ("reconciliation", "dynamodb:ExportTableToPointInTime", f"{TABLE}/ledger"),
        ("reconciliation", "dynamodb:GetRecords", {"Fn::ImportValue": "some-stream"}),
        ("operations", "dynamodb:PutItem", "arn:aws:dynamodb:*:*:table/ledge?"),
        ("operations", "dynamodb:PutItem", [f"{TABLE}/settlements", f"{TABLE}/payments"]),
        ("operations", "dynamodb:PutItem", f"{TABLE}/payments"),
        ("operations", "dynamodb:Query", f"{TABLE}/payments"),
        ("operations", "dynamodb:GetItem", f"{TABLE}/payments*"),
        ("reconciliation", "dynamodb:GetItem", f"{TABLE}/payments"),
    ],
)
def test_a_planted_right_on_production_is_found(local: Synthesized, stack: str, action: str, resource: Any) -> None:
    planted = {"Effect": "Allow", "Action": action, "Resource": resource}

    def plant(resources: dict[str, Any]) -> None:
        policy = next(one for one in resources.values() if one["Type"] == "AWS::IAM::Policy")
        policy["Properties"]["PolicyDocument"]["Statement"].append(planted)

    assert _reaching_production(_changed(local, stack, plant))


@pytest.mark.parametrize("planted", ["arn:aws:iam::aws:policy/AmazonDynamoDBReadOnlyAccess", "source", "function"])
def test_a_planted_way_round_the_policies_is_found(local: Synthesized, planted: str) -> None:
    def plant(resources: dict[str, Any]) -> None:
        if planted == "source":
            resources["Planted"] = {"Type": "AWS::Lambda::EventSourceMapping", "Properties": {}}
            return
        role = next(one for one in resources.values() if one["Type"] == "AWS::IAM::Role")
        if planted != "function":
            role["Properties"]["ManagedPolicyArns"] = [planted]
            return
        right = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "arn:aws:lambda:*:*:function:pay*"}
        role["Properties"]["Policies"] = [{"PolicyDocument": {"Statement": [right]}}]

    assert _reaching_production(_changed(local, "reconciliation", plant))


def test_each_role_may_do_what_is_listed_here_and_no_more(deployment: Synthesized) -> None:
    found: dict[str, set[str]] = {}
    for statement in _ours(deployment):
        region, role = statement.path.split("/")[0], _role(statement)
        home = _reconciling(deployment, region) if role.startswith("Operations") else region
        for resource in statement.resources:
            for action in statement.actions:
                if not action.startswith(OF_NOTHING):
                    found.setdefault(f"{region} {role}", set()).add(f"{action} {_short(resource, region, home)}")

    assert found == {f"{region} {role}": rights for region in REGIONS for role, rights in RIGHTS.items()}


def test_one_region_reconciles_for_all_but_locally(production: Synthesized, local: Synthesized) -> None:
    assert [_reconciling(production, region) for region in REGIONS] == [REGIONS[0]] * len(REGIONS)
    assert [_reconciling(local, region) for region in REGIONS] == list(REGIONS)


def test_the_projector_may_add_to_the_feed_and_see_nothing_of_the_store(deployment: Synthesized) -> None:
    found = [
        (
            _role(statement),
            statement.actions,
            [_short(one, statement.path.split("/")[0], statement.path.split("/")[0]) for one in statement.resources],
        )
        for statement in statements(deployment)
        if statement.path.split("/")[1] not in STACKS
        and any("payments-reconciliation-" in r for r in statement.resources)
        if any(action.startswith("s3:") for action in statement.actions)
    ]

    assert found == [("ProjectorRole", ("s3:PutObject",), ["feed/*"])] * len(REGIONS)


def test_merchants_api_may_read_merchants_reports_and_nothing_else_of_the_table(deployment: Synthesized) -> None:
    """The condition holds the partition key of every item that a call asks for."""
    found = []
    for path, policy in deployment.of_type("AWS::IAM::Policy"):
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            resources = many(statement["Resource"])
            if path.split("/")[1] not in STACKS and any(SETTLEMENTS in resource for resource in resources):
                assert path.split("/")[2].startswith("ApiRole")
                assert len(resources) == 1 and resources[0].endswith(f":{SETTLEMENTS}"), "no index: it has no such keys"
                assert set(statement["Action"]) == {"dynamodb:GetItem", "dynamodb:Query"}
                found.append(statement["Condition"])

    assert found == [{"ForAllValues:StringLike": {"dynamodb:LeadingKeys": "report#mer_*"}}] * len(REGIONS)


def test_nobody_names_reconciliations_functions_as_callable_by_roles(deployment: Synthesized) -> None:
    assert not [function for function in invokers(deployment) if function.startswith("payments-reconciliation")]


def _reaching_production(app: Synthesized) -> list[str]:
    """Whatever could let a role of these stacks at items, streams or backups of the payments or the ledger, but by the
    ledger's functions that book."""
    found = [
        f"{statement.path}: {action} on {resource}"
        for statement in _ours(app)
        for action in statement.actions
        for resource in statement.resources
        if _reaches(action, resource)
        and (right := (statement.path.split("/")[1], action, resource.split(":")[-1])) not in READ_FOR_REVIEWS
        and (*right, statement.keys) != ACKNOWLEDGING
    ]
    for kind in ("AWS::IAM::ManagedPolicy", "AWS::Lambda::EventSourceMapping", "AWS::Pipes::Pipe"):
        found += [path for path, _ in app.of_type(kind) if path.split("/")[1] in STACKS]
    for path, role in app.of_type("AWS::IAM::Role"):
        if path.split("/")[1] in STACKS and role["Properties"].get("ManagedPolicyArns"):
            found.append(f"{path}: {role['Properties']['ManagedPolicyArns']}")
    return found


def _reaches(action: str, resource: str) -> bool:
    """In a policy `*` stands for anything, colons and slashes too."""
    service = action.partition(":")[0]
    if fnmatchcase("dynamodb", service):
        is_unknown = not resource.startswith(("arn:", "*"))
        return is_unknown or any(fnmatchcase(item, resource) for item in PRODUCTION)
    if fnmatchcase("lambda", service):
        return not resource.endswith(MAY_INVOKE)
    return fnmatchcase("sts", service)


def _changed(app: Synthesized, stack: str, change: Callable[[dict[str, Any]], None]) -> Synthesized:
    """The app with a change to the resources of one stack."""
    name = f"{REGIONS[0]}/{stack}"
    template = copy.deepcopy(app.templates[name])
    change(template["Resources"])
    return replace(app, templates={**app.templates, name: template})


def _ours(app: Synthesized) -> Iterator[Statement]:
    found = [one for one in statements(app) if one.effect == "Allow" and one.path.split("/")[1] in STACKS]
    assert len({_role(one) for one in found}) >= len(RIGHTS)
    yield from found


def _role(statement: Statement) -> str:
    """The role's name in its stack, without CDK's hash."""
    return statement.role.strip("<>")[:-8]


def _reconciling(app: Synthesized, region: str) -> str:
    """Where a region's APIs look for reports and discrepancies."""
    functions = (app.functions()[f"{region}/{name}"] for name in ("payments-operations", "payments-api"))
    (home,) = {function["Environment"]["Variables"]["RECONCILIATION_REGION"] for function in functions}
    return str(home)


def _short(resource: str, region: str, home: str) -> str:
    """A resource without what is the same for all: partition, account, region, the bucket's name. It is of the
    function's own region, or, what is reconciliation's, of the region that reconciles for it, `home`."""
    if resource.startswith("<Machine"):
        return "<Machine>"
    if resource.startswith("arn:aws:s3:::"):
        bucket, _, key = resource.removeprefix("arn:aws:s3:::").partition("/")
        if re.fullmatch(rf"payments-fraud-models-\d{{12}}-{region}", bucket):
            return f"fraud-{key or 'bucket'}"
        assert re.fullmatch(rf"payments-reconciliation-\d{{12}}-{home}", bucket), resource
        return key or "bucket"
    _, _, service, where, _, rest = resource.split(":", 5)
    of_its = home if rest.startswith(SETTLEMENTS) else region
    # A shard is written in its primary region.
    assert where == of_its or rest in ("function:payments-ledger-book", "function:payments-ledger-command"), service
    return rest
