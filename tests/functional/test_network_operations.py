"""The card-network worker with captures, voids, refunds and disputes: told once, ended once, announced once."""

import json
from collections import Counter

import pytest

from functions.ledger import app as ledger
from functions.network import app, card_network, vault
from payments import books, events, replay
from payments.journal import EFFECTS
from payments.lifecycle import Status
from payments.tables import JournalItem, PaymentItem
from tests.functional.samples import AUTHORIZATION, CARD_FACTS, FRAUD, MERCHANT
from tests.functional.simulated_network import SimulatedNetwork


@pytest.fixture
def network(tmp_path, monkeypatch):
    monkeypatch.setattr(card_network, "_TIMEOUT_SECONDS", (1, 0.3))
    card_network._session.cache_clear()
    with SimulatedNetwork(tmp_path / "network.sqlite") as simulated:
        monkeypatch.setattr(card_network, "_base", lambda: simulated.url)
        yield simulated
    card_network._session.cache_clear()


@pytest.fixture
def published(monkeypatch):
    sent = []
    monkeypatch.setattr(events, "publish", lambda detail_type, *found: sent.extend((detail_type, e) for e in found))
    return sent


@pytest.fixture(autouse=True)
def the_vault(monkeypatch):
    monkeypatch.setattr(vault, "detokenize", lambda *_: CARD_FACTS)


@pytest.fixture
def charged(tables, new_charge, network, published):
    """Makes payments that the network has authorized."""

    def make(amount=4200, capture=True, key="key-1"):
        charge = new_charge(key=key, amount=amount, capture=capture)
        ledger.handler({"operation": "post", "charge": charge, "fraud": FRAUD}, None)
        assert deliver(charge["payment_id"]) == []
        return charge["payment_id"]

    return make


def deliver(payment_id, *operation_ids):
    """Delivers messages about the payment, or about these operations on it; which of them failed."""
    details = [{"payment_id": payment_id, "operation": name} for name in operation_ids] or [{"payment_id": payment_id}]
    records = [{"messageId": str(n), "body": json.dumps({"detail": detail})} for n, detail in enumerate(details)]
    return [item["itemIdentifier"] for item in app.handler({"Records": records}, None)["batchItemFailures"]]


def command(payment_id, name, amount=None, key=None, final=False):
    """Carries out a command; the id of the operation that the network must hear of."""
    asked = {"command": name, "payment_id": payment_id, "merchant_id": MERCHANT, "key": key or f"{name}-{amount}"}
    answer = ledger.command({**asked, "fingerprint": "f" * 64, "amount": amount, "final": final, "reason": None}, None)
    assert answer["result"] == "done", answer
    return books.find(payment_id).outstanding[-1].operation_id


def journals(payment_id):
    return [journal.journal_id for journal in books.journals(payment_id)]


def results(published):
    return [(event["type"], event["sequence"]) for kind, event in published if kind == events.PAYMENT_RESULT]


def test_captures_and_a_void_are_told_and_announced(charged, network, published):
    payment_id = charged(capture=False)
    first, second = command(payment_id, "capture", 1000), command(payment_id, "capture", 1500)
    void = command(payment_id, "void")

    assert deliver(payment_id, first, second, void) == []

    assert network.operations == [
        ("capture", 1000, "accepted"),
        ("capture", 1500, "accepted"),
        ("void", 1700, "accepted"),
    ]
    payment = books.find(payment_id)
    assert (payment.status, payment.amount_captured, payment.outstanding) == (Status.SUCCEEDED, 2500, ())
    assert journals(payment_id) == [AUTHORIZATION, first, second, void]
    assert results(published)[1:] == [("payment.captured", 3), ("payment.captured", 4), ("payment.canceled", 5)]
    assert books.pending(payment.shard, "9999", 10) == []


def test_a_refund_that_the_network_takes_is_posted(charged, network, published):
    payment_id = charged()
    refund = command(payment_id, "refund", 1000)

    assert deliver(payment_id, refund) == []

    assert network.operations == [("refund", 1000, "accepted")]
    assert journals(payment_id)[2:] == [refund, f"{refund}#succeeded"]
    payment = books.find(payment_id)
    assert (payment.status, payment.amount_refunded, payment.outstanding) == (Status.PARTIALLY_REFUNDED, 1000, ())
    kind, event = published[-1]
    assert (kind, event["type"], event["sequence"]) == ("payment_result", "refund.succeeded", 4)
    assert (event["data"]["id"], event["data"]["status"]) == (refund, "succeeded")


def test_a_refund_that_the_network_declines_is_released(charged, network, published):
    payment_id = charged()
    refund = command(payment_id, "refund", 1007)

    assert deliver(payment_id, refund) == []

    assert journals(payment_id)[2:] == [refund, f"{refund}#failed"]
    payment = books.find(payment_id)
    assert (payment.status, payment.amount_refunded, payment.refundable) == (Status.SUCCEEDED, 0, 4200)
    assert published[-1][1]["type"] == "refund.failed"
    assert published[-1][1]["data"]["failure"]["code"] == "refund_declined"


def test_a_hundred_deliveries_are_one_operation_one_end_and_one_event(charged, network, published):
    payment_id = charged()
    refund = command(payment_id, "refund", 1000)
    published.clear()

    assert deliver(payment_id, *[refund] * 100) == []

    assert network.operations == [("refund", 1000, "accepted")]
    assert journals(payment_id).count(f"{refund}#succeeded") == 1
    assert len({event["id"] for _, event in published}) == 1
    assert len({json.dumps(event) for _, event in published}) == 1, "the same event, in every word"


@pytest.mark.parametrize("name", ["capture", "void", "refund"])
@pytest.mark.parametrize("crash", ["before the network", "after the network", "before the event"])
def test_a_crash_at_any_point_is_mended_by_the_next_delivery(charged, network, published, monkeypatch, name, crash):
    payment_id = charged(capture=name == "refund")
    operation = command(payment_id, name, None if name == "void" else 1000)
    published.clear()
    broken = {"before the network": card_network, "after the network": books, "before the event": events}[crash]
    attribute = {"before the network": "tell", "after the network": "step", "before the event": "publish"}[crash]

    def fail(*_):
        raise RuntimeError(crash)

    with monkeypatch.context() as patched:
        patched.setattr(broken, attribute, fail)
        assert deliver(payment_id, operation) == ["0"]
    assert published == []

    assert deliver(payment_id, operation) == []
    assert [kind for kind, _, status in network.operations if status == "accepted"] == [name]
    assert len(results(published)) == 1
    assert books.find(payment_id).outstanding == ()


@pytest.mark.parametrize("name", ["capture", "void", "refund"])
def test_no_answer_is_settled_by_asking_what_became_of_it(charged, network, published, name):
    payment_id = charged(capture=name == "refund")
    operation = command(payment_id, name, None if name == "void" else 1000)
    network.trouble = "unanswered"

    assert deliver(payment_id, operation) == []

    assert books.find(payment_id).outstanding == ()
    assert [kind for kind, _, _ in network.operations] == [name]


def test_an_operation_that_the_network_never_answers_is_settled_too(charged, network, published):
    payment_id = charged()
    refund = command(payment_id, "refund", 1067)

    assert deliver(payment_id, refund) == []
    assert journals(payment_id)[2:] == [refund, f"{refund}#succeeded"]


@pytest.mark.parametrize("trouble", ["lost", 400, 409, 422, 429, 500, 503])
@pytest.mark.parametrize("name", ["capture", "void", "refund"])
def test_a_network_in_trouble_decides_nothing(charged, network, published, name, trouble):
    payment_id = charged(capture=name == "refund")
    operation = command(payment_id, name, None if name == "void" else 1000)
    before, published[:] = books.find(payment_id), []
    network.trouble = trouble

    assert deliver(payment_id, operation) == ["0"]
    assert (books.find(payment_id), published) == (before, [])

    network.trouble = None
    assert deliver(payment_id, operation) == []
    assert books.find(payment_id).outstanding == ()


def test_a_network_that_is_not_there_decides_nothing(charged, network, published, monkeypatch):
    payment_id = charged()
    refund = command(payment_id, "refund", 1000)
    monkeypatch.setattr(card_network, "_base", lambda: "http://127.0.0.1:1")

    assert deliver(payment_id, refund) == ["0"]
    assert books.find(payment_id).operation(refund)


def test_a_capture_without_the_networks_word_stays_outstanding(charged, network, published):
    payment_id = charged(capture=False)
    capture = command(payment_id, "capture", 1000)
    network.book.operate = lambda order: {**order, "status": "pending", "code": None}

    assert deliver(payment_id, capture) == ["0"]
    assert books.find(payment_id).operation(capture)


def elsewhere(network, payment_id, kind, amount):
    """What the other region has done, of which nothing has come here."""
    payment = books.find(payment_id)
    order = {"operation_ref": f"{kind}_elsewhere", "network_ref": payment.network_ref, "kind": kind}
    network.book.operate({**order, "amount": amount, "currency": "USD"})


def counted(capsys):
    return capsys.readouterr().out.count('"LedgerContradictions": 1')


def test_a_capture_that_the_network_refuses_is_taken_back(charged, network, published, capsys):
    payment_id = charged(capture=False)
    elsewhere(network, payment_id, "void", 4200)
    capture = command(payment_id, "capture", 1000)
    published.clear()

    assert deliver(payment_id, capture, capture) == []

    payment = books.find(payment_id)
    assert (payment.status, payment.amount_captured, payment.outstanding) == (Status.REQUIRES_CAPTURE, 0, ())
    assert journals(payment_id) == [AUTHORIZATION, capture, f"{capture}#refused"]
    refusal = books.find_journal(payment_id, f"{capture}#refused")
    assert (refusal.reverses, refusal.reason) == (capture, "amount_exceeded")
    first, again = published
    assert first == again
    assert (first[1]["type"], first[1]["data"]["amount_captured"]) == ("payment.capture_failed", 0)
    assert counted(capsys) == 1
    assert replay.mended(payment, books.journals(payment_id), "x") is payment


def test_what_was_booked_of_a_refused_capture_is_nothing(charged, network, published):
    """Every account is as before: the fee is given back, the network owes nothing, the amount is reserved."""
    payment_id = charged(capture=False)
    before = accounts(payment_id)
    elsewhere(network, payment_id, "void", 4200)
    capture = command(payment_id, "capture", 1000, final=True)

    deliver(payment_id, capture)

    assert accounts(payment_id) == before


def accounts(payment_id):
    """What each account has come to, pending and posted."""
    found = Counter()
    for entry in (entry for journal in books.journals(payment_id) for entry in journal.entries):
        for phase, factor in zip(("pending", "posted"), EFFECTS[entry.phase], strict=True):
            found[entry.account, phase] += factor * entry.signed
    return {name: amount for name, amount in found.items() if amount}


def test_a_void_that_the_network_refuses_is_taken_back(charged, network, published, capsys):
    payment_id = charged(capture=False)
    elsewhere(network, payment_id, "capture", 1000)
    void = command(payment_id, "void")
    published.clear()

    assert deliver(payment_id, void) == []

    payment = books.find(payment_id)
    assert (payment.status, payment.amount_released, payment.capturable) == (Status.REQUIRES_CAPTURE, 0, 4200)
    assert [event["type"] for _, event in published] == ["payment.void_failed"]
    assert counted(capsys) == 1


def test_what_a_final_capture_cannot_release_stays_authorized(charged, network, published, capsys):
    payment_id = charged(capture=False)
    elsewhere(network, payment_id, "void", 1)
    capture = command(payment_id, "capture", 1000, final=True)
    published.clear()

    assert deliver(payment_id, capture, capture) == []

    payment = books.find(payment_id)
    assert (payment.status, payment.amount_captured, payment.capturable) == (Status.PARTIALLY_CAPTURED, 1000, 3200)
    assert journals(payment_id)[1:] == [capture, f"{capture}#rest#refused"]
    assert {event["type"] for _, event in published} == {"payment.captured"}
    assert counted(capsys) == 1
    assert replay.mended(payment, books.journals(payment_id), "x") is payment


def test_a_refund_of_a_capture_that_the_network_refuses_fails(charged, network, published):
    payment_id = charged(capture=False)
    elsewhere(network, payment_id, "void", 4200)
    capture, refund = command(payment_id, "capture"), command(payment_id, "refund", 1000)

    assert deliver(payment_id, refund, capture) == []

    payment = books.find(payment_id)
    assert (payment.amount_captured, payment.amount_refunded, payment.outstanding) == (0, 0, ())
    types = {event["type"] for _, event in published}
    assert types >= {"refund.failed", "payment.capture_failed"}
    assert replay.mended(payment, books.journals(payment_id), "x") is payment


@pytest.mark.parametrize("broken", ["step", "publish"])
def test_a_crash_within_a_refusal_is_mended_by_the_next_delivery(charged, network, published, monkeypatch, broken):
    payment_id = charged(capture=False)
    elsewhere(network, payment_id, "void", 4200)
    capture = command(payment_id, "capture")
    published.clear()

    def fail(*_):
        raise RuntimeError(broken)

    with monkeypatch.context() as patched:
        patched.setattr(books if broken == "step" else events, broken, fail)
        assert deliver(payment_id, capture) == ["0"]

    assert deliver(payment_id, capture) == []
    assert journals(payment_id)[1:] == [capture, f"{capture}#refused"]
    assert len(results(published)) == 1


def test_a_refusal_waits_for_the_journal_that_it_takes_back(charged, network, published):
    payment_id = charged(capture=False)
    elsewhere(network, payment_id, "void", 4200)
    capture = command(payment_id, "capture")
    journal = JournalItem.get(payment_id, capture)
    journal.delete()

    assert deliver(payment_id, capture) == ["0"]
    assert journals(payment_id) == [AUTHORIZATION]
    journal.save()
    assert deliver(payment_id, capture) == []
    assert journals(payment_id)[1:] == [capture, f"{capture}#refused"]


def test_an_older_copy_of_the_payment_does_not_undo_a_refusal(charged, network, published):
    payment_id = charged(capture=False)
    elsewhere(network, payment_id, "void", 4200)
    capture = command(payment_id, "capture")
    older = PaymentItem.get(payment_id)
    deliver(payment_id, capture)
    older.save()

    assert deliver(payment_id, capture) == []

    payment = books.find(payment_id)
    assert (payment.amount_captured, payment.outstanding) == (0, ())
    assert journals(payment_id)[1:] == [capture, f"{capture}#refused"]


def test_what_a_final_capture_releases_is_told_too(charged, network, published):
    payment_id = charged(capture=False)
    capture = command(payment_id, "capture", 1000, final=True)

    assert deliver(payment_id, capture, capture) == []

    assert network.operations == [("capture", 1000, "accepted"), ("void", 3200, "accepted")]
    assert network.book.operation(f"{capture}#rest")["amount"] == 3200
    assert len(results(published)[1:]) == 2
    assert {event["type"] for _, event in published[-2:]} == {"payment.captured"}


def test_a_release_that_was_lost_after_its_capture_is_told_again(charged, network, published, monkeypatch):
    payment_id, telling = charged(capture=False), card_network.tell
    capture = command(payment_id, "capture", 1000, final=True)

    def loses_the_release(payment, operation):
        network.trouble = "lost" if operation.kind == "void" else None
        return telling(payment, operation)

    monkeypatch.setattr(card_network, "tell", loses_the_release)
    assert deliver(payment_id, capture) == ["0"], "the capture's own yes is no answer about the release"
    assert books.find(payment_id).operation(capture)
    network.trouble = None
    monkeypatch.setattr(card_network, "tell", telling)

    assert deliver(payment_id, capture) == []
    assert network.operations == [("capture", 1000, "accepted"), ("void", 3200, "accepted")]


def test_a_release_that_was_not_answered_is_asked_for_under_its_own_name(charged, network, published):
    payment_id = charged(capture=False)
    capture = command(payment_id, "capture", 1000, final=True)
    network.trouble = "unanswered"

    assert deliver(payment_id, capture) == []
    assert network.operations == [("capture", 1000, "accepted"), ("void", 3200, "accepted")]


def test_a_refund_that_overtakes_its_capture_brings_it_along(charged, network, published):
    payment_id = charged(capture=False)
    capture, refund = command(payment_id, "capture"), command(payment_id, "refund", 1000)
    published.clear()

    assert deliver(payment_id, refund) == []

    assert [kind for kind, _, _ in network.operations] == ["capture", "refund"]
    assert books.find(payment_id).operation(capture), "it has a message of its own"
    assert [event["type"] for _, event in published] == ["refund.succeeded"]
    assert deliver(payment_id, capture) == []
    assert [kind for kind, _, _ in network.operations] == ["capture", "refund"]
    assert {event["type"] for _, event in published} == {"refund.succeeded", "payment.captured"}
    assert books.find(payment_id).outstanding == ()


def test_a_void_does_not_overtake_a_capture(charged, network, published):
    payment_id = charged(capture=False)
    command(payment_id, "capture", 1000)
    void = command(payment_id, "void")

    deliver(payment_id, void)

    assert network.operations == [("capture", 1000, "accepted"), ("void", 3200, "accepted")]


def test_refunds_do_not_wait_for_one_another(charged, network, published):
    payment_id = charged()
    first, second = command(payment_id, "refund", 1000), command(payment_id, "refund", 500)

    assert deliver(payment_id, second) == []

    assert network.operations == [("refund", 500, "accepted")]
    assert [found.operation_id for found in books.find(payment_id).outstanding] == [first]


def test_what_happens_to_the_payment_while_the_network_is_asked_is_not_lost(charged, network, published, monkeypatch):
    payment_id = charged()
    first, telling = command(payment_id, "refund", 1000), card_network.tell

    def meanwhile(payment, operation):
        monkeypatch.setattr(card_network, "tell", telling)
        command(payment_id, "refund", 500)
        command(payment_id, "open_dispute", 700)
        return telling(payment, operation)

    monkeypatch.setattr(card_network, "tell", meanwhile)
    assert deliver(payment_id, first) == []

    payment = books.find(payment_id)
    assert (payment.status, payment.amount_refunded, payment.dispute.amount) == (Status.DISPUTED, 1500, 700)
    assert [found.kind for found in payment.outstanding] == ["refund", "announce"]
    assert replay.mended(payment, books.journals(payment_id), "x") == payment, "the journals say the same"


def test_two_workers_with_one_operation_end_it_once(charged, network, published, monkeypatch):
    payment_id = charged()
    refund, telling = command(payment_id, "refund", 1000), card_network.tell

    def twin_is_faster(payment, operation):
        monkeypatch.setattr(card_network, "tell", telling)
        assert deliver(payment_id, refund) == []
        return telling(payment, operation)

    monkeypatch.setattr(card_network, "tell", twin_is_faster)
    assert deliver(payment_id, refund) == []

    assert (network.operations, network.asked) == ([("refund", 1000, "accepted")], 2)
    assert books.find(payment_id).amount_refunded == 1000
    assert results(published)[1:] == [("refund.succeeded", 4)] * 2


def test_a_busy_payment_is_tried_again_and_in_the_end_left_to_the_queue(charged, network, published, monkeypatch):
    payment_id, step, tries = charged(), books.step, []
    refund = command(payment_id, "refund", 1000)
    monkeypatch.setattr("functions.network.operations._LONGEST_WAIT_SECONDS", 0)

    def busy(times):
        def contended(*arguments):
            tries.append(arguments)
            if len(tries) <= times:
                raise books.Contention(payment_id)
            return step(*arguments)

        return contended

    monkeypatch.setattr(books, "step", busy(1000))
    assert deliver(payment_id, refund) == ["0"]
    tries.clear()
    monkeypatch.setattr(books, "step", busy(5))
    assert deliver(payment_id, refund) == []
    assert books.find(payment_id).outstanding == ()


@pytest.mark.parametrize(("end", "status"), [("win_dispute", "won"), ("lose_dispute", "lost")])
def test_disputes_are_announced_and_the_network_is_not_asked(charged, network, published, end, status):
    payment_id = charged()
    opened = command(payment_id, "open_dispute", 4200)
    assert deliver(payment_id, opened) == []
    ended = command(payment_id, end)
    assert deliver(payment_id, ended) == []

    assert network.asked == 0
    assert [(event["type"], event["data"]["status"]) for _, event in published if event["type"][:7] == "dispute"] == [
        ("dispute.opened", "open"),
        (f"dispute.{status}", status),
    ]
    assert books.find(payment_id).outstanding == ()


def test_an_operation_or_a_payment_that_is_not_here_comes_back(charged, network, published):
    payment_id = charged()
    published.clear()

    assert deliver(payment_id, "ref_00" + "a" * 24) == ["0"]
    assert deliver("pay_00" + "a" * 24, "ref_00" + "a" * 24) == ["0"]
    assert published == []


def test_a_refund_whose_state_was_overwritten_by_an_older_copy_ends_as_its_journal_says(charged, network, published):
    payment_id = charged()
    refund = command(payment_id, "refund", 1000)
    older = PaymentItem.get(payment_id)
    deliver(payment_id, refund)
    older.save()

    assert deliver(payment_id, refund) == []

    payment = books.find(payment_id)
    assert (payment.outstanding, payment.amount_refunded) == ((), 1000)
    assert journals(payment_id).count(f"{refund}#succeeded") == 1


def test_the_decision_is_announced_the_same_after_the_payment_has_moved_on(charged, network, published):
    payment_id = charged()
    refund = command(payment_id, "refund")
    deliver(payment_id, refund)
    assert books.find(payment_id).status is Status.REFUNDED

    assert deliver(payment_id) == []

    first, again = (event for kind, event in published if event["type"] == "payment.succeeded")
    assert (first["id"], first["sequence"]) == (again["id"], again["sequence"])
    assert network.asked == 1
