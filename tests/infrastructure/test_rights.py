"""Who may do what: read over all policies of all stacks, in both environments."""

from collections.abc import Iterator

import pytest

from cdk.vault_rights import VAULT_RIGHTS
from tests.infrastructure.policies import Statement, invokers, statements, text
from tests.infrastructure.synthesis import Synthesized

# Rights that AWS defines on no resource: tracing, log delivery, the network interfaces of functions in a VPC.
UNAVOIDABLE = ("xray:", "logs:", "ec2:", "dynamodb:ListStreams")

INVOKERS = {
    "payments-vault-tokenize": {"SagaRole"},
    "payments-vault-release": {"SagaRole"},
    "payments-vault-detokenize": {"NetworkHandlerRole"},
    "payments-vault-store": {"ApiRole"},
    "payments-vault-shred": {"ApiRole"},
    "payments-vault-public-key": {"ApiRole"},
    "payments-vault-shredder": set(),
    "payments-vault-walk": set(),
    "payments-vault-keys": set(),
    "payments-vault-key-check": set(),
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
        (_role(statement), action)
        for statement in _on_table(deployment, "ledger")
        for action in statement.actions
        if action not in ("dynamodb:ConditionCheckItem", "dynamodb:GetItem", "dynamodb:Query", "dynamodb:DescribeTable")
    ]

    assert {action for _, action in writes} == {"dynamodb:PutItem"}
    assert {role for role, _ in writes} == {"LedgerRole", "NetworkHandlerRole"}


def test_nobody_may_delete_or_scan_a_table_but_those_of_the_vault_who_shred(deployment: Synthesized) -> None:
    forbidden = ("Delete", "Scan", "PartiQL", "BatchWrite", "UpdateTable", "Restore", "Import", "Export")
    found: dict[tuple[str, str], set[str]] = {}

    for statement in _allowing(deployment):
        for action in statement.actions:
            if action.startswith("dynamodb:") and any(word in action for word in forbidden):
                tables = {resource.rsplit("table/", 1)[-1] for resource in statement.resources}
                for table in tables:
                    found.setdefault((table, action.removeprefix("dynamodb:")), set()).add(_role(statement))

    assert found == {
        ("vault-tokens", "Scan"): {"WalkRole"},
        ("vault-card-keys", "Scan"): {"WalkRole"},
        ("vault-tokens", "DeleteItem"): {"KeysRole"},
        ("vault-card-keys", "DeleteItem"): {
            "TokenizeRole",
            "StoreRole",
            "DetokenizeRole",
            "ShredRole",
            "ShredderRole",
            "WalkRole",
        },
    }


@pytest.mark.parametrize("table", ["vault-tokens", "vault-card-keys"])
def test_only_the_vault_touches_the_vaults_tables(deployment: Synthesized, table: str) -> None:
    found: dict[str, set[str]] = {}
    for statement in _on_table(deployment, table):
        assert statement.path.split("/")[1] == "vault"
        if any(resource.endswith(f"table/{table}") for resource in statement.resources):
            # DescribeTable: how a deployment finds a replica's stream.
            found.setdefault(_role(statement), set()).update(set(statement.actions) - {"dynamodb:DescribeTable"})

    assert {role: actions for role, actions in found.items() if actions} == {
        f"{''.join(part.title() for part in name.split('-'))}Role": set(rights.on(table))
        for name, rights in VAULT_RIGHTS.items()
        if rights.on(table)
    }


def test_nobody_may_read_the_stream_that_still_shows_deleted_card_keys(deployment: Synthesized) -> None:
    """Replication needs a stream, and for a day it shows what was deleted."""
    readers = {
        (_role(statement), resource.rsplit(".", 1)[-1])
        for statement in _allowing(deployment)
        if statement.may("dynamodb:GetRecords")
        for resource in statement.resources
    }

    assert {role for role, _ in readers} == {"ProjectorRole", "ShredderRole"}
    assert not [stream for _, stream in readers if "CardKeys" in stream or "card-keys" in stream]


def test_a_tables_key_serves_only_who_may_use_the_table(deployment: Synthesized) -> None:
    """Who may only read the table may only decrypt."""
    for name, rights in VAULT_RIGHTS.items():
        role = f"{''.join(part.title() for part in name.split('-'))}Role"
        for table, key in (("vault-tokens", "TokensKey"), ("vault-card-keys", "CardKeysKey")):
            actions = {
                action.removeprefix("kms:")
                for statement in _allowing(deployment)
                if _role(statement) == role and any(key in resource for resource in statement.resources)
                for action in statement.actions
            }
            changes = any(action.endswith(("PutItem", "UpdateItem", "DeleteItem")) for action in rights.on(table))
            assert bool(actions) == bool(rights.on(table)), (name, table)
            assert ("Encrypt" in actions) == changes, (name, table)


def test_functions_are_invoked_by_those_of_the_contract_only(deployment: Synthesized) -> None:
    found: dict[str, set[str]] = {function: set() for function in INVOKERS}
    for statement in _allowing(deployment):
        if any(action.startswith("lambda:Invoke") for action in statement.actions):
            for resource in statement.resources:
                function = resource.rsplit(":", 1)[-1]
                found.setdefault(function, set()).add(_role(statement))

    assert found == INVOKERS


def test_the_vaults_functions_name_their_callers_in_their_resource_policies(deployment: Synthesized) -> None:
    named = {
        function: {principal.removesuffix(".Arn>")[1:-8] for principal in principals}
        for function, principals in invokers(deployment).items()
    }

    assert named == {name: roles for name, roles in INVOKERS.items() if "-vault-" in name and roles}


def test_no_function_may_be_invoked_by_everybody_or_over_http(deployment: Synthesized) -> None:
    for path, permission in deployment.of_type("AWS::Lambda::Permission"):
        principal = text(permission["Properties"]["Principal"])
        assert principal.endswith((".amazonaws.com", ".Arn>")), path
    assert not list(deployment.of_type("AWS::Lambda::Url"))


def test_the_credentials_of_the_hsm_are_for_who_opens_the_key_store(production: Synthesized) -> None:
    readers = {_role(s) for s in _allowing(production) if s.may("secretsmanager:GetSecretValue")}
    decrypters = {_role(s) for s in _allowing(production) if any("HsmSecretKey" in arn for arn in s.resources)}

    assert readers == decrypters
    assert readers == {
        f"{name}Role" for name in ("Tokenize", "Store", "Detokenize", "PublicKey", "Walk", "Keys", "KeyCheck")
    }


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


def _role(statement: Statement) -> str:
    """The role's name in its stack, without CDK's hash."""
    return statement.role.strip("<>")[:-8]


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
