"""Tables: keys, protection, replication."""

from cdk.config import REGIONS
from tests.infrastructure.synthesis import Synthesized

GLOBAL = {"payments", "ledger", "merchants", "shards", "fraud-profiles", "vault-tokens"}
REGIONAL = {"balances"}

KEYS = {
    "payments": ("payment_id",),
    "ledger": ("payment_id", "journal_id"),
    "merchants": ("merchant_id", "kind"),
    "shards": ("shard",),
    "balances": ("account", "currency"),
    "vault-tokens": ("token",),
    "fraud-profiles": ("entity", "region"),
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


def test_pending_payments_are_indexed_by_key_only(deployment: Synthesized) -> None:
    (index,) = _tables(deployment)["us-east-1/payments"]["Properties"]["GlobalSecondaryIndexes"]

    assert index["IndexName"] == "pending"
    assert [key["AttributeName"] for key in index["KeySchema"]] == ["pending_bucket", "created_at"]
    assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}


def test_production_tables_cannot_be_lost(production: Synthesized) -> None:
    for name, table in _tables(production).items():
        assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Retain", name
        for replica in table["Properties"]["Replicas"]:
            assert replica["DeletionProtectionEnabled"] is True, name
            assert replica["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True, name


def test_the_shard_map_is_strongly_consistent_with_a_witness(production: Synthesized) -> None:
    shards = _tables(production)["us-east-1/shards"]["Properties"]

    assert shards["MultiRegionConsistency"] == "STRONG"
    assert shards["GlobalTableWitnesses"] == [{"Region": "us-east-2"}]
    assert "TimeToLiveSpecification" not in shards, "the service refuses it"


def test_vault_tokens_are_encrypted_under_the_vaults_own_keys(production: Synthesized) -> None:
    tokens = _tables(production)["us-east-1/vault-tokens"]["Properties"]

    assert tokens["SSESpecification"] == {"SSEEnabled": True, "SSEType": "KMS"}
    keys = {r["Region"]: str(r["SSESpecification"]["KMSMasterKeyId"]) for r in tokens["Replicas"]}
    assert "Key" in keys["us-east-1"]
    assert "alias/payments-vault-tokens" in keys["us-west-2"]
    for path, key in production.of_type("AWS::KMS::Key"):
        assert key["Properties"]["EnableKeyRotation"] is True, path


def test_what_may_expire_does(deployment: Synthesized) -> None:
    expiring = {
        name.split("/")[1]: table["Properties"]["TimeToLiveSpecification"]["AttributeName"]
        for name, table in _tables(deployment).items()
        if "TimeToLiveSpecification" in table["Properties"]
    }

    assert expiring == dict.fromkeys(("vault-tokens", "fraud-profiles", "balances"), "expires_at")
