"""What tokenizing a card costs: `python -m bench.vault`. CPU milliseconds, DynamoDB's client canned.

Beside the handler stands its floor: the same envelope opened and the same number encrypted by the bare libraries, and
what the cryptography itself costs without them.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import aws_encryption_sdk
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc import jwe
from joserfc.jwk import ECKey

from bench import environment  # noqa: F401
from bench.cpu import milliseconds, silence
from functions.vault import app, encryption
from functions.vault.encryption import CardCipher
from functions.vault.keys import FileKeyStore
from functions.vault.sealing import SealingKey
from functions.vault.store import TokenStore
from functions.vault.tokens import TokenKey
from functions.vault.vault import TokenizeRequest, Vault

BUDGET_MS = 0.3
"""DESIGN section 9."""

_PAN = "4242424242424242"
_CARD = {"number": _PAN, "exp_month": 12, "exp_year": 2031, "cvc": "123"}
_NAMES = {
    ":bin": "bin",
    ":last4": "last4",
    ":brand": "brand",
    ":network": "network",
    ":month": "exp_month",
    ":year": "exp_year",
}
_REGISTRY = jwe.JWERegistry(algorithms=["ECDH-ES", "A256GCM"], strict_check_header=False)


class _CannedClient:
    """DynamoDB's client without botocore: UpdateItem answers with what it was asked to set."""

    def update_item(self, **request: Any) -> dict[str, Any]:
        values = request["ExpressionAttributeValues"]
        return {"Attributes": request["Key"] | {name: values[key] for key, name in _NAMES.items()}}


def figures() -> dict[str, float]:
    """CPU milliseconds by name."""
    with tempfile.TemporaryDirectory() as directory:
        key_store = FileKeyStore.create(Path(directory) / "key", "local")
    private = ECKey.generate_key("P-256")
    envelopes = cycle([_sealed(private, number) for number in range(50)])
    return {**_tokenize(key_store, private, envelopes), **_floor(key_store, private, envelopes)}


def _tokenize(key_store: FileKeyStore, private: ECKey, envelopes: Any) -> dict[str, float]:
    sealing_key = SealingKey("bench", {}, private)
    store, token_key = TokenStore(_CannedClient(), "vault-tokens"), TokenKey(1, os.urandom(32))
    vault = Vault(store, CardCipher(key_store), token_key, [sealing_key])
    app._vault = lambda: vault  # type: ignore[assignment]
    silence(app.logger.handlers)
    now = int(time.time())

    def event() -> dict[str, Any]:
        card = {"sealed_card": next(envelopes)}
        return {"payment_id": "pay_1", "attempt": "att_1", "merchant_id": "mer_1", "card": card}

    assert app.tokenize(event(), None)["result"] == "tokenized"
    return {
        "vault_tokenize_ms": milliseconds(lambda: vault.tokenize(TokenizeRequest(**event()), now)),
        "vault_tokenize_handler_ms": milliseconds(lambda: app.tokenize(event(), None)),
    }


def _floor(key_store: FileKeyStore, private: ECKey, envelopes: Any) -> dict[str, float]:
    client = aws_encryption_sdk.EncryptionSDKClient()
    materials = aws_encryption_sdk.CachingCryptoMaterialsManager(
        master_key_provider=encryption._KeyStoreMasterKey(key_id=key_store.label, key_store=key_store),
        cache=aws_encryption_sdk.LocalCryptoMaterialsCache(10),
        max_age=300.0,
        max_messages_encrypted=10**6,
    )
    context = {"token": "tok_1", "token_key_version": "1"}
    opened = milliseconds(lambda: jwe.decrypt_compact(next(envelopes), private, registry=_REGISTRY))
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
    """ECDH on P-256, both key derivations and both AES-GCM operations, with no format around them."""
    own = ec.generate_private_key(ec.SECP256R1())
    other = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
    iv, data_key = os.urandom(12), os.urandom(32)
    sealed = AESGCM(data_key).encrypt(iv, json.dumps(_CARD).encode(), b"header")

    def once() -> None:
        shared = own.exchange(ec.ECDH(), other.public_key())
        ConcatKDFHash(SHA256(), 32, b"info").derive(shared)
        AESGCM(data_key).decrypt(iv, sealed, b"header")
        derived = HKDF(SHA512(), 32, iv, b"info").derive(data_key)
        AESGCM(derived).encrypt(iv, _PAN.encode(), b"context")

    return once


def _sealed(key: ECKey, number: int) -> str:
    now = int(time.time())
    header = {
        "alg": "ECDH-ES",
        "enc": "A256GCM",
        "kid": "bench",
        "merchant": "mer_1",
        "nonce": f"key-{number}",
        "iat": now,
        "exp": now + 3600,
    }
    return jwe.encrypt_compact(header, json.dumps(_CARD).encode(), key, registry=_REGISTRY)


if __name__ == "__main__":
    for name, figure in figures().items():
        print(f"{name:32} {figure:8.3f}")
    print(f"{'budget':32} {BUDGET_MS:8.3f}")
