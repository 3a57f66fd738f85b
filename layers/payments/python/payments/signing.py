"""Webhook signatures by the Standard Webhooks specification 1.0.

Written out because it is one HMAC: the published package pulls an HTTP client into every bundle. The tests and the
local webhook inbox verify what this signs with that package.
"""

import base64
import hmac
import secrets
from binascii import Error as Base64Error

SECRET_PREFIX = "whsec_"  # noqa: S105 - a form, not a secret
SECRET_BYTES = 32
"""Length of a new secret; the specification asks for 24 to 64 random bytes."""


class InvalidSecret(ValueError):
    """The secret is not `whsec_` and base64 of 24 to 64 bytes."""


def new_secret() -> str:
    """A new signing secret, `whsec_` and base64 of 32 random bytes."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def headers(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of a delivery; `timestamp` is Unix time in seconds. Raises `InvalidSecret`."""
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    digest = base64.b64encode(hmac.digest(_key(secret), signed, "sha256")).decode()
    return {"webhook-id": message_id, "webhook-timestamp": str(timestamp), "webhook-signature": f"v1,{digest}"}


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except Base64Error:
        raise InvalidSecret("the secret is not base64") from None
    if not secret.startswith(SECRET_PREFIX) or not 24 <= len(key) <= 64:
        raise InvalidSecret("a secret is whsec_ and base64 of 24 to 64 bytes")
    return key
