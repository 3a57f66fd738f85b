"""The IAM policies of a synthesized app, read as statements: who may do what to which resource."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.infrastructure.synthesis import Synthesized


@dataclass(frozen=True)
class Statement:
    """One statement, with intrinsic functions resolved as far as a template allows."""

    path: str
    """``<region>/<stack>/<logical id>`` of the policy."""
    role: str
    effect: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    keys: str | None = None
    """What the partition keys of a table's items must be like; None: whatever they are."""

    def may(self, action: str) -> bool:
        """Whether the statement allows an action."""
        return self.effect == "Allow" and action in self.actions


def statements(app: Synthesized) -> Iterator[Statement]:
    """Every statement of every role's policies, in every stack."""
    for path, resource in app.of_type("AWS::IAM::Policy"):
        roles = ",".join(text(role) for role in resource["Properties"]["Roles"])
        for statement in resource["Properties"]["PolicyDocument"]["Statement"]:
            yield _statement(path, roles, statement)
    for kind in ("AWS::IAM::Role", "AWS::IAM::ManagedPolicy"):
        for path, resource in app.of_type(kind):
            properties = resource["Properties"]
            documents = [policy["PolicyDocument"] for policy in properties.get("Policies", ())]
            documents += [properties["PolicyDocument"]] if "PolicyDocument" in properties else []
            for statement in (line for document in documents for line in document["Statement"]):
                yield _statement(path, path.rsplit("/", 1)[-1], statement)


def invokers(app: Synthesized) -> dict[str, set[str]]:
    """Function → the roles that its resource policy names, in all regions."""
    found: dict[str, set[str]] = {}
    for _, permission in app.of_type("AWS::Lambda::Permission"):
        properties = permission["Properties"]
        if isinstance(properties["FunctionName"], str):  # CDK's own grants to AWS's services refer to the resource
            assert properties["Action"] == "lambda:InvokeFunction"
            found.setdefault(properties["FunctionName"], set()).add(text(properties["Principal"]))
    return found


def text(value: Any) -> str:
    """A template's value as text: joins are joined, references become ``<Name>``."""
    match value:
        case str():
            return value
        case {"Ref": name}:
            return f"<{name}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Fn::GetStackOutput": {"StackName": stack, "OutputName": output}}:
            return f"<{stack}.{output}>"
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(map(text, parts))
        case _:
            return json.dumps(value, sort_keys=True)


def many(value: Any) -> tuple[str, ...]:
    """A list or a single value, as texts."""
    return tuple(text(item) for item in (value if isinstance(value, list) else [value]))


def _statement(path: str, role: str, statement: dict[str, Any]) -> Statement:
    assert "NotAction" not in statement and "NotResource" not in statement, path
    keys = statement.get("Condition", {}).get("ForAllValues:StringLike", {}).get("dynamodb:LeadingKeys")
    return Statement(path, role, statement["Effect"], many(statement["Action"]), many(statement["Resource"]), keys)
