"""Settlement files full of planted errors: each is reported in its class, nothing else is open, and the books agree."""

from collections import Counter

import pytest

from local.operations import Operations
from local.planting_kinds import KINDS
from local.settle_commands import findings
from payments.identifiers import command_id, operation_id
from tests.e2e.cloud import FIRST, until
from tests.e2e.settlements import PLANTED, REGIONS, Story, movement, network_ref, payment_id, region_of


@pytest.fixture(scope="module")
def story(reconciling_cloud):
    """Thousands of payments, and their settlement with errors planted."""
    story = Story(reconciling_cloud)
    story.happen()
    story.settle()
    return story


def nonzero(sums):
    return {place: amount for place, amount in sums.items() if amount}


def test_every_planted_error_is_found_in_its_class_and_nothing_else_is_open(story):
    assert {mark.kind for mark in story.planted.marks} == {*KINDS, "refused_chargeback", "orphan"}
    assert PLANTED.keys() == KINDS.keys()
    assert "\n".join(findings(story.settled)) == ""


def test_what_is_open_is_at_risk_as_planted(story):
    at_risk = Counter()
    for mark in story.planted.marks:
        at_risk[mark.row.currency] += mark.at_risk

    assert nonzero(story.settled.last["at_risk"]) == nonzero(at_risk)


def test_every_movement_and_every_line_has_one_class(story):
    settled = {movement(row) for file in story.honest for row in file.rows}
    lines = {row.line_ref for file in story.planted.files for row in file.rows}
    rejected = {mark.line_ref for mark in story.planted.marks if mark.class_ is None}
    found = Counter(record["line_ref"] for record in story.settled.records if record.get("line_ref"))

    assert len(settled) > 2000
    assert found == Counter(lines - rejected)


def test_a_file_that_broke_off_is_refused_as_a_whole_and_one_that_came_twice_is_known(story):
    results = Counter(file["result"] for report in story.settled.reports for file in report["files"])

    assert results == {"accepted": len(story.honest), "refused": 1, "repeated": 1}


def test_chargebacks_opened_their_disputes_in_the_regions_that_write_for_them(story):
    disputed = [order for order in story.orders if order.key.startswith(("disputed", "represented"))]
    stored = {order.key: story.cloud.stored_payment(payment_id(order), region_of(order)) for order in disputed}

    assert {region_of(order) for order in disputed} == set(REGIONS)
    assert {payment["status"] for payment in stored.values()} == {"disputed"}
    for order in disputed:
        half = order.key.startswith("disputed-half")
        assert stored[order.key]["dispute"]["amount"] == (order.amount // 2 if half else order.amount)
        assert stored[order.key]["dispute"]["dispute_id"] == dispute_id(order)


def dispute_id(order):
    """Of the network's case, whoever opens it."""
    return operation_id("dsp", command_id(order.merchant_id, f"case-{order.key}#open"))


def test_the_clearing_accounts_hold_exactly_what_is_open(story):
    clearing = story.settled.last["clearing"]
    reported = Counter({(row["network"], row["currency"]): row["open"] for row in clearing})

    assert {row["drift"] for row in clearing} == {0}
    assert nonzero(reported) == nonzero(story.ledger("network:", story.journals())) == nonzero(story.open_claims())


def test_bank_and_fees_have_exactly_what_the_networks_files_say(story):
    settlements = story.journals("settlement")
    bank, fees = story.paid()

    assert nonzero(story.ledger("bank:platform", settlements)) == nonzero(bank)
    assert nonzero(story.ledger("fees:network", settlements)) == nonzero(fees)


def test_the_books_balance(story):
    story.cloud.assert_books_balance()


def test_a_file_that_comes_again_and_an_event_that_is_replayed_change_nothing(story):
    before = everything(story)

    for sent in story.settled.deliveries:
        if sent.result == "accepted":
            story.reconciliation.deliver(sent.key.replace(".csv", "-once-more.csv"), sent.text)
    story.replay(story.settled.deliveries[-1].key)

    assert everything(story) == before


def everything(story):
    """Every movement and line with all that is known of it, and every journal."""
    records = {(item["network_ref"], item["line"]): item for item in story.reconciliation.records()}
    return records, {(item["payment_id"], item["journal_id"]) for item in story.journals()}


def test_an_operator_accepts_what_the_network_says_and_the_next_run_knows(story):
    mark = next(mark for mark in story.planted.marks if mark.kind == "amount_mismatch")
    operators = Operations(story.cloud.endpoints["regions"][FIRST]["operations"], FIRST)
    bank = story.ledger("bank:platform", story.journals())
    (found,) = [
        one for one in operators.discrepancies(**{"class": "amount_mismatch"}) if one["line_ref"] == mark.line_ref
    ]

    operators.command(found["id"], "comments", {"text": "the network is right"}, "seen")
    operators.command(found["id"], "resolve", {"action": "accept", "reason": "as the network says"}, "decided")
    until(lambda: story.ledger("bank:platform", story.journals()) != bank, 30, "the decision's journal")
    run = story.reconciliation.run(story.as_of)

    shown = operators.discrepancy(found["id"])
    assert (shown["class"], shown["open"], shown["resolution"]["state"]) == ("resolved", False, "done")
    assert [entry["what"] for entry in shown["audit"]] == ["comment", "accept"]
    assert found["id"] not in {one["id"] for one in operators.discrepancies()}
    assert {row["drift"] for row in story.reconciliation.report(run)["clearing"]} == {0}
    story.decided(mark)


def test_what_arrives_late_and_what_is_given_back_is_settled(story):
    """Once this has run, the story is another one: it is the last."""
    late = {mark.row.network_ref for mark in story.planted.marks if mark.kind == "missing_at_network"}

    story.goes_on()

    (represented,) = [network_ref(order) for order in story.orders if order.key.startswith("represented")]
    records = story.reconciliation.records()
    of_late = {record["class"] for record in records if record["network_ref"] in late}
    types = {record["type"]: record["class"] for record in records if record["network_ref"] == represented}
    assert of_late == {"matched"}
    assert types == {"capture": "matched", "chargeback": "matched", "representment": "matched"}
    assert {row["drift"] for row in story.settled.last["clearing"]} == {0}
    assert nonzero(story.ledger("network:", story.journals())) == nonzero(story.open_claims())
    story.cloud.assert_books_balance()
