"""What a new deployment needs before the first charge: the vault's keys and a merchant with a key and an endpoint.

Everything is written in the first region only; that it arrives in the second shows that replication runs.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boto3.dynamodb.types import TypeSerializer

from local import webhook_inbox
from local.client import until
from local.deploy import aws, operations_base
from local.settings import REGIONS, Settings
from payments import clock, identifiers, signing
from payments.merchants import api_key_kind, new_api_key

DEMO_ENDPOINT = "we_demo"
"""Id of the webhook endpoint of the demo merchant, and of others made here."""

_ARRIVAL_SECONDS = 30
_RING = 3
"""Items of a new vault's key ring: the key-encryption key's version, the token key, the sealing key."""

FEES = {"basis_points": 290, "fixed": {"USD": 30, "EUR": 25, "JPY": 30}, "dispute": {"USD": 1500, "EUR": 1500}}
"""What the demo merchants pay: 2.9 % and a fixed fee per payment, and one per dispute."""


class SeedFailed(Exception):
    """The deployment could not be prepared; the message says what failed."""


@dataclass(frozen=True)
class Merchant:
    """A merchant and its API key, which is stored nowhere but in `endpoints.json`."""

    merchant_id: str
    api_key: str


def seed(at: Settings) -> tuple[Merchant, list[Merchant]]:
    """Provision the vault and make the demo merchant, and one merchant per region to warm that region up with."""
    provision(at)
    secret = signing.new_secret()
    webhook_inbox.write_secrets(at.home, [secret])
    demo = make_merchant(at, "Demo merchant", identifiers.new_merchant_id())
    make_endpoint(at, demo, secret)
    warmers = [make_merchant(at, f"Warm-up of {region}", merchant_of(index)) for index, region in enumerate(REGIONS)]
    await_arrival(at, warmers[-1])
    return demo, warmers


def provision(at: Settings) -> None:
    """Have the vault make its keys. Raises `SeedFailed`."""
    at.path("keys").mkdir(mode=0o700, exist_ok=True)
    answer = aws(at, "lambda", REGIONS[0]).invoke(FunctionName="payments-vault-keys", Payload=b'{"do": "provision"}')
    if "FunctionError" in answer:
        raise SeedFailed(f"payments-vault-keys: {answer['Payload'].read().decode()[:2000]}")


def make_merchant(at: Settings, name: str, merchant_id: str) -> Merchant:
    """A merchant with a profile and a new API key, of which only the hash is stored."""
    api_key = new_api_key(merchant_id, "local")
    _put(at, merchant_id, kind="profile", name=name, status="active", created_at=clock.now(), fees=FEES)
    _put(at, merchant_id, kind=api_key_kind(api_key), status="active", created_at=clock.now())
    return Merchant(merchant_id, api_key)


def make_endpoint(at: Settings, merchant: Merchant, secret: str) -> None:
    """The merchant's webhook endpoint, which is the inbox; it knows the secret or is told of it."""
    endpoint = {"kind": f"webhook_endpoint#{DEMO_ENDPOINT}", "url": f"{at.webhook_inbox_url}/webhooks"}
    _put(at, merchant.merchant_id, **endpoint, secret=secret, status="enabled", created_at=clock.now())


def await_arrival(at: Settings, merchant: Merchant) -> None:
    """Wait until the merchant's key and the vault's keys are in every region."""
    item = {"merchant_id": {"S": merchant.merchant_id}, "kind": {"S": api_key_kind(merchant.api_key)}}
    for region in REGIONS:
        dynamodb = aws(at, "dynamodb", region)

        def arrived(dynamodb: Any = dynamodb) -> bool:
            keys = dynamodb.scan(TableName="vault-tokens", Select="COUNT")["Count"]
            return keys >= _RING and "Item" in dynamodb.get_item(TableName="merchants", Key=item)

        until(arrived, _ARRIVAL_SECONDS, f"merchant and vault keys in {region}")


def write_endpoints(at: Settings, demo: Merchant) -> Path:
    """Write `endpoints.json`, from which any client knows where everything is."""
    file = at.path("endpoints.json")
    regions = {
        region: {
            "api": at.gateway_url(region),
            "aws": at.aws_url(region),
            "operations": operations_base(at, region),
        }
        for region in REGIONS
    }
    file.touch(mode=0o600)
    file.write_text(
        json.dumps(
            {
                "edge": at.edge_url,
                "regions": regions,
                "merchant": {"id": demo.merchant_id, "api_key": demo.api_key},
                "webhook_inbox": at.webhook_inbox_url,
                "card_network": at.card_network_url,
            },
            indent=2,
        )
    )
    return file


def merchant_of(region_index: int) -> str:
    """A merchant id whose shard the given region writes for (shards are spread evenly unless moved)."""
    while True:
        merchant_id = identifiers.new_merchant_id()
        if identifiers.merchant_shard(merchant_id) % len(REGIONS) == region_index:
            return merchant_id


def _put(at: Settings, merchant_id: str, **attributes: Any) -> None:
    serialized = TypeSerializer().serialize
    item = {name: serialized(value) for name, value in {"merchant_id": merchant_id, **attributes}.items()}
    aws(at, "dynamodb", REGIONS[0]).put_item(TableName="merchants", Item=item)
