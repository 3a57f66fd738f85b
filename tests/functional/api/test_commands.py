"""Capture, void and refund: what they do, what they refuse, and that a repetition does nothing twice."""

import json

import pytest

from functions.api import commands, requests
from payments import books, identifiers
from payments.lifecycle import Failure
from tests.functional.api.functions import failing
from tests.functional.api.life import approved, command, decide, end_refund
from tests.functional.api.merchant import BODY, PAN, charge, without_request_id
from tests.functional.conftest import write_here
from tests.functional.samples import MERCHANT

OTHER = "mer_" + "b" * 24
ROUTES = ["capture", "void", "refund"]


def read(call, payment_id):
    return call("GET", f"/api/v1/payments/{payment_id}")[1]


def ready(call, name, key="key-1"):
    """A payment that the command can be asked of."""
    payment_id = approved(call, key)
    if name == "refund":
        assert command(call, "capture", payment_id, key=f"before-{key}")[0] == 200
    return payment_id


def test_a_capture_of_a_part_leaves_the_rest_to_be_captured(call):
    payment_id = approved(call)

    status, body, _ = command(call, "capture", payment_id, {"amount": 1200})

    assert (status, body["status"], body["amount_captured"], body["amount_capturable"]) == (
        200,
        "partially_captured",
        1200,
        3000,
    )
    assert without_request_id(body) == without_request_id(read(call, payment_id))
    assert body["request_id"] == "request-1"


def test_a_capture_without_an_amount_takes_all_that_is_left(call):
    payment_id = approved(call)
    command(call, "capture", payment_id, {"amount": 1200})

    _, body, _ = command(call, "capture", payment_id, {}, key="command-2")

    assert (body["status"], body["amount_captured"], body["amount_capturable"]) == ("succeeded", 4200, 0)


def test_a_final_capture_releases_the_rest(call):
    payment_id = approved(call)

    _, body, _ = command(call, "capture", payment_id, {"amount": 1200, "final": True})

    assert (body["status"], body["amount_captured"], body["amount_capturable"]) == ("succeeded", 1200, 0)


@pytest.mark.parametrize("body", ["", None, {}, {"reason": "out of stock"}])
def test_a_void_releases_all_with_a_reason_or_without_a_body(call, body):
    payment_id = approved(call)

    status, answer, _ = call("POST", f"/api/v1/payments/{payment_id}/void", body)

    assert (status, answer["status"], answer["amount_capturable"]) == (200, "canceled", 0)
    (void,) = [journal for journal in books.journals(payment_id) if journal.kind == "void"]
    assert void.reason == ((body or {}).get("reason"))


def test_a_refund_is_pending_until_the_network_decides(call):
    payment_id = ready(call, "refund")

    status, refund, _ = command(call, "refund", payment_id, {"amount": 500, "reason": "broken"})

    assert (status, refund["object"], refund["status"], refund["amount"]) == (201, "refund", "pending", 500)
    assert (refund["reason"], refund["currency"], refund["payment_id"]) == ("broken", "USD", payment_id)
    assert read(call, payment_id)["amount_refunded"] == 500
    assert read(call, payment_id)["status"] == "partially_refunded"


def test_a_payments_refunds_are_listed_with_what_became_of_them(call):
    payment_id = ready(call, "refund")
    ids = [command(call, "refund", payment_id, {"amount": 500}, key=f"r{n}")[1]["id"] for n in range(3)]
    end_refund(payment_id, ids[0])
    end_refund(payment_id, ids[1], Failure("refund_declined", "m"))

    status, page, _ = call("GET", f"/api/v1/payments/{payment_id}/refunds")

    assert (status, page["object"], page["has_more"], page["next_cursor"]) == (200, "list", False, None)
    assert {refund["id"]: refund["status"] for refund in page["data"]} == dict(
        zip(ids, ["succeeded", "failed", "pending"], strict=True)
    )
    assert {refund["id"]: refund["failure"] and refund["failure"]["code"] for refund in page["data"]}[
        ids[1]
    ] == "refund_declined"
    assert [refund["created_at"] for refund in page["data"]] == sorted(
        (refund["created_at"] for refund in page["data"]), reverse=True
    )


def test_refunds_are_listed_in_pages(call):
    payment_id = ready(call, "refund")
    ids = {command(call, "refund", payment_id, {"amount": 1}, key=f"r{n}")[1]["id"] for n in range(5)}
    path, walked, cursor = f"/api/v1/payments/{payment_id}/refunds", [], None

    for _ in range(3):
        query = {"limit": "2", **({"starting_after": cursor} if cursor else {})}
        page = call("GET", path, query=query)[1]
        walked += [refund["id"] for refund in page["data"]]
        cursor = page["next_cursor"]

    assert (cursor, page["has_more"]) == (None, False)
    assert (len(walked), set(walked)) == (5, ids)
    back = call("GET", path, query={"limit": "2", "ending_before": walked[-1]})[1]
    assert [refund["id"] for refund in back["data"]] == walked[2:4]
    assert call("GET", path, query={"starting_after": payment_id})[1]["error"]["code"] == "invalid_cursor"


@pytest.mark.parametrize("name", ROUTES)
def test_the_same_request_is_answered_as_the_first_time_though_the_payment_moved_on(call, functions, name):
    payment_id = ready(call, name)
    body = {"void": {"reason": "x"}}.get(name, {"amount": 700})
    status, first, headers = command(call, name, payment_id, body)
    assert "Idempotent-Replayed" not in headers
    if name == "capture":
        command(call, "void", payment_id, key="later")
    if name != "void":
        command(call, "refund", payment_id, {"amount": 100}, key="later-too")
    moved = books.find(payment_id)

    again, replay, replayed = command(call, name, payment_id, body)

    assert (again, without_request_id(replay)) == (status, without_request_id(first))
    assert replayed["Idempotent-Replayed"] == ["true"]
    assert books.find(payment_id) == moved


@pytest.mark.parametrize("name", ROUTES)
def test_a_key_is_good_for_one_request(call, name):
    payment_id, other = ready(call, name), ready(call, name, "key-2")
    body = {} if name == "void" else {"amount": 700}
    assert command(call, name, payment_id, body)[0] in (200, 201)
    standing = books.find(payment_id), books.find(other)

    tries = [
        command(call, name, other, body),
        command(call, name, payment_id, {**body, "reason": "x"} if name != "capture" else {"amount": 701}),
        command(call, "void" if name != "void" else "capture", payment_id, {}),
    ]

    assert {(status, answer["error"]["code"]) for status, answer, _ in tries} == {(422, "idempotency_key_reused")}
    assert (books.find(payment_id), books.find(other)) == standing


def test_a_key_of_a_charge_may_be_a_key_of_a_command(call):
    payment_id = approved(call, "key-1")

    assert command(call, "capture", payment_id, key="key-1")[0] == 200


@pytest.mark.parametrize("name", ROUTES)
def test_another_merchants_payment_does_not_exist_and_is_not_touched(call, name):
    payment_id = ready(call, name)
    before = books.find(payment_id)
    write_here(identifiers.merchant_shard(OTHER))

    status, body, _ = command(call, name, payment_id, merchant=OTHER)
    unknown = command(call, name, identifiers.payment_id(OTHER, "never"), merchant=OTHER)

    assert (status, body) == unknown[:2]
    assert (status, body["error"]["code"], body["error"]["payment_id"]) == (404, "payment_not_found", None)
    assert books.find(payment_id) == before
    assert call("GET", f"/api/v1/payments/{payment_id}/refunds", merchant=OTHER)[0] == 404


@pytest.mark.parametrize("name", ROUTES)
@pytest.mark.parametrize(
    "payment_id", ["x", "pay_" + "a" * 26, "pay_ff" + "a" * 24, "cmd_00" + "a" * 24, "%00", "charge"]
)
def test_what_is_no_payments_id_is_404_and_nobody_is_asked(call, functions, name, payment_id):
    status, body, _ = command(call, name, payment_id)

    assert (status, body["error"]["code"]) == (404, "payment_not_found")
    assert functions.calls == []


@pytest.mark.parametrize("name", ROUTES)
def test_a_refund_is_no_payment(call, functions, name):
    payment_id = ready(call, "refund")
    refund_id = command(call, "refund", payment_id, {"amount": 5})[1]["id"]
    asked = len(functions.calls)

    status, body, _ = command(call, name, refund_id, key="command-2")

    assert (status, body["error"]["code"]) == (404, "payment_not_found")
    assert len(functions.calls) == asked


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        (0, "invalid_amount"),
        (-1, "invalid_amount"),
        (10**8, "invalid_amount"),
        (10**12 - 1, "invalid_amount"),
        (10**40, "card_data_in_field"),
        (4201, "amount_too_large"),
        (1.5, "invalid_field"),
        (1.0, "invalid_field"),
        ("100", "invalid_field"),
        (True, "invalid_field"),
        ([1], "invalid_field"),
        (int(PAN), "card_data_in_field"),
    ],
)
@pytest.mark.parametrize("name", ["capture", "refund"])
def test_an_amount_that_cannot_be_is_refused_and_named(call, name, amount, code):
    payment_id = ready(call, name)
    before = books.find(payment_id)

    status, body, _ = command(call, name, payment_id, {"amount": amount})

    assert (status, body["error"]["code"], body["error"]["param"]) == (400, code, "amount")
    assert books.find(payment_id) == before


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("capture", {"reason": "x"}),
        ("capture", {"final": "yes"}),
        ("capture", {"final": None}),
        ("capture", ""),
        ("capture", "[]"),
        ("refund", ""),
        ("refund", {"final": True}),
        ("refund", {"reason": 5}),
        ("refund", {"reason": "x" * 501}),
        ("void", {"amount": 5}),
        ("void", "{"),
        ("void", "null"),
    ],
)
def test_a_bad_body_is_refused_and_nobody_is_asked(call, functions, name, body):
    payment_id = ready(call, name)
    asked = len(functions.calls)

    status, answer, _ = call("POST", f"/api/v1/payments/{payment_id}/{name}", body, {"Idempotency-Key": "k"})

    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
    assert len(functions.calls) == asked


@pytest.mark.parametrize("name", ROUTES)
@pytest.mark.parametrize("place", ["key", "reason", "field", "query"])
def test_a_card_number_is_refused_wherever_it_stands(call, functions, capsys, name, place):
    payment_id = ready(call, name)
    asked = len(functions.calls)
    body = {"reason": {"reason": f"card {PAN}"}, "field": {PAN: 1}}.get(place, {})
    kwargs = {"key": PAN} if place == "key" else {"query": {"x": PAN}} if place == "query" else {}

    status, answer, _ = command(call, name, payment_id, body, **kwargs)

    assert (status, answer["error"]["code"]) == (400, "card_data_in_field")
    assert PAN not in json.dumps(answer) + capsys.readouterr().out
    assert len(functions.calls) == asked


@pytest.mark.parametrize("name", ROUTES)
@pytest.mark.parametrize(("key", "code"), [("", "required"), (None, "required"), ("k" * 256, "too_long")])
def test_a_command_needs_a_key(call, name, key, code):
    payment_id = ready(call, name)
    headers = {"Idempotency-Key": key or ""}

    status, body, _ = call("POST", f"/api/v1/payments/{payment_id}/{name}", {}, headers)

    assert (status, body["error"]["code"]) == (400, f"idempotency_key_{code}")


def test_a_key_of_255_characters_is_good(call):
    assert command(call, "capture", approved(call), key="k" * 255)[0] == 200


@pytest.mark.parametrize(
    ("name", "first"), [("capture", "void"), ("void", "capture"), ("refund", None), ("refund", "void")]
)
def test_what_the_state_does_not_allow_is_a_conflict(call, name, first):
    payment_id = approved(call)
    if first:
        command(call, first, payment_id, key="first")

    status, body, headers = command(call, name, payment_id)

    assert (status, body["error"]["code"], body["error"]["payment_id"]) == (409, "payment_state_invalid", payment_id)
    assert "Retry-After" not in headers


@pytest.mark.parametrize("name", ROUTES)
def test_a_payment_that_the_network_has_not_decided_can_wait(call, name):
    _, made, _ = charge(call, {**BODY, "capture": False})

    assert command(call, name, made["id"])[1]["error"]["code"] == "payment_state_invalid"

    decide(made["id"])
    if name != "refund":
        assert command(call, name, made["id"])[0] == 200, "the refusal was not remembered"


def test_a_payment_that_others_are_changing_is_to_be_asked_again(call, functions):
    refusal = {"result": "refused", "code": "payment_busy", "message": "m", "param": None}
    functions.handlers["payments-ledger-command"] = lambda *_: refusal

    status, body, headers = command(call, "capture", approved(call))

    assert (status, body["error"]["code"], headers["Retry-After"]) == (409, "payment_busy", ["1"])


@pytest.mark.parametrize("name", ROUTES)
def test_a_ledger_that_breaks_says_nothing_and_the_request_may_be_sent_again(call, functions, capsys, name):
    payment_id = ready(call, name)
    real = functions.handlers["payments-ledger-command"]
    functions.handlers["payments-ledger-command"] = failing

    status, body, headers = command(call, name, payment_id)

    assert (status, body["error"]["code"], headers["Retry-After"]) == (503, "processing_failed", ["1"])
    assert body["error"]["payment_id"] == payment_id
    assert PAN not in json.dumps(body) + capsys.readouterr().out
    functions.handlers["payments-ledger-command"] = real
    assert command(call, name, payment_id)[0] in (200, 201)


def test_a_ledger_that_does_not_answer_in_time_is_asked_with_a_limit(call, monkeypatch):
    from botocore.exceptions import ReadTimeoutError

    asked = {}

    class Lambda:
        def invoke(self, **_):
            raise ReadTimeoutError(endpoint_url="x")

    def client(service, **limits):
        asked.update(limits)
        return Lambda()

    payment_id = approved(call)
    monkeypatch.setattr(commands, "client", client)

    assert command(call, "capture", payment_id)[0] == 503
    assert asked["read_timeout"] * asked["attempts"] < 29, "API Gateway's limit"


def test_the_ledger_is_told_what_the_contract_says(call, functions):
    payment_id = ready(call, "refund")

    command(call, "refund", payment_id, {"amount": 5, "reason": "x"}, key="k")

    name, asked = functions.calls[-1]
    fingerprint = requests.command_fingerprint("refund", payment_id, requests.RefundRequest(5, "x"))
    assert name == "payments-ledger-command"
    assert asked == {
        "command": "refund",
        "payment_id": payment_id,
        "merchant_id": MERCHANT,
        "origin": "merchant",
        "key": "k",
        "fingerprint": fingerprint,
        "amount": 5,
        "final": False,
        "reason": "x",
    }
    assert len(fingerprint) == 64


def test_refunds_never_exceed_what_was_captured(call):
    payment_id = ready(call, "refund")

    answers = [command(call, "refund", payment_id, {"amount": 1500}, key=f"r{n}") for n in range(4)]

    assert [status for status, *_ in answers] == [201, 201, 400, 400]
    assert answers[-1][1]["error"]["code"] == "amount_too_large"
    assert "1200" in answers[-1][1]["error"]["message"]


def test_a_fingerprint_is_of_the_command_the_payment_and_every_field():
    one, other = (identifiers.payment_id(MERCHANT, key) for key in "ab")
    asked = [
        (name, payment_id, request)
        for name in ROUTES
        for payment_id in (one, other)
        for request in (
            requests.CaptureRequest(),
            requests.CaptureRequest(5),
            requests.CaptureRequest(5, final=True),
            requests.VoidRequest(),
            requests.VoidRequest("x"),
            requests.RefundRequest(5),
            requests.RefundRequest(5, "x"),
        )
    ]

    assert len({requests.command_fingerprint(*one) for one in asked}) == len(asked)
