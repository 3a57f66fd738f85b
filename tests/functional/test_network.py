"""The card-network worker: repeated, crashed, unanswered, and never authorizing twice."""

import io
import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from functions.ledger import app as ledger
from functions.network import app, authorization, card_network, vault
from payments import books, clients, clock, events, lifecycle
from payments.journal import totals
from payments.lifecycle import Status
from payments.tables import PaymentItem
from tests.functional.samples import AUTHORIZATION

CARD = {"token": "tok_x", "network": "visa", "bin": "424242", "exp_month": 12, "exp_year": 2031}
APPROVED = {"status": "approved", "code": None}


class Network:
    """A card network of a few lines: answers as told, remembers what it was asked."""

    def __init__(self):
        self.orders, self.answer, self.known, self.status_code = [], APPROVED, APPROVED, 200

    def serve(self):
        network = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                network.orders.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                if network.answer is None:
                    self.connection.close()
                    return
                self.reply(network.status_code, network.answer)

            def do_GET(self):
                self.reply(200 if network.known else 404, network.known or {})

            def reply(self, status, content):
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def network(monkeypatch):
    stand_in = Network()
    url = stand_in.serve()
    monkeypatch.setattr(card_network, "_base", lambda: url)
    yield stand_in
    stand_in.server.shutdown()


@pytest.fixture
def published(monkeypatch):
    sent = []
    monkeypatch.setattr(events, "publish", lambda detail_type, *found: sent.extend((detail_type, e) for e in found))
    return sent


class Vault:
    """Answers detokenize as told."""

    def __init__(self):
        self.answer = {"Payload": {"result": "detokenized", "card": CARD}}

    def invoke(self, FunctionName, Payload):
        return {**self.answer, "Payload": io.BytesIO(json.dumps(self.answer["Payload"]).encode())}


@pytest.fixture(autouse=True)
def the_vault(monkeypatch):
    stand_in = Vault()
    monkeypatch.setattr(vault, "client", lambda *_, **__: stand_in)
    return stand_in


def deliver(*payment_ids):
    return app.handler(
        {
            "Records": [
                {"messageId": f"m{n}", "body": json.dumps({"detail": {"payment_id": payment_id}})}
                for n, payment_id in enumerate(payment_ids)
            ]
        },
        None,
    )


def post(charge):
    ledger.handler(
        {"operation": "post", "charge": charge, "fraud": {"score": 0, "degraded": False, "decision": "allow"}}, None
    )
    return charge


def failed(answer):
    return [item["itemIdentifier"] for item in answer["batchItemFailures"]]


def journals(payment):
    return [journal.journal_id for journal in books.journals(payment.payment_id)]


def test_an_approved_charge_succeeds_is_posted_and_announced(pending, network, published):
    assert failed(deliver(pending.payment_id)) == []

    payment = books.find(pending.payment_id)
    assert payment.status is Status.SUCCEEDED
    assert journals(payment) == [AUTHORIZATION, "capture"]
    assert [(kind, event["type"], event["sequence"]) for kind, event in published] == [
        ("payment_result", "payment.succeeded", 2)
    ]
    assert list(books.pending(payment.shard, "9999", 10)) == []


def test_the_network_is_asked_by_token_and_reference_never_by_number(pending, network, published):
    deliver(pending.payment_id)

    order = network.orders[0]
    assert (order["network_ref"], order["token"], order["bin"]) == (pending.network_ref, "tok_x", "424242")
    assert set(order) == {
        "network_ref",
        "amount",
        "currency",
        "request",
        "capture",
        "token",
        "network",
        "bin",
        "exp_month",
        "exp_year",
    }


@pytest.mark.parametrize("code", ["card_declined", "insufficient_funds", "issuer_unavailable", "something_new"])
def test_a_declined_charge_fails_and_its_amounts_are_voided(pending, network, published, code):
    network.answer = {"status": "declined", "code": code}

    deliver(pending.payment_id)

    payment = books.find(pending.payment_id)
    assert (payment.status, payment.failure.code) == (Status.FAILED, code)
    assert journals(payment) == [AUTHORIZATION, "void"]
    entries = [entry for journal in books.journals(payment.payment_id) for entry in journal.entries]
    assert set(totals(entries).values()) == {0}


def test_a_message_delivered_again_changes_nothing_and_announces_the_same_event(pending, network, published):
    deliver(pending.payment_id)
    deliver(pending.payment_id, pending.payment_id)

    assert len(network.orders) == 1
    assert journals(pending) == [AUTHORIZATION, "capture"]
    assert len({event["id"] for _, event in published}) == 1


def test_a_crash_before_publishing_is_mended_by_the_next_delivery(pending, network, published, monkeypatch):
    working = events.publish

    def crash(*_):
        raise events.PublishFailed("payment_result")

    monkeypatch.setattr(events, "publish", crash)
    assert failed(deliver(pending.payment_id)) == ["m0"]
    assert published == []

    monkeypatch.setattr(events, "publish", working)
    assert failed(deliver(pending.payment_id)) == []
    assert [event["type"] for _, event in published] == ["payment.succeeded"]


def test_no_answer_is_settled_by_asking_for_the_status(pending, network, published):
    network.answer = None

    assert failed(deliver(pending.payment_id)) == []
    assert books.find(pending.payment_id).status is Status.SUCCEEDED
    assert {order["network_ref"] for order in network.orders} == {pending.network_ref}


def test_an_unknown_outcome_stays_pending_and_comes_back(pending, network, published):
    network.answer = network.known = None

    assert failed(deliver(pending.payment_id)) == ["m0"]
    assert books.find(pending.payment_id).status is Status.PENDING
    assert published == []


@pytest.mark.parametrize("status", [400, 409, 429, 500, 503])
def test_a_network_in_trouble_decides_nothing(pending, network, published, status):
    network.status_code = status

    assert failed(deliver(pending.payment_id)) == ["m0"]
    assert books.find(pending.payment_id).status is Status.PENDING


def test_a_network_that_is_not_there_decides_nothing(pending, published):
    assert failed(deliver(pending.payment_id)) == ["m0"]
    assert books.find(pending.payment_id).status is Status.PENDING


TOKEN_UNKNOWN = {"Payload": {"result": "token_unknown"}}


def test_a_token_that_is_gone_fails_an_old_charge_the_network_does_not_know(
    tables, new_charge, network, published, the_vault
):
    the_vault.answer, network.known = TOKEN_UNKNOWN, None
    charge = post(new_charge(created_at=clock.timestamp(datetime.now(UTC) - timedelta(minutes=6))))

    deliver(charge["payment_id"])

    assert books.find(charge["payment_id"]).failure.code == "token_expired"
    assert network.orders == []


def test_a_token_not_yet_replicated_here_decides_nothing(tables, new_charge, network, published, the_vault):
    the_vault.answer, network.known = TOKEN_UNKNOWN, None
    charge = post(new_charge(created_at=clock.now()))

    assert failed(deliver(charge["payment_id"])) == ["m0"]
    assert books.find(charge["payment_id"]).status is Status.PENDING


def test_what_the_other_region_authorized_is_not_declined_for_want_of_a_token(pending, network, published, the_vault):
    the_vault.answer = TOKEN_UNKNOWN

    deliver(pending.payment_id)

    assert books.find(pending.payment_id).status is Status.SUCCEEDED


def test_a_blocked_payment_is_neither_charged_nor_announced(tables, new_charge, network, published):
    charge = new_charge()
    ledger.handler(
        {
            "operation": "record_blocked",
            "charge": charge,
            "fraud": {"score": 99, "degraded": False, "decision": "block"},
        },
        None,
    )

    assert failed(deliver(charge["payment_id"])) == ["m0"]
    assert network.orders == published == []


def test_what_this_region_blocked_and_the_other_accepted_is_charged(pending, network, published):
    blocked = {"failure": {"code": "fraud_blocked", "message": "The charge was blocked by fraud scoring."}}
    item = PaymentItem.get(pending.payment_id)
    item.update(actions=[PaymentItem.status.set("fraud_blocked"), PaymentItem.failure.set(blocked["failure"])])

    deliver(pending.payment_id)

    standing = books.find(pending.payment_id)
    assert (standing.status, standing.failure) == (Status.SUCCEEDED, None)
    assert [order["network_ref"] for order in network.orders] == [pending.network_ref]
    assert [event["type"] for _, event in published] == ["payment.succeeded"]


def test_a_network_that_has_not_decided_decides_nothing(pending, network, published):
    network.answer = {"status": "pending", "code": None}

    assert failed(deliver(pending.payment_id)) == ["m0"]
    assert books.find(pending.payment_id).status is Status.PENDING


def test_the_expiry_is_the_one_the_merchant_charged(pending, network, published, the_vault):
    the_vault.answer = {"Payload": {"card": {**CARD, "exp_month": 1, "exp_year": 2040}}}

    deliver(pending.payment_id)

    assert (network.orders[0]["exp_month"], network.orders[0]["exp_year"]) == (12, 2031)


def test_an_older_copy_from_the_other_region_is_decided_again_from_its_journal(pending, network, published):
    older = PaymentItem.get(pending.payment_id).to_dynamodb_dict()
    deliver(pending.payment_id)
    clients.client("dynamodb").put_item(TableName="payments", Item=older)

    assert failed(deliver(pending.payment_id)) == []

    assert books.find(pending.payment_id).status is Status.SUCCEEDED
    assert journals(pending) == [AUTHORIZATION, "capture"]
    assert {event["type"] for _, event in published} == {"payment.succeeded"}
    assert books.pending(pending.shard, "9999", 10) == []


def test_a_vault_fault_decides_nothing(pending, network, published, the_vault):
    the_vault.answer = {"Payload": {"errorMessage": "x"}, "FunctionError": "Unhandled"}

    assert failed(deliver(pending.payment_id)) == ["m0"]
    assert books.find(pending.payment_id).status is Status.PENDING


def test_a_payment_not_yet_replicated_comes_back(tables, network, published):
    assert failed(deliver("pay_00" + "a" * 24)) == ["m0"]


def test_a_poisoned_message_does_not_stop_its_batch(pending, network, published):
    event = {
        "Records": [
            {"messageId": "bad-json", "body": "{"},
            {"messageId": "bad-form", "body": "{}"},
            {"messageId": "good", "body": json.dumps({"detail": {"payment_id": pending.payment_id}})},
        ]
    }

    assert failed(app.handler(event, None)) == ["bad-json", "bad-form"]
    assert books.find(pending.payment_id).status is Status.SUCCEEDED


def test_a_worker_that_lost_the_race_reports_what_the_winner_wrote(pending, network):
    declined = lifecycle.Authorization(lifecycle.Failure("card_declined", "m"))
    first, first_journal = lifecycle.decide(pending, lifecycle.Authorization(), "2026-11-23T10:00:01.000Z")
    second, second_journal = lifecycle.decide(pending, declined, "2026-11-23T10:00:02.000Z")

    assert books.step(pending, first, first_journal).status is Status.SUCCEEDED
    assert books.step(pending, second, second_journal).status is Status.SUCCEEDED
    assert journals(pending) == [AUTHORIZATION, "capture"]


def test_an_authorization_without_capture_stays_pending_in_the_books(tables, new_charge, network, published):
    charge = post(new_charge(capture=False))

    authorization.authorize(charge["payment_id"])

    payment = books.find(charge["payment_id"])
    assert payment.status is Status.REQUIRES_CAPTURE
    assert journals(payment) == [AUTHORIZATION]
    assert [event["type"] for _, event in published] == ["payment.requires_capture"]
