"""How many digits of a card a merchant sees beside its token: six and four, although the platform knows eight."""

import json

import pytest
import requests

from functions.api import saga
from functions.ledger import app as ledger
from functions.webhooks import delivery
from payments import books, events, lifecycle, signing
from payments.merchants import MerchantItem
from tests.functional.api.merchant import CARD, charge, sealed
from tests.functional.samples import CARD_FACTS, FRAUD, MERCHANT

EIGHT = "42424242"
SHOWN = {"token", "brand", "network", "bin", "last4", "exp_month", "exp_year"}


@pytest.fixture
def posted(tables, monkeypatch):
    """The bodies that reach the merchant's webhook endpoint."""
    bodies = []

    class Session:
        def post(self, url, data, **_):
            bodies.append(data.decode())
            answer = requests.Response()
            answer.status_code, answer._content_consumed = 200, True
            return answer

    monkeypatch.setattr(delivery, "_session", Session)
    hook = {"url": "https://merchant.example/hook", "secret": signing.new_secret(), "status": "enabled"}
    MerchantItem(MERCHANT, "webhook_endpoint#we_1", **hook).save()
    return bodies


def decided(payment):
    """The payment after the card network has taken it."""
    after, journal = lifecycle.decide(payment, lifecycle.Authorization(), "2026-11-23T10:00:09.000Z")
    return books.step(payment, after, journal)


def hides_the_eight(body):
    """Whether neither the field nor the digits are in a body."""
    return "bin8" not in body and EIGHT not in body


def test_no_answer_event_or_webhook_has_the_eight_digits_that_are_stored(call, posted):
    made = charge(call)[1]
    replayed = charge(call)[1]
    pending = books.find(made["id"])
    result = decided(pending)
    read = call("GET", f"/api/v1/payments/{made['id']}")[1]
    stored = [
        call("POST", "/api/v1/tokens", body)[1] for body in ({"card": CARD}, {"sealed_card": sealed(nonce="tokens")})
    ]
    published = [events.charge_authorized(pending), events.payment_result(result)]
    for event in published:
        delivery.deliver({"merchant_id": MERCHANT, "endpoint_id": "we_1", "event": event})

    assert pending.card == result.card == CARD_FACTS
    assert CARD_FACTS["bin8"] == EIGHT, "known inside"
    told = [json.dumps(body) for body in (made, replayed, read, *stored, *published)] + posted
    assert len(told) == 9
    assert [body for body in told if not hides_the_eight(body)] == []


def test_of_a_card_the_documented_fields_are_shown_and_no_other(call):
    made = charge(call)[1]

    assert set(made["card"]) == SHOWN
    assert made["card"] == {name: value for name, value in CARD_FACTS.items() if name in SHOWN}


def test_a_declined_charge_shows_no_digits(call, monkeypatch):
    def block(asked):
        blocked = {"operation": "record_blocked", "charge": {**asked, "card": CARD_FACTS}, "fraud": FRAUD}
        return {"outcome": "blocked", "payment": ledger.handler(blocked, None)["payment"]}

    monkeypatch.setattr(saga, "run", block)

    for body in (charge(call)[1], charge(call)[1]):
        assert CARD_FACTS["bin"] not in json.dumps(body)
