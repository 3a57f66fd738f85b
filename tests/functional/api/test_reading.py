"""Reading payments."""

import json

import pytest

from functions.ledger import app as ledger
from tests.functional.api.merchant import PAN, charge
from tests.functional.samples import FRAUD


def test_another_merchants_payment_does_not_exist(call):
    _, made, _ = charge(call)

    status, body, _ = call("GET", f"/api/v1/payments/{made['id']}", merchant="mer_" + "b" * 24)

    assert (status, body["error"]["code"]) == (404, "payment_not_found")


@pytest.mark.parametrize("payment_id", ["pay_00" + "a" * 24, "x", PAN, "%00", "pay_" + "9" * 300])
def test_a_payment_that_is_not_there_is_404_and_not_echoed(call, payment_id):
    status, body, _ = call("GET", f"/api/v1/payments/{payment_id}")

    assert status == 404
    assert payment_id not in json.dumps(body)


def test_an_abandoned_attempt_is_no_payment(call, new_charge):
    abandoned = new_charge()
    ledger.handler({"operation": "abandon", "charge": abandoned, "fraud": FRAUD}, None)

    assert call("GET", f"/api/v1/payments/{abandoned['payment_id']}")[0] == 404


def test_an_unknown_path_is_404_in_the_platforms_form(call):
    status, body, _ = call("GET", "/api/v1/nothing")

    assert (status, body["error"]["type"]) == (404, "invalid_request_error")
