"""Promise 7: a region freezes, is cut off or dies in the middle of load. No answered charge is lost, none is doubled.

Every test ends with the chaos audit of all seven promises, against the card network's own record. The test that kills a
region comes last, and starts it anew.
"""

import signal
from functools import partial

from local import platform
from local.chaos_faults import Weather
from local.client import TEST_CARD, new_card_number, new_key
from local.dials import DialFile
from local.operations import Operations
from tests.e2e.cloud import FIRST, SECOND, until
from tests.e2e.losses import freeze_in_post_ledger, thaw_once_failed_over, under_load
from tests.e2e.racing import charge, race

MOVED_WITHIN = 10.0
"""Seconds in which the edge must have found out that a region is gone; in AWS it may take 60."""


def freeze(at, region):
    platform.signal_region(at, region, signal.SIGSTOP)


def test_a_region_freezes_in_the_middle_of_load_and_is_thawed(losing_cloud, losing_at):
    at, lost = losing_at, SECOND

    outcome = under_load(at, losing_cloud, partial(freeze, at, lost), partial(platform.thaw, at, lost))

    assert outcome.broken == []
    assert outcome.unanswered == 0
    assert outcome.moved_within() <= MOVED_WITHIN
    assert outcome.served_meanwhile(MOVED_WITHIN) == {FIRST}


def test_the_regions_are_cut_off_from_each_other_in_the_middle_of_load(losing_cloud, losing_at):
    dials, reached = DialFile(losing_at), {}

    def mend():
        reached.update({region: losing_cloud.merchant(region).payments().status for region in (FIRST, SECOND)})
        dials.mend(FIRST)

    outcome = under_load(losing_at, losing_cloud, partial(dials.cut, FIRST), mend)

    assert outcome.broken == []
    assert outcome.unanswered == 0
    assert reached == {FIRST: 200, SECOND: 200}, "merchants reach both all the time"


def test_a_region_freezes_while_it_writes_charges_to_its_ledger_and_is_failed_over(losing_cloud, losing_at):
    at, lost, waiting = losing_at, FIRST, []

    outcome = under_load(
        at,
        losing_cloud,
        lambda: waiting.extend(freeze_in_post_ledger(at, losing_cloud, lost)),
        partial(thaw_once_failed_over, at, lost),
    )

    assert waiting, "a PostLedger was under way"
    assert outcome.broken == []
    assert outcome.unanswered == 0


def test_an_operator_fails_a_region_over_in_the_middle_of_load_and_no_client_is_refused(losing_cloud, losing_at):
    def ask(action):
        api = Operations(losing_cloud.endpoints["regions"][FIRST]["operations"], FIRST)
        api.move(SECOND, action, "a test", new_key())

    outcome = under_load(losing_at, losing_cloud, partial(ask, "fail"), partial(ask, "restore"))

    assert outcome.unanswered == 0, "the error rate of requests that are sent again is zero"
    assert outcome.broken == []


def test_a_duplicate_raced_into_both_regions_under_lag_is_authorized_once(losing_cloud, losing_at):
    cloud, dials = losing_cloud, DialFile(losing_at)
    dials.turn(lag_ms=5_000)
    answers = race(cloud, "/api/v1/payments/charge", new_key(), charge())

    dials.reset()

    assert {answer.status for answer in answers} == {201}
    (payment_id,) = {answer.body["id"] for answer in answers}
    stored = cloud.finished(payment_id)
    assert stored["status"] == "succeeded"
    assert len(cloud.authorizations(stored["network_ref"])) == 1
    for region in (FIRST, SECOND):
        until(lambda region=region: len(cloud.journals(payment_id, region)) >= 2, 15, f"both journals in {region}")
    until(lambda: everywhere(cloud, payment_id), 15, "the same payment in both regions")
    for region in (FIRST, SECOND):
        kinds = [journal["kind"] for journal in cloud.journals(payment_id, region)]
        assert sorted(kinds) == ["capture", "charge"], region


def test_a_region_is_killed_in_the_middle_of_load_and_started_anew(losing_cloud, losing_at, losing_cli):
    at, lost, operator, moved = losing_at, FIRST, Weather(losing_at, losing_cloud.endpoints, print), []

    outcome = under_load(
        at,
        losing_cloud,
        partial(platform.kill, at, lost),
        lambda: moved.append(operator.fail_over(lost)),
        regions=(SECOND,),
    )

    waiting = {request.kind for request in outcome.load.requests if not request.ended}
    assert waiting <= (set() if moved == [True] else {"capture", "void", "refund"}), "commands wait for a primary"
    assert [found for found in outcome.broken if moved == [True] or "was never answered" not in found] == []
    assert outcome.moved_within() <= MOVED_WITHIN
    assert f"{lost} is dead" in " ".join(losing_cli("status").stdout.split())
    losing_cli("region", "start", lost)
    operator.heal()
    payments = [request.payment_id for request in outcome.load.of("charge") if request.done]
    until(lambda: all(map(partial(everywhere, losing_cloud), payments)), 30, "every payment in the new region")
    answer = losing_cloud.merchant(lost).charge(card={**TEST_CARD, "number": new_card_number()})
    assert answer.status == 201
    assert losing_cloud.merchant(lost).settled(answer.body["id"])["status"] == "succeeded"


def everywhere(cloud, payment_id):
    stored = [cloud.stored_payment(payment_id, region) for region in (FIRST, SECOND)]
    return stored[0] is not None and stored[0] == stored[1]
