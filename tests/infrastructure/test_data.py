"""Tables: keys, protection, replication."""

import pytest

from cdk.config import REGIONS
from tests.infrastructure.policies import text
from tests.infrastructure.synthesis import Synthesized

FRAUD = {"fraud-profiles", "fraud-rules"}
GLOBAL = {"payments", "ledger", "merchants", "shards", "vault-tokens", "vault-card-keys", *FRAUD}
REGIONAL = {"balances", "accounts", "proofs", "settlements", "fraud-scores"}

KEYS = {
    "payments": ("payment_id",),
    "ledger": ("payment_id", "journal_id"),
    "merchants": ("merchant_id", "kind"),
    "shards": ("shard",),
    "balances": ("account", "period"),
    "accounts": ("account", "position"),
    "proofs": ("record", "position"),
    "settlements": ("network_ref", "line"),
    "vault-tokens": ("token", "holding"),
    "vault-card-keys": ("token", "holding"),
    "fraud-profiles": ("entity", "region"),
    "fraud-rules": ("scope", "entry"),
    "fraud-scores": ("day", "payment_id"),
}


def _tables(app: Synthesized) -> dict[str, dict]:
    return {
        f"{path.split('/')[0]}/{table['Properties']['TableName']}": table
        for path, table in app.of_type("AWS::DynamoDB::GlobalTable")
    }


def test_production_defines_a_global_table_once_and_replicates_it(production: Synthesized) -> None:
    tables = _tables(production)

    owned = {f"us-east-1/{name}" for name in GLOBAL}
    assert set(tables) == owned | {f"{region}/{name}" for region in REGIONS for name in REGIONAL}
    for name in owned:
        replicas = tables[name]["Properties"]["Replicas"]
        assert {replica["Region"] for replica in replicas} == set(REGIONS), name


def test_each_local_emulator_has_every_table_and_its_stream(local: Synthesized) -> None:
    tables = _tables(local)

    assert set(tables) == {f"{region}/{name}" for region in REGIONS for name in GLOBAL | REGIONAL}
    for name, table in tables.items():
        if name.split("/")[1] in GLOBAL:
            stream = table["Properties"]["StreamSpecification"]
            assert stream == {"StreamViewType": "NEW_AND_OLD_IMAGES"}, name


def test_keys_are_those_of_the_contract(deployment: Synthesized) -> None:
    for name, table in _tables(deployment).items():
        schema = table["Properties"]["KeySchema"]
        assert tuple(key["AttributeName"] for key in schema) == KEYS[name.split("/")[1]], name


def test_payments_are_indexed_by_what_they_wait_for_by_merchant_and_by_review_with_keys_only(
    deployment: Synthesized,
) -> None:
    payments = _tables(deployment)["us-east-1/payments"]["Properties"]

    indexes = {index["IndexName"]: index for index in payments["GlobalSecondaryIndexes"]}
    keys = {name: [key["AttributeName"] for key in index["KeySchema"]] for name, index in indexes.items()}
    assert keys == {
        "pending": ["pending_bucket", "pending_since"],
        "merchant": ["merchant_bucket", "listed_as"],
        "review": ["review", "listed_as"],
    }
    for name, index in indexes.items():
        assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}, name
    types = {one["AttributeName"]: one["AttributeType"] for one in payments["AttributeDefinitions"]}
    assert types["pending_bucket"] == "N"
    assert {types[name] for name in ("pending_since", "merchant_bucket", "review", "listed_as")} == {"S"}


def test_production_tables_cannot_be_lost(production: Synthesized) -> None:
    for name, table in _tables(production).items():
        assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Retain", name
        for replica in table["Properties"]["Replicas"]:
            assert replica["DeletionProtectionEnabled"] is True, name
            backups = replica["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
            assert backups is (name.split("/")[1] != "vault-card-keys"), f"{name}: a deleted card key must stay deleted"


def test_the_shard_map_is_strongly_consistent_with_a_witness(production: Synthesized) -> None:
    shards = _tables(production)["us-east-1/shards"]["Properties"]

    assert shards["MultiRegionConsistency"] == "STRONG"
    assert shards["GlobalTableWitnesses"] == [{"Region": "us-east-2"}]
    assert "TimeToLiveSpecification" not in shards, "the service refuses it"


@pytest.mark.parametrize(("table", "key"), [("vault-tokens", "TokensKey"), ("vault-card-keys", "CardKeysKey")])
def test_each_vault_table_is_encrypted_under_a_key_of_its_own(production: Synthesized, table: str, key: str) -> None:
    properties = _tables(production)[f"us-east-1/{table}"]["Properties"]

    assert properties["SSESpecification"] == {"SSEEnabled": True, "SSEType": "KMS"}
    keys = {r["Region"]: text(r["SSESpecification"]["KMSMasterKeyId"]) for r in properties["Replicas"]}
    assert keys["us-east-1"].startswith(f"<{key}")
    assert keys["us-west-2"].endswith(f":alias/payments-{table}")


def test_every_region_has_the_keys_its_replicas_are_encrypted_under(deployment: Synthesized) -> None:
    aliases = {
        f"{path.split('/')[0]}/{alias['Properties']['AliasName']}"
        for path, alias in deployment.of_type("AWS::KMS::Alias")
    }

    for region in REGIONS:
        assert {f"{region}/alias/payments-vault-tokens", f"{region}/alias/payments-vault-card-keys"} <= aliases
    for path, key in deployment.of_type("AWS::KMS::Key"):
        assert key["Properties"]["EnableKeyRotation"] is True, path


def test_what_may_expire_does(deployment: Synthesized) -> None:
    expiring = {
        name.split("/")[1]: table["Properties"]["TimeToLiveSpecification"]["AttributeName"]
        for name, table in _tables(deployment).items()
        if "TimeToLiveSpecification" in table["Properties"]
    }

    assert expiring == {
        **dict.fromkeys((*FRAUD, "fraud-scores", "balances"), "expires_at"),
        "vault-tokens": "delete_after",
    }
