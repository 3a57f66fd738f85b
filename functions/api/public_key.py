"""`GET /api/v1/vault/public_key`: what merchants seal cards to."""

from http import HTTPStatus
from typing import Any

import msgspec
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from functions.api import vault
from functions.api.operations import Operation, describes
from functions.api.resources import PublicKey, PublicKeys
from payments.rest import exchange

router = APIGatewayRouter()

_HEADERS = {"Cache-Control": "public, max-age=300", "Access-Control-Allow-Origin": "*"}
"""Any browser may ask, and keep the keys for five minutes: the vault opens envelopes of the previous key for longer."""


@router.get("/api/v1/vault/public_key")
@describes(
    Operation(
        answers={200: PublicKeys},
        errors={503: ("vault_unavailable",)},
        answer_headers={
            "Cache-Control": "How long the keys may be kept.",
            "Access-Control-Allow-Origin": "Any page may ask.",
        },
        public=True,
    )
)
def public_key() -> Response[Any]:
    """The keys to seal cards to.

    Seal to the first. The others still open what was sealed to them before a rotation.
    """
    keys = msgspec.convert(vault.public_keys(), list[PublicKey])
    return exchange.answer(HTTPStatus.OK, PublicKeys(keys, exchange.request_id(router.current_event)), _HEADERS)
