"""What the vault's work costs: `python -m bench.vault`. CPU milliseconds with DynamoDB's client in memory, and how
often the key store (the HSM) is asked.

Three cards are tokenized: one nobody has presented before (its number is encrypted and stored), one that a charge has
used (found, and nothing written), and a token. Beside them stands the floor: the same envelope opened and the same
number encrypted by the bare libraries, and what the cryptography itself costs without them.
"""

import json
import os
import re
import tempfile
import time
from collections.abc import Callable
from functools import cache
from itertools import count, cycle
from typing import Any

import aws_encryption_sdk
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc import jwe

from bench import environment  # noqa: F401
from bench.cpu import milliseconds, silence
from functions.vault import app, encryption, keys
from functions.vault.rotation import KeyRing
from functions.vault.table import Table
from functions.vault.vault import TokenizeRequest, Vault
from payments.sealing import seal_card

BUDGET_MS = 0.3
"""DESIGN section 9."""

HSM_BUDGET = 1.0
"""Operations of the key store per thousand tokenizations in steady state."""

_MERCHANT, _REGION = "mer_bench", "us-east-1"
_PAN = "4242424242424242"
_TOKENIZATIONS = 4_000
_REGISTRY = jwe.JWERegistry(algorithms=["ECDH-ES", "A256GCM"], strict_check_header=False)


class _MemoryClient:
    """DynamoDB's client without botocore and network: keeps items, knows no conditions."""

    def __init__(self) -> None:
        self.partitions: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}

    def put_item(self, **request: Any) -> dict[str, Any]:
        item = request["Item"]
        self._partition(request, item)[item["holding"]["S"]] = item
        return {}

    def get_item(self, **request: Any) -> dict[str, Any]:
        item = self._partition(request, request["Key"]).get(request["Key"]["holding"]["S"])
        return {"Item": item} if item else {}

    def query(self, **request: Any) -> dict[str, Any]:
        values = request["ExpressionAttributeValues"]
        prefix = values.get(":prefix", {"S": ""})["S"]
        partition = self._partition(request, {"token": values[":token"]})
        return {"Items": [item for name, item in partition.items() if name.startswith(prefix)]}

    def update_item(self, **request: Any) -> dict[str, Any]:
        values, key = request["ExpressionAttributeValues"], request["Key"]
        partition = self._partition(request, key)
        item = partition.get(key["holding"]["S"], key)
        item = item | {name: values[value] for name, value in _assignments(request["UpdateExpression"])}
        partition[key["holding"]["S"]] = item
        return {"Attributes": item}

    def forget(self, token: str) -> None:
        """Everything about a token, so that its card is new again."""
        for table in ("tokens", "card-keys"):
            self.partitions.pop((table, token), None)

    def _partition(self, request: dict[str, Any], key: dict[str, Any]) -> dict[str, dict[str, Any]]:
        return self.partitions.setdefault((request["TableName"], key["token"]["S"]), {})


@cache
def _assignments(update: str) -> list[tuple[str, str]]:
    """What an update sets: attributes and the names of their values."""
    return re.findall(r"#(\w+) = (?:if_not_exists\(#\w+, )?(:\w+)", update)


class _CountingKeyStore:
    """A key store that counts what it is asked."""

    def __init__(self, store: keys.KeyStore) -> None:
        self._store, self.label, self.operations = store, store.label, 0

    def wrap(self, plaintext: bytes, context: bytes, version: int) -> bytes:
        self.operations += 1
        return self._store.wrap(plaintext, context, version)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        self.operations += 1
        return self._store.unwrap(wrapped, context)

    def versions(self) -> dict[int, str]:
        return self._store.versions()

    def create(self, version: int) -> None:
        self._store.create(version)


class _Bench:
    """A provisioned vault in memory, and envelopes to present to it."""

    def __init__(self, directory: str) -> None:
        self.key_store = _CountingKeyStore(keys.open_key_store(f"file:{directory}", "local"))
        self.client = _MemoryClient()
        tokens, card_keys = Table(self.client, "tokens"), Table(self.client, "card-keys")
        self.now = time.time()
        KeyRing(tokens, self.key_store).provision(self.now)
        self.vault = Vault(tokens, card_keys, _REGION, self.key_store)
        jwk = self.vault.rings.ring().published(self.now)[0]
        card = {"number": _PAN, "exp_month": 12, "exp_year": 2031, "cvc": "123"}
        sealed = [seal_card(card, jwk, _MERCHANT, "pay_1", int(self.now)) for _ in range(50)]
        self.envelopes = cycle(sealed)
        self.token = self.tokenize()["card"]["token"]

    def event(self) -> dict[str, Any]:
        card = {"sealed_card": next(self.envelopes)}
        return {"payment_id": "pay_1", "attempt": "att_1", "merchant_id": _MERCHANT, "card": card}

    def tokenize(self) -> dict[str, Any]:
        return self.vault.tokenize(TokenizeRequest(**self.event()), self.now)

    def tokenize_new(self) -> dict[str, Any]:
        self.client.forget(self.token)
        return self.tokenize()

    def charge_token(self) -> dict[str, Any]:
        event = self.event() | {"card": {"token": self.token}}
        return self.vault.tokenize(TokenizeRequest(**event), self.now)

    def detokenize(self) -> dict[str, Any]:
        return self.vault.detokenize(self.token, _MERCHANT, self.now)


def figures() -> dict[str, float]:
    """CPU milliseconds by name, and operations of the key store per thousand tokenizations of new cards."""
    with tempfile.TemporaryDirectory() as directory:
        bench = _Bench(directory)
        found = {"vault_tokenize_ms": milliseconds(bench.tokenize_new)}
        found |= {"vault_tokenize_handler_ms": _handler(bench), "hsm_per_thousand": _hsm_per_thousand(bench)}
        bench.tokenize_new()
        assert bench.detokenize()["result"] == "detokenized"
        found["vault_tokenize_used_ms"] = milliseconds(bench.tokenize)
        found["vault_tokenize_token_ms"] = milliseconds(bench.charge_token)
        found["vault_detokenize_ms"] = milliseconds(bench.detokenize)
        return found | _floor(bench)


def _handler(bench: _Bench) -> float:
    app._vault = lambda: bench.vault  # type: ignore[assignment]
    app._now = lambda: bench.now
    silence(app.logger.handlers)

    def once() -> None:
        bench.client.forget(bench.token)
        app.tokenize(bench.event(), None)

    return milliseconds(once)


def _hsm_per_thousand(bench: _Bench) -> float:
    before = bench.key_store.operations
    for _ in range(_TOKENIZATIONS):
        bench.tokenize_new()
    return (bench.key_store.operations - before) / _TOKENIZATIONS * 1000


def _floor(bench: _Bench) -> dict[str, float]:
    private = bench.vault.rings.ring().sealing_keys(bench.now)[0].private
    client = aws_encryption_sdk.EncryptionSDKClient()
    store: Any = bench.key_store
    materials = aws_encryption_sdk.CachingCryptoMaterialsManager(
        master_key_provider=encryption._KeyStoreMasterKey(key_id=store.label, key_store=store, kek_version=1),
        cache=aws_encryption_sdk.LocalCryptoMaterialsCache(10),
        max_age=300.0,
        max_messages_encrypted=10**6,
    )
    context = {"token": "tok_1", "token_key_version": "1"}
    opened = milliseconds(lambda: jwe.decrypt_compact(next(bench.envelopes), private, registry=_REGISTRY))
    encrypted = milliseconds(
        lambda: client.encrypt(
            source=_PAN.encode(), materials_manager=materials, algorithm=encryption.SUITE, encryption_context=context
        )
    )
    return {
        "floor_bare_jwe_open_ms": opened,
        "floor_bare_sdk_encrypt_ms": encrypted,
        "floor_sum_ms": opened + encrypted,
        "primitives_only_ms": milliseconds(_primitives()),
    }


def _primitives() -> Callable[[], object]:
    """ECDH on P-256, both key derivations and the three AES-GCM operations, with no format around them."""
    own = ec.generate_private_key(ec.SECP256R1())
    other = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
    iv, data_key, numbers = os.urandom(12), os.urandom(32), count()
    sealed = AESGCM(data_key).encrypt(iv, json.dumps({"number": _PAN}).encode(), b"header")

    def once() -> None:
        shared = own.exchange(ec.ECDH(), other.public_key())
        ConcatKDFHash(SHA256(), 32, b"info").derive(shared)
        AESGCM(data_key).decrypt(iv, sealed, b"header")
        derived = HKDF(SHA512(), 32, iv, b"info").derive(data_key)
        message = AESGCM(derived).encrypt(next(numbers).to_bytes(12), _PAN.encode(), b"context")
        AESGCM(os.urandom(32)).encrypt(iv, message, b"token")

    return once


if __name__ == "__main__":
    for name, figure in figures().items():
        print(f"{name:32} {figure:8.3f}")
    print(f"{'budget':32} {BUDGET_MS:8.3f}")
    print(f"{'budget, HSM per thousand':32} {HSM_BUDGET:8.3f}")
