"""Who may do what: read over all policies of all stacks, in both environments."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from cdk.config import REGIONS
from cdk.stacks.reconciliation import STEPS
from cdk.stacks.training import STEPS as TRAINING_STEPS
from cdk.vault_rights import VAULT_RIGHTS
from tests.infrastructure.policies import Statement, invokers, statements, text
from tests.infrastructure.synthesis import Synthesized

ACCOUNT = "123456789012"

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
    "payments-ledger-command": {"ApiRole", "SweeperRole", "MatchRole", "OperationsRole"},
    "payments-ledger-book": {"MatchRole", "OperationsRole"},
    "payments-ledger-audit": {"BalanceCheckRole"},
    "payments-api": {"ApiRole"},
    "payments-watchman": {"WatchmanRole"},
    **{f"payments-reconciliation-{step}": {"MachineRole"} for step in STEPS},
    **{f"payments-training-{step}": {"MachineRole"} for step in TRAINING_STEPS},
}


MANY_OF_ONE = re.compile(
    r".*:execution:payments-(balance-check|reconciliation)[:/]\*|arn:aws:s3:::payments-ledger-archive-\d{12}-[\w-]+/\*"
    r"|arn:aws:s3:::payments-(reconciliation|fraud-models)-\d{12}-[\w-]+/[a-z]+/\*"
)
"""Resources of which there are many: a state machine's own executions, a bucket's objects, those below a prefix."""


def test_no_role_may_do_anything_to_everything(deployment: Synthesized) -> None:
    for statement in _allowing(deployment):
        assert not [action for action in statement.actions if action.endswith("*")], statement
        if any("*" in resource and not MANY_OF_ONE.fullmatch(resource) for resource in statement.resources):
            assert all(action.startswith(UNAVOIDABLE) for action in statement.actions), statement


def test_the_ledger_is_append_only_for_everybody(deployment: Synthesized) -> None:
    """PutItem in the code is always conditional; the tests of `payments.books` see to that."""
    may: dict[str, set[str]] = {}
    for statement in _on_table(deployment, "ledger"):
        for action in statement.actions:
            may.setdefault(action.removeprefix("dynamodb:"), set()).add(_role(statement))

    for only_deployments in ("DescribeTable", "PutResourcePolicy"):
        assert all(role.startswith("AWS679f53fac002430cb0da5b7982bd2287") for role in may.pop(only_deployments, ()))
    assert may == {
        "ConditionCheckItem": {"LedgerRole"},
        "PutItem": {"LedgerRole", "CommandRole", "BookRole", "NetworkHandlerRole"},
        "Query": {"ApiRole", "CommandRole", "BookRole", "NetworkHandlerRole", "AuditRole"},
        "Scan": {"AuditRole"},
    }


def test_nobody_may_touch_the_ledger_by_a_wildcard_or_an_index(deployment: Synthesized) -> None:
    for statement in _on_table(deployment, "ledger"):
        on_ledger = [resource for resource in statement.resources if resource.rsplit("table/")[-1] == "ledger"]
        assert on_ledger, statement


def test_production_refuses_changes_of_the_ledger_to_those_who_have_all_rights(
    production: Synthesized, local: Synthesized
) -> None:
    for region in REGIONS:
        (statement,) = _ledger_policy(production, region)["Statement"]
        assert (statement["Effect"], statement["Principal"]) == ("Deny", {"AWS": "*"}), region
        assert {action.removeprefix("dynamodb:") for action in statement["Action"]} == {
            "UpdateItem",
            "DeleteItem",
            "BatchWriteItem",
            "PartiQLInsert",
            "PartiQLUpdate",
            "PartiQLDelete",
        }
        assert statement["Resource"] == f"arn:aws:dynamodb:{region}:{ACCOUNT}:table/ledger"
    assert not _custom_policies(local), "an emulator knows no such policies"
    assert '"ResourcePolicy"' not in json.dumps(local.templates)


def test_the_ledgers_policy_refuses_nothing_to_replication(production: Synthesized) -> None:
    """DynamoDB makes a replica that it may not write to a table of its own after 20 hours, for good."""
    role = "aws-service-role/replication.dynamodb.amazonaws.com/AWSServiceRoleForDynamoDBReplication"
    for region in REGIONS:
        (statement,) = _ledger_policy(production, region)["Statement"]
        assert statement["Condition"] == {
            "ArnNotEquals": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/{role}"},
            "BoolIfExists": {"aws:PrincipalIsAWSService": "false"},
        }


def test_a_replica_and_its_policy_are_not_made_in_one_update(production: Synthesized) -> None:
    """CloudFormation cannot; the second region's stack sets the policy of its own replica."""
    replicas = _ledger(production)["Replicas"]

    assert [one["Region"] for one in replicas if "ResourcePolicy" in one] == ["us-east-1"]
    assert [path.split("/")[0] for path, _ in _custom_policies(production)] == ["us-west-2"]


def test_no_role_has_a_right_that_the_ledgers_policy_refuses(deployment: Synthesized) -> None:
    refused = {"UpdateItem", "DeleteItem", "BatchWriteItem", "PartiQLInsert", "PartiQLUpdate", "PartiQLDelete"}
    for statement in _on_table(deployment, "ledger"):
        assert not refused & {action.removeprefix("dynamodb:") for action in statement.actions}, statement


def test_nobody_may_delete_or_scan_a_table_but_those_who_must(deployment: Synthesized) -> None:
    forbidden = ("Delete", "Scan", "PartiQL", "BatchWrite", "UpdateTable", "Restore", "Import", "Export")
    found: dict[tuple[str, str], set[str]] = {}

    for statement in _allowing(deployment):
        for action in statement.actions:
            if action.startswith("dynamodb:") and any(word in action for word in forbidden):
                tables = {resource.rsplit("table/", 1)[-1] for resource in statement.resources}
                for table in tables:
                    found.setdefault((table, action.removeprefix("dynamodb:")), set()).add(_role(statement))

    assert found == {
        ("ledger", "Scan"): {"AuditRole"},
        ("accounts", "BatchWriteItem"): {"ProjectorRole"},
        ("proofs", "BatchWriteItem"): {"NotaryRole"},
        ("settlements", "DeleteItem"): {"MatchRole", "OperationsRole"},
        ("fraud-rules", "DeleteItem"): {"TrainingReleaseRole"},
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


def test_fraud_scoring_reads_rules_operators_and_training_write_them_and_nobody_else(
    deployment: Synthesized,
) -> None:
    """Nothing with a right on the rules has one on the merchants, whose table has the digests of API keys."""
    found: dict[str, set[str]] = {}
    for statement in _on_table(deployment, "fraud-rules"):
        found.setdefault(_role(statement), set()).update(statement.actions)

    assert found == {
        "ScoreRole": {"dynamodb:BatchGetItem", "dynamodb:Query"},
        "OperationsRole": {"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"},
        "TrainingCollectRole": {"dynamodb:GetItem"},
        "TrainingReleaseRole": {"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem"},
    }
    assert not found.keys() & {_role(statement) for statement in _on_table(deployment, "merchants")}


def test_scoring_keeps_scores_and_reads_models_and_labels_change_both_memories(deployment: Synthesized) -> None:
    """Nobody who scores or labels can put a model where scoring finds it, or read what others' scores were."""
    found: dict[str, set[str]] = {"ScoreRole": set(), "LabelRole": set()}
    for statement in _allowing(deployment):
        for resource in statement.resources:
            if _role(statement) in found and "/stream/" not in resource and resource != "*":
                what = re.sub(r".*(table/[\w-]+|payments-fraud-models)[\w-]*", r"\1", resource)
                found[_role(statement)] |= {
                    f"{action} {what}" for action in statement.actions if action.startswith(("dynamodb:", "s3:"))
                    if "Stream" not in action and "Records" not in action and "Iterator" not in action
                }  # fmt: skip

    profiles = {f"dynamodb:{right} table/fraud-profiles" for right in ("BatchGetItem", "UpdateItem")}
    assert found == {
        "ScoreRole": {
            *profiles,
            *(f"dynamodb:{right} table/fraud-rules" for right in ("BatchGetItem", "Query")),
            "dynamodb:PutItem table/fraud-scores",
            "s3:GetObject payments-fraud-models/models/*",
        },
        "LabelRole": {
            *profiles,
            *(f"dynamodb:{right} table/fraud-scores" for right in ("GetItem", "PutItem", "UpdateItem")),
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

    assert {role for role, _ in readers} == {"ProjectorRole", "ShredderRole", "LabelRole", "ConflictsRole"}
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


def test_the_api_may_look_at_saga_and_bus_but_publishes_nothing(deployment: Synthesized) -> None:
    """What `GET /health` asks, beside what the API may read and invoke anyway."""
    found = {
        (action, resource.rsplit(":", 1)[-1])
        for statement in _allowing(deployment)
        if _role(statement) == "ApiRole"
        for action in statement.actions
        if action.startswith(("states:", "events:"))
        for resource in statement.resources
    }

    assert found == {
        ("states:StartSyncExecution", "payments-charge"),
        ("states:DescribeStateMachine", "payments-charge"),
        ("events:DescribeEventBus", "event-bus/payments"),
    }


def test_the_saga_may_invoke_four_functions_and_publish(deployment: Synthesized) -> None:
    saga = [statement for statement in _allowing(deployment) if statement.role.startswith("<SagaRole")]
    actions = {action for statement in saga for action in statement.actions}

    assert {action for action in actions if not action.startswith(UNAVOIDABLE)} == {
        "lambda:InvokeFunction",
        "events:PutEvents",
    }


def _ledger(app: Synthesized) -> dict[str, Any]:
    (ledger,) = (
        table["Properties"]
        for _, table in app.of_type("AWS::DynamoDB::GlobalTable")
        if table["Properties"]["TableName"] == "ledger"
    )
    return ledger


def _ledger_policy(app: Synthesized, region: str) -> dict[str, Any]:
    """The resource policy of the region's ledger, from the table's definition or from what a replica's stack sets."""
    for replica in _ledger(app)["Replicas"]:
        if replica["Region"] == region and "ResourcePolicy" in replica:
            return replica["ResourcePolicy"]["PolicyDocument"]
    ((_, call),) = (found for found in _custom_policies(app) if found[0].startswith(f"{region}/"))
    assert call["parameters"]["ResourceArn"].endswith(f":{region}:{ACCOUNT}:table/ledger")
    return json.loads(call["parameters"]["Policy"])


def _custom_policies(app: Synthesized) -> list[tuple[str, dict[str, Any]]]:
    """What deployments set as resource policies themselves; the same when a stack is made and when it is updated."""
    found = []
    for path, resource in app.of_type("Custom::AWS"):
        call = json.loads(text(resource["Properties"]["Create"]))
        if call["action"] == "PutResourcePolicy":
            assert json.loads(text(resource["Properties"]["Update"])) == call
            assert "Delete" not in resource["Properties"], "the policy outlives the stack"
            found.append((path, call))
    return found


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
