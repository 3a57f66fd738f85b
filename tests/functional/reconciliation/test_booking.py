"""What reconciliation asks of the ledger while a shard moves is asked again, and is no answer."""

import io
import json

import pytest

from functions.reconciliation import booking
from functions.reconciliation.booking import LedgerUnavailable
from functions.reconciliation.exchange import Booking

SETTLED = Booking(17, "visa", "USD", 5000, 0, 90, 0)


@pytest.fixture
def answering(monkeypatch):
    """The ledger's functions, which answer as told."""

    def answer(content):
        class Functions:
            def invoke(self, FunctionName, Payload):
                return {"Payload": io.BytesIO(json.dumps(content).encode())}

        monkeypatch.setattr(booking, "functions", lambda region: Functions())
        monkeypatch.setattr(booking.regions, "primary", lambda shard: "us-east-1")

    return answer


@pytest.mark.parametrize("code", ["not_primary", "shard_moving", "payment_busy"])
def test_a_dispute_that_passes_is_asked_for_again_and_not_noted_as_refused(answering, code):
    answering({"result": "refused", "code": code, "message": "m", "param": None})

    with pytest.raises(LedgerUnavailable):
        booking.open_dispute(17, "pay_1", "mer_1", "case_1", 100, None)


def test_a_dispute_that_the_payment_does_not_allow_is_noted(answering):
    answering({"result": "refused", "code": "payment_state_invalid", "message": "m", "param": None})

    assert booking.open_dispute(17, "pay_1", "mer_1", "case_1", 100, None)["refused"] == "payment_state_invalid"


@pytest.mark.parametrize("code", ["not_primary", "shard_moving"])
def test_a_settlement_is_asked_for_again(answering, code):
    answering({"result": "refused", "code": code, "message": "m"})

    with pytest.raises(LedgerUnavailable):
        booking.settle("run_1/0", SETTLED)


def test_a_settlement_that_the_ledger_will_not_book_stops_the_run(answering):
    answering({"result": "refused", "code": "invalid_booking", "message": "m"})

    with pytest.raises(booking.BookingRefused):
        booking.settle("run_1/0", SETTLED)
