"""Who may do what: read over all policies of all stacks, in both environments."""

from collections.abc import Iterator

from tests.infrastructure.policies import Statement, statements
from tests.infrastructure.synthesis import Synthesized

# Rights that AWS defines on no resource: tracing, log delivery, the network interfaces of functions in a VPC.
UNAVOIDABLE = ("xray:", "logs:", "ec2:", "dynamodb:ListStreams")

INVOKERS = {
    "payments-vault-tokenize": {"SagaRole"},
    "payments-vault-release": {"SagaRole"},
    "payments-vault-detokenize": {"NetworkHandlerRole"},
    "payments-vault-public-key": {"ApiRole"},
    "payments-vault-provision": set(),
    "payments-fraud": {"SagaRole"},
    "payments-ledger": {"SagaRole"},
    "payments-api": {"ApiRole"},
}


def test_no_role_may_do_anything_to_everything(deployment: Synthesized) -> None:
    for statement in _allowing(deployment):
        assert not [action for action in statement.actions if action.endswith("*")], statement
        if any(resource.endswith("*") for resource in statement.resources):
            assert all(action.startswith(UNAVOIDABLE) for action in statement.actions), statement


def test_the_ledger_is_append_only_for_everybody(deployment: Synthesized) -> None:
    writes = [
        (statement.role, action)
        for statement in _on_table(deployment, "ledger")
        for action in statement.actions
        if action not in ("dynamodb:ConditionCheckItem", "dynamodb:GetItem", "dynamodb:Query", "dynamodb:DescribeTable")
    ]

    assert {action for _, action in writes} == {"dynamodb:PutItem"}
    assert {role.strip("<>")[:-8] for role, _ in writes} == {"LedgerRole", "NetworkHandlerRole"}


def test_nobody_may_delete_or_scan_a_table(deployment: Synthesized) -> None:
    forbidden = ("Delete", "Scan", "PartiQL", "BatchWrite", "UpdateTable", "Restore", "Import", "Export")

    for statement in _allowing(deployment):
        for action in statement.actions:
            assert not (action.startswith("dynamodb:") and any(word in action for word in forbidden)), statement


def test_only_the_vault_touches_the_vault_table(deployment: Synthesized) -> None:
    stacks = {statement.path.split("/")[1] for statement in _on_table(deployment, "vault-tokens")}

    assert stacks == {"vault"}


def test_functions_are_invoked_by_those_of_the_contract_only(deployment: Synthesized) -> None:
    found: dict[str, set[str]] = {function: set() for function in INVOKERS}
    for statement in _allowing(deployment):
        if any(action.startswith("lambda:Invoke") for action in statement.actions):
            for resource in statement.resources:
                function = resource.rsplit(":", 1)[-1]
                found.setdefault(function, set()).add(statement.role.strip("<>")[:-8])

    assert found == INVOKERS


def test_the_api_may_start_the_saga_and_nothing_else_may(deployment: Synthesized) -> None:
    starting = [(s.role[1:8], s.resources) for s in _allowing(deployment) if "states:StartSyncExecution" in s.actions]

    assert len(starting) == 2
    for role, resources in starting:
        assert role == "ApiRole"
        assert [resource.rsplit(":", 1)[-1] for resource in resources] == ["payments-charge"]


def test_the_saga_may_invoke_four_functions_and_publish(deployment: Synthesized) -> None:
    saga = [statement for statement in _allowing(deployment) if statement.role.startswith("<SagaRole")]
    actions = {action for statement in saga for action in statement.actions}

    assert {action for action in actions if not action.startswith(UNAVOIDABLE)} == {
        "lambda:InvokeFunction",
        "events:PutEvents",
    }


def _allowing(app: Synthesized) -> Iterator[Statement]:
    found = [statement for statement in statements(app) if statement.effect == "Allow"]
    assert found
    yield from found


def _on_table(app: Synthesized, table: str) -> list[Statement]:
    """Statements about a table, or about everything, that hold rights on items."""
    found = [
        statement
        for statement in _allowing(app)
        if any(action.startswith("dynamodb:") and "Stream" not in action for action in statement.actions)
        and any("*" in resource or f"table/{table}" in resource + "/" for resource in statement.resources)
        if not any("GetRecords" in action for action in statement.actions)
    ]
    assert found
    return found
