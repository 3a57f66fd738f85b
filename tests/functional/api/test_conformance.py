"""The API under generated requests, valid and not: never a fault, and never an answer that is not documented.

schemathesis drives the real handler, authorizer and vault in process. What it cannot make up by itself, envelopes that
open and tokens of stored cards, stands in its requests as placeholders, which are filled in before they are sent.
"""

from collections import defaultdict

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import negative_data_rejection

from functions.api import app, openapi, sealing, tokens, vault
from functions.api.requests import RawCard
from functions.ledger import app as ledger
from payments import identifiers
from tests.functional.api.gateway import Gateway
from tests.functional.api.life import decide
from tests.functional.api.merchant import CARD, Context
from tests.functional.conftest import charge as new_charge
from tests.functional.samples import FRAUD, MERCHANT

NUMBERS = ["4242424242424242", "5555 5555 5555 4444", "378282246310005", "4242424242424241", "9" * 16]
CARDS = [CARD, {**CARD, "number": "4242424242424241"}, {**CARD, "exp_year": 2001}, {**CARD, "cvc": "1"}]
OTHER = "mer_" + "b" * 24

ENVELOPES = {
    f"placeholder-envelope..{'a' * 16}.{'b' * 20}.{'c' * 20}-{letter}": wanted
    for letter, wanted in zip(
        "abcdef",
        [*((card, MERCHANT, tokens.NONCE) for card in CARDS), (CARD, OTHER, tokens.NONCE), (CARD, MERCHANT, "order")],
        strict=True,
    )
}
FORM = r"[A-Za-z0-9_-]{20,30}\.\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]{20,30}\.[A-Za-z0-9_-]{22}"
STORED = "tok_placeholderofastoredcard"
APPROVED = "pay_00" + "approved" * 3
CAPTURED = "pay_00" + "captured" * 3

CONFIG = schemathesis.Config.from_dict(
    {
        "generation": {"deterministic": True, "max-examples": 60, "database": "none"},
        "checks": {
            # API Gateway answers for methods that are not there, with 404 as for paths.
            "unsupported_method": {"enabled": False},
            # What a schema cannot say: the card is invalid or unknown, the key was used; of 400 see REFUSABLE.
            "positive_data_acceptance": {"expected-statuses": ["2xx", "400", "402", "404", "409", "422"]},
        },
    }
)
REFUSABLE = {"card_data_in_field", "invalid_amount", "amount_too_large", "invalid_cursor", "at_in_future"}
"""Why a request that is valid by its schema may be answered with 400."""

FORMATS = {
    "card-number": st.sampled_from(NUMBERS) | st.text(max_size=64),
    "iso-4217": st.sampled_from(["USD", "JPY", "KWD"]) | st.from_regex("[A-Z]{3}", fullmatch=True),
    "card-cvc": st.sampled_from(["123", "1234"]) | st.text(max_size=8),
    "jwe": st.sampled_from(sorted(ENVELOPES)) | st.from_regex(FORM, fullmatch=True),
    "payment-id": st.sampled_from([APPROVED, CAPTURED]) | st.from_regex("pay_0[0-9a-f][a-z2-7]{24}", fullmatch=True),
    "card-token": st.just(STORED) | st.from_regex("tok_1[a-z2-7]{52}", fullmatch=True),
}
for name, strategy in FORMATS.items():
    schemathesis.openapi.format(name, strategy)

described = schemathesis.openapi.from_dict(openapi.description(), config=CONFIG)
described.app = Gateway(app.handler, Context())

answered: dict[str, set[int]] = defaultdict(set)


@described.exclude(path="/health").parametrize()
@settings(deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_a_documented_one_and_none_is_a_fault(case, sagas, real_vault, api_key):
    _fill_in(case)

    unsaid = [negative_data_rejection] if _is_lost(case) else []
    answer = case.call_and_validate(headers={"Authorization": f"Bearer {api_key}"}, excluded_checks=unsaid)

    answered[case.operation.label].add(answer.status_code)
    assert not any(number in answer.text for number in NUMBERS)
    if case.meta.generation.mode.is_positive and answer.status_code == 400:
        assert answer.json()["error"]["code"] in REFUSABLE


@pytest.mark.parametrize(
    ("operation", "statuses"),
    [
        ("POST /api/v1/tokens", {201, 400, 401, 402}),
        ("DELETE /api/v1/tokens/{token}", {200, 401, 404}),
        ("GET /api/v1/vault/public_key", {200}),
        ("POST /api/v1/payments/charge", {201, 400, 401}),
        ("POST /api/v1/payments/{payment_id}/capture", {200, 400, 401, 404, 409}),
        ("POST /api/v1/payments/{payment_id}/void", {200, 400, 401, 404, 409}),
        ("POST /api/v1/payments/{payment_id}/refund", {201, 400, 401, 404, 409}),
        ("GET /api/v1/payments/{payment_id}/refunds", {200, 400, 401, 404}),
        ("GET /api/v1/payments", {200, 400, 401}),
        ("GET /api/v1/balance", {200, 400, 401}),
        ("GET /api/v1/ledger/entries", {200, 400, 401}),
        ("GET /api/v1/reconciliation/reports", {200, 400, 401}),
    ],
)
def test_the_requests_above_were_worth_sending(operation, statuses):
    if operation not in answered:
        pytest.skip("the test above did not run")

    assert answered[operation] >= statuses


def _is_lost(case):
    """What is wrong with it, if anything, is not sent: a query has no place for nothing, nor for an empty list."""
    return any(value in (None, [], {}) for value in (case.query or {}).values())


def _fill_in(case):
    """Envelopes and tokens for their placeholders. And JSON Schema takes 1.0 for an integer, which the API does not."""
    body = case.body if isinstance(case.body, dict) else {}
    if _is_placeholder(body.get("sealed_card"), ENVELOPES):
        card, merchant, nonce = ENVELOPES[body["sealed_card"]]
        body["sealed_card"] = sealing.seal(RawCard(**card), merchant, nonce)
    for fields in (body, body.get("card")):
        if isinstance(fields, dict):
            whole = {name: value for name, value in fields.items() if isinstance(value, float) and value.is_integer()}
            fields.update({name: int(value) for name, value in whole.items()})
    if case.path_parameters.get("payment_id") in (APPROVED, CAPTURED):
        case.path_parameters["payment_id"] = _payment(case.path_parameters["payment_id"] == CAPTURED)
    if case.path_parameters.get("token") == STORED:
        envelope = sealing.seal(RawCard(**CARD), MERCHANT, tokens.NONCE)
        case.path_parameters["token"] = vault.store(MERCHANT, envelope)["card"]["token"]


def _payment(capture):
    """A new payment that the network has approved."""
    asked = new_charge(identifiers.new_attempt(), capture=capture)
    ledger.handler({"operation": "post", "charge": asked, "fraud": FRAUD}, None)
    decide(asked["payment_id"])
    return asked["payment_id"]


def _is_placeholder(value, placeholders):
    return isinstance(value, str) and value in placeholders
