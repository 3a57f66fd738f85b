"""Charges in review: listed, shown with their reasons, approved, declined; each once, and with who did it."""

import itertools
from dataclasses import replace

import pytest

from functions.ledger import app as ledger_function
from functions.operations import review_queue
from payments import books, clients, identifiers, lifecycle, reasons, records, regions
from payments.lifecycle import Authorization, Failure
from payments.tables import PaymentItem
from tests.functional.conftest import charge, write_here
from tests.functional.operations.conftest import ALICE, BOB
from tests.functional.samples import MERCHANT

AT = "2026-11-23T10:00:{:02}.000Z"
REASON = {"reason": "spoke with the customer"}
SCORED = {
    "score": 71,
    "decision": "review",
    "reasons": ["amount", "device_velocity"],
    "model": "lightgbm-1",
    "degraded": False,
    "features_hash": "0123456789abcdef",
    "rule": None,
}


@pytest.fixture(autouse=True)
def published(monkeypatch):
    """What the ledger tells the network worker."""
    told = []
    monkeypatch.setattr("payments.events.publish", lambda kind, *events: told.extend(events))
    return told


def post(number, fraud=SCORED, **changes):
    """A charge as the saga writes it; its payment id."""
    asked = charge(f"key-{number}", created_at=AT.format(number), **changes)
    operation = "record_blocked" if fraud["decision"] == "block" else "post"
    ledger_function.handler({"operation": operation, "charge": asked, "fraud": fraud}, None)
    return asked["payment_id"]


def decided_by_the_network(payment_id, declined=None):
    answer = Authorization(declined)
    payment = books.find(payment_id, consistent=True)
    return books.step(payment, *lifecycle.decide(payment, answer, AT.format(59)))


def listed(call, **query):
    status, body, _ = call("GET", "/reviews", query={name: str(value) for name, value in query.items()} or None)
    assert status == 200, body
    return [review["id"] for review in body["data"]], body


def index():
    """What stands in the sparse index, whatever the payments say."""
    return {item.payment_id for number in range(16) for item in PaymentItem.to_review.query(f"open#{number}")}


def test_what_is_in_review_is_listed_the_oldest_first(call):
    wanted = [post(number) for number in (3, 1, 2)]
    post(4, {**SCORED, "decision": "allow"})
    post(5, {**SCORED, "decision": "block"})

    found, body = listed(call)

    assert found == [wanted[1], wanted[2], wanted[0]]
    assert index() == set(wanted), "nothing else is written to the index, which is paid by the write"
    assert body["data"][0]["payment"]["status"] == "pending"


def test_a_review_shows_score_reasons_in_words_and_model(call):
    payment_id = post(1)

    status, body, _ = call("GET", f"/reviews/{payment_id}")

    assert status == 200
    shown = {name: body[name] for name in ("score", "decision", "model", "degraded", "rule", "features_hash", "open")}
    assert shown == {**{name: value for name, value in SCORED.items() if name != "reasons"}, "open": True}
    assert body["reasons"] == [reasons.told("amount"), reasons.told("device_velocity")]
    assert all(reason["text"] for reason in body["reasons"])
    assert (body["merchant_id"], body["payment"]["id"], body["review_decision"]) == (MERCHANT, payment_id, None)
    assert body["audit"] == [{"at": AT.format(1), "by": "lightgbm-1", "what": "review", "reason": None}]
    assert "bin8" not in body["payment"]["card"], "no more of a card than merchants see"


def test_codes_are_stored_and_texts_are_not(call):
    post(1)

    (item,) = clients.client("dynamodb").scan(TableName="payments")["Items"]
    stored = records.plain(item)["fraud"]
    assert stored == {name: value for name, value in SCORED.items() if value is not None} | {"review": True}


@pytest.mark.parametrize("decision", ["allow", "block"])
def test_any_scored_charge_can_be_shown_but_not_decided(call, decision):
    payment_id = post(1, {**SCORED, "decision": decision, "rule": "global/list/card"})

    _, body, _ = call("GET", f"/reviews/{payment_id}")
    refused = call("POST", f"/reviews/{payment_id}/decline", REASON, key="1")

    assert (body["decision"], body["open"], body["rule"]) == (decision, False, "global/list/card")
    assert [reason["code"] for reason in body["reasons"]] == SCORED["reasons"]
    assert (refused[0], refused[1]["error"]["code"]) == (409, "not_in_review")
    assert books.find(payment_id).review_decision is None


@pytest.mark.parametrize("unknown", [identifiers.payment_id(MERCHANT, "none"), "pay_x", "cmd_00" + "a" * 24])
def test_what_is_no_scored_payment_is_not_found(call, unknown):
    for method, path, body in (("GET", "", None), ("POST", "/approve", REASON), ("POST", "/decline", REASON)):
        status, answer, _ = call(method, f"/reviews/{unknown}{path}", body, key="1")
        assert (status, answer["error"]["code"]) == (404, "review_not_found")


def test_pages_lead_on_from_a_payment_that_was_decided_meanwhile(call):
    payments = [post(number) for number in range(7)]

    first, body = listed(call, limit=3)
    call("POST", f"/reviews/{first[-1]}/approve", REASON, key="1")
    rest, end = listed(call, limit=10, starting_after=body["next_cursor"])
    back, _ = listed(call, limit=2, ending_before=rest[0])

    assert first + rest == payments
    assert (body["has_more"], end["has_more"]) == (True, False)
    assert back == payments[:2], "the decided one is gone, the page goes on without it"


def test_payments_of_one_instant_are_each_on_exactly_one_page(call):
    at = AT.format(1)
    payments = set()
    for number in range(9):
        asked = charge(f"key-{number}", created_at=at)
        ledger_function.handler({"operation": "post", "charge": asked, "fraud": SCORED}, None)
        payments.add(asked["payment_id"])

    found, cursor = [], {}
    for _ in range(9):
        page, body = listed(call, limit=2, **cursor)
        found += page
        if not body["has_more"]:
            break
        cursor = {"starting_after": body["next_cursor"]}

    assert found == sorted(payments)


def test_filters_are_by_merchant_score_and_what_is_degraded(call):
    mine = post(1)
    high = post(2, {**SCORED, "score": 79})
    degraded = post(3, {**SCORED, "score": 0, "degraded": True, "model": "rules"})

    assert listed(call, merchant=MERCHANT)[0] == [mine, high, degraded]
    assert listed(call, merchant="mer_other")[0] == []
    assert listed(call, min_score=72)[0] == [high]
    assert listed(call, degraded="true")[0] == [degraded]
    assert listed(call, degraded="false", min_score=71)[0] == [mine, high]
    for wrong in ({"degraded": "yes"}, {"min_score": 101}, {"starting_after": "pay_x"}, {"status": "pending"}):
        assert call("GET", "/reviews", query={name: str(value) for name, value in wrong.items()})[0] == 400


def test_a_filter_that_fits_few_ends_a_page_and_says_where_to_go_on(call, monkeypatch):
    monkeypatch.setattr(review_queue, "MAXIMUM_CANDIDATES", 2)
    monkeypatch.setattr(review_queue, "_BATCH", 2)
    payments = [post(number, {**SCORED, "score": 60 + number}) for number in range(5)]

    found, sizes, cursor = [], [], {}
    while True:
        page, body = listed(call, min_score=63, **cursor)
        found, sizes = found + page, [*sizes, len(page)]
        if not body["has_more"]:
            break
        cursor = {"starting_after": body["next_cursor"]}

    assert found == payments[3:]
    assert len(sizes) > 1 and sizes[0] == 0


def test_an_approved_payment_leaves_the_queue_and_stays_as_it_is(call):
    payment_id = post(1)
    before = decided_by_the_network(payment_id)

    status, body, _ = call("POST", f"/reviews/{payment_id}/approve", REASON, key="1")

    assert (status, body["decision"], body["by"], body["reason"]) == (200, "approve", ALICE, REASON["reason"])
    assert (body["operations"], body["payment"]["status"]) == ([], "succeeded")
    after = books.find(payment_id)
    assert replace(after, review_decision=None) == before, "no step of the payment: nothing else changed"
    assert (index(), listed(call)[0]) == (set(), [])
    _, shown, _ = call("GET", f"/reviews/{payment_id}")
    assert (shown["open"], shown["review_decision"]["by"]) == (False, ALICE)
    assert [(entry["what"], entry["by"]) for entry in shown["audit"]] == [("review", "lightgbm-1"), ("approve", ALICE)]


def test_a_pending_payment_may_be_approved_before_the_network_answers(call):
    payment_id = post(1)
    assert call("POST", f"/reviews/{payment_id}/approve", REASON, key="1")[0] == 200
    assert decided_by_the_network(payment_id).status == "succeeded"
    assert books.find(payment_id).review_decision.decision == "approve"


def test_a_pending_payment_cannot_be_declined_yet(call):
    payment_id = post(1)
    early = call("POST", f"/reviews/{payment_id}/decline", REASON, key="1")
    decided_by_the_network(payment_id)
    later = call("POST", f"/reviews/{payment_id}/decline", REASON, key="1")

    assert (early[0], early[1]["error"]["code"]) == (409, "payment_state_invalid")
    assert early[2]["multiValueHeaders"]["Retry-After"] == ["1"]
    assert later[0] == 200


def test_declining_an_authorization_voids_it(call, published):
    payment_id = post(1, capture=False)
    decided_by_the_network(payment_id)

    status, body, _ = call("POST", f"/reviews/{payment_id}/decline", REASON, key="1")

    assert (status, body["payment"]["status"]) == (200, "canceled")
    (operation,) = body["operations"]
    assert operation.startswith("vod_")
    assert [event["operation"] for event in published if event["type"] == "payment_command"] == [operation]
    assert books.current(payment_id)[0] == books.find(payment_id), "the payment and its journals agree"
    (voided,) = [journal for journal in books.journals(payment_id) if journal.journal_id == operation]
    assert voided.reason == "review_declined", "the operator's words are not for the merchant"


def test_declining_a_captured_payment_refunds_it_whole(call, published):
    payment_id = post(1)
    decided_by_the_network(payment_id)

    status, body, _ = call("POST", f"/reviews/{payment_id}/decline", REASON, key="1")

    assert (status, body["payment"]["status"], body["payment"]["amount_refunded"]) == (200, "refunded", 4200)
    (operation,) = body["operations"]
    assert operation.startswith("ref_")
    assert books.find(payment_id).outstanding[0].operation_id == operation, "the sweeper finds it if the event is lost"


def test_declining_what_is_captured_in_part_returns_both_parts_in_one_transaction(call, published):
    payment_id = post(1, capture=False)
    payment = decided_by_the_network(payment_id)
    captured = {"command": "capture", "payment_id": payment_id, "merchant_id": MERCHANT, "amount": 1000}
    ledger_function.command({**captured, "key": "c", "fingerprint": "f", "origin": "merchant"}, None)

    status, body, _ = call("POST", f"/reviews/{payment_id}/decline", REASON, key="1")

    assert (status, body["payment"]["status"]) == (200, "refunded")
    assert [operation[:3] for operation in body["operations"]] == ["vod", "ref"]
    after = books.find(payment_id)
    assert (after.amount_captured, after.amount_released, after.amount_refunded) == (1000, 3200, 1000)
    assert after.sequence == payment.sequence + 3
    assert books.current(payment_id)[0] == after, "the payment and its journals agree"


def test_declining_what_was_refunded_already_returns_nothing_twice(call):
    payment_id = post(1)
    decided_by_the_network(payment_id)
    refund = {"command": "refund", "payment_id": payment_id, "merchant_id": MERCHANT, "key": "r", "fingerprint": "f"}
    ledger_function.command(refund, None)

    status, body, _ = call("POST", f"/reviews/{payment_id}/decline", REASON, key="1")

    assert (status, body["operations"], body["payment"]["amount_refunded"]) == (200, [], 4200)
    assert books.find(payment_id).review_decision.decision == "decline", "it is a label all the same"


def test_what_the_network_declines_leaves_the_queue_by_itself(call):
    payment_id = post(1)
    decided_by_the_network(payment_id, Failure("card_declined", "Declined."))

    assert (index(), listed(call)[0]) == (set(), [])
    assert call("POST", f"/reviews/{payment_id}/decline", REASON, key="1")[1]["operations"] == []


def test_the_same_request_again_is_answered_as_before(call):
    payment_id = post(1)
    decided_by_the_network(payment_id)

    first, again = (call("POST", f"/reviews/{payment_id}/decline", REASON, key="1") for _ in range(2))

    assert first[1] == again[1]
    assert "Idempotent-Replayed" not in first[2]["multiValueHeaders"]
    assert again[2]["multiValueHeaders"]["Idempotent-Replayed"] == ["true"]
    assert len(books.journals(payment_id)) == 3


@pytest.mark.parametrize("moved", [{"primary": "us-west-2"}, {"since": "2999-01-01T00:00:00Z"}])
@pytest.mark.parametrize("decision", ["approve", "decline"])
def test_while_the_shard_moves_a_decision_is_to_be_sent_again(call, decision, moved):
    payment_id = post(1)
    decided_by_the_network(payment_id)
    write_here(epoch=1, **moved)

    answer = call("POST", f"/reviews/{payment_id}/{decision}", REASON, key="1")

    assert (answer[0], answer[1]["error"]["code"]) == (503, "processing_failed")
    assert answer[2]["multiValueHeaders"]["Retry-After"] == ["1"]
    assert books.find(payment_id).review_decision is None
    write_here(epoch=2)
    assert call("POST", f"/reviews/{payment_id}/{decision}", REASON, key="1")[0] == 200


def test_a_key_serves_one_request(call):
    one, other = post(1), post(2)
    call("POST", f"/reviews/{one}/approve", REASON, key="1")

    for path, body in ((f"{one}/decline", REASON), (f"{one}/approve", {"reason": "x"}), (f"{other}/approve", REASON)):
        status, answer, _ = call("POST", f"/reviews/{path}", body, key="1")
        assert (status, answer["error"]["code"]) == (422, "idempotency_key_reused")
    assert books.find(other).review_decision is None


def test_an_operators_key_is_not_a_merchants(call):
    payment_id = post(1, capture=False)
    decided_by_the_network(payment_id)
    voided = {"command": "void", "payment_id": payment_id, "merchant_id": MERCHANT, "key": "1", "fingerprint": "f"}
    ledger_function.command({**voided, "origin": "merchant"}, None)

    assert call("POST", f"/reviews/{payment_id}/approve", REASON, key="1")[0] == 200


@pytest.mark.parametrize(("first", "second"), itertools.product(("approve", "decline"), repeat=2))
def test_of_two_operators_the_first_decides(call, first, second):
    payment_id = post(1)
    decided_by_the_network(payment_id)

    assert call("POST", f"/reviews/{payment_id}/{first}", REASON, key="1", arn=ALICE)[0] == 200
    status, body, _ = call("POST", f"/reviews/{payment_id}/{second}", {"reason": "me too"}, key="2", arn=BOB)

    assert (status, body["error"]["code"]) == (409, "not_in_review")
    stored = books.find(payment_id)
    assert (stored.review_decision.decision, stored.review_decision.by) == (first, ALICE)
    assert stored.amount_refunded == (4200 if first == "decline" else 0)


@pytest.mark.parametrize(("first", "second"), itertools.product(("approve", "decline"), repeat=2))
def test_who_reads_before_and_writes_after_another_decision_changes_nothing(call, monkeypatch, first, second):
    payment_id = post(1)
    decided_by_the_network(payment_id)
    execute = books.execute

    def overtaken(*arguments):
        monkeypatch.setattr(books, "execute", execute)
        assert call("POST", f"/reviews/{payment_id}/{first}", REASON, key="1", arn=ALICE)[0] == 200
        return execute(*arguments)

    monkeypatch.setattr(books, "execute", overtaken)
    status, body, _ = call("POST", f"/reviews/{payment_id}/{second}", REASON, key="2", arn=BOB)

    assert (status, body["error"]["code"]) == (409, "not_in_review")
    stored, journals = books.current(payment_id)
    assert (stored.review_decision.decision, stored.review_decision.by) == (first, ALICE)
    assert (stored.amount_refunded, len(journals)) == ((4200, 3) if first == "decline" else (0, 2))


@pytest.mark.parametrize("decision", ["approve", "decline"])
def test_the_same_request_twice_at_once_is_one_decision_and_one_answer(call, monkeypatch, decision):
    payment_id = post(1)
    decided_by_the_network(payment_id)
    execute, answers = books.execute, []

    def overtaken(*arguments):
        monkeypatch.setattr(books, "execute", execute)
        answers.append(call("POST", f"/reviews/{payment_id}/{decision}", REASON, key="1"))
        return execute(*arguments)

    monkeypatch.setattr(books, "execute", overtaken)
    answers.append(call("POST", f"/reviews/{payment_id}/{decision}", REASON, key="1"))

    assert [answer[0] for answer in answers] == [200, 200]
    assert answers[0][1] == answers[1][1]
    assert len(books.journals(payment_id)) == (3 if decision == "decline" else 2)


@pytest.mark.parametrize("decision", ["approve", "decline"])
def test_a_step_of_the_payment_between_reading_and_deciding_is_not_lost(call, monkeypatch, decision):
    payment_id = post(1)
    decided_by_the_network(payment_id)
    execute = books.execute

    def overtaken(*arguments):
        monkeypatch.setattr(books, "execute", execute)
        partly = {"command": "refund", "payment_id": payment_id, "merchant_id": MERCHANT, "amount": 1000}
        ledger_function.command({**partly, "key": "r", "fingerprint": "f", "origin": "merchant"}, None)
        return execute(*arguments)

    monkeypatch.setattr(books, "execute", overtaken)
    assert call("POST", f"/reviews/{payment_id}/{decision}", REASON, key="1")[0] == 200

    stored, journals = books.current(payment_id)
    assert stored.amount_refunded == (4200 if decision == "decline" else 1000)
    refunds = [entry for journal in journals if journal.journal_id.startswith("ref_") for entry in journal.entries]
    assert sum(entry.amount for entry in refunds if entry.side == "debit") == stored.amount_refunded


def test_a_copy_that_is_mended_keeps_what_was_decided(call):
    """Global tables keep the last writer's payment; one that is older than its journals is mended, decision and all."""
    payment_id = post(1)
    decided_by_the_network(payment_id)
    call("POST", f"/reviews/{payment_id}/decline", REASON, key="1")
    item = PaymentItem.get(payment_id)
    item.update(actions=[PaymentItem.amount_refunded.remove(), PaymentItem.status.set("succeeded")])

    mended, _ = books.current(payment_id)

    assert (mended.status, mended.review_decision.decision) == ("refunded", "decline")
    assert books.find(payment_id).review_decision == mended.review_decision


def test_it_is_done_in_the_region_that_writes_for_the_merchant(call, services, monkeypatch):
    payment_id = post(1)
    asked = []
    monkeypatch.setattr(regions, "primary", lambda shard: asked.append(shard) or "us-west-2")
    monkeypatch.setattr(regions, "endpoints", lambda: {"us-west-2": "http://west"})
    made = []
    monkeypatch.setattr(
        "functions.operations.review_commands.client", lambda *args, **_: made.append(args) or services.functions
    )

    assert call("POST", f"/reviews/{payment_id}/approve", REASON, key="1")[0] == 200

    assert made == [("lambda", "us-west-2", "http://west")]
    assert asked == [identifiers.merchant_shard(MERCHANT)]
    (name, request) = services.functions.calls[-1]
    assert (name, request["command"], request["by"], request["origin"]) == (
        "payments-ledger-command",
        "approve",
        ALICE,
        "operator",
    )


def test_a_ledger_that_does_not_answer_is_said_and_the_same_request_finishes_it(call, services):
    payment_id = post(1)
    real = services.functions.handlers["payments-ledger-command"]

    def answers_and_is_lost(request, context):
        real(request, context)
        raise TimeoutError

    services.functions.handlers["payments-ledger-command"] = answers_and_is_lost
    lost = call("POST", f"/reviews/{payment_id}/approve", REASON, key="1")
    services.functions.handlers["payments-ledger-command"] = real
    again = call("POST", f"/reviews/{payment_id}/approve", REASON, key="1")

    assert (lost[0], lost[1]["error"]["code"]) == (503, "processing_failed")
    assert (again[0], again[1]["decision"]) == (200, "approve")


@pytest.mark.parametrize(
    ("body", "key", "code"),
    [
        (REASON, None, "idempotency_key_required"),
        ({}, "1", "invalid_field"),
        ({"reason": ""}, "1", "invalid_field"),
        ({"reason": "x" * 501}, "1", "invalid_field"),
        ({"reason": "x", "amount": 1}, "1", "invalid_field"),
        ({"reason": "card 4242 4242 4242 4242"}, "1", "card_data_in_field"),
        ("no json", "1", "invalid_json"),
    ],
)
def test_what_is_malformed_is_refused_and_decides_nothing(call, body, key, code):
    payment_id = post(1)
    for decision in ("approve", "decline"):
        status, answer, _ = call("POST", f"/reviews/{payment_id}/{decision}", body, key=key)
        assert (status, answer["error"]["code"]) == (400, code)
    assert index() == {payment_id}


def test_a_payment_from_before_there_were_decisions_is_shown_and_in_no_queue(call):
    payment_id = post(1)
    item = PaymentItem.get(payment_id)
    item.update(
        actions=[
            PaymentItem.fraud.set({"score": 3, "reasons": [], "model": "old", "degraded": True, "review": True}),
            PaymentItem.review.remove(),
        ]
    )

    status, body, _ = call("GET", f"/reviews/{payment_id}")
    assert (status, body["decision"], body["open"]) == (200, None, False)
    assert call("POST", f"/reviews/{payment_id}/approve", REASON, key="1")[1]["error"]["code"] == "not_in_review"
