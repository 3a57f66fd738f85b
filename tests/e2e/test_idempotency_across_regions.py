"""Promise 2 for every endpoint that writes: raced into both regions, whatever the replication between them takes.

`POST /api/v1/tokens` needs no key: the token is a function of the card.
"""

import pytest

from local.client import new_key
from tests.e2e.cloud import FIRST, SECOND, until
from tests.e2e.racing import charge, race

LAGS_MS = (0, 5_000, 30_000)


@pytest.fixture(params=LAGS_MS)
def lag(request, cli):
    """Replication takes so long until it is set back."""
    cli("lag", str(request.param))
    yield request.param
    cli("dial", "--reset")


def settled(cloud, payment_id):
    """The payment once the region that writes for the merchant knows the network's decision."""
    return cloud.merchant(cloud.primary()).settled(payment_id)


def alike(answers, status):
    """All answers are the same one; its body."""
    assert {answer.status for answer in answers} == {status}, [answer.body for answer in answers]
    bodies = [{name: value for name, value in answer.body.items() if name != "request_id"} for answer in answers]
    return bodies[0] if all(body["id"] == bodies[0]["id"] for body in bodies) else bodies


def test_each_write_is_done_once(cloud, cli, lag):
    path = "/api/v1/payments"
    made = alike(race(cloud, f"{path}/charge", new_key(), charge()), 201)
    held = alike(race(cloud, f"{path}/charge", new_key(), charge(capture=False)), 201)
    loose = alike(race(cloud, f"{path}/charge", new_key(), charge(capture=False)), 201)
    assert settled(cloud, made["id"])["status"] == "succeeded"
    assert {settled(cloud, payment["id"])["status"] for payment in (held, loose)} == {"requires_capture"}

    refund = alike(race(cloud, f"{path}/{made['id']}/refund", new_key(), {"amount": 1200}), 201)
    alike(race(cloud, f"{path}/{held['id']}/capture", new_key(), {"amount": 2000}), 200)
    alike(race(cloud, f"{path}/{loose['id']}/void", new_key(), {}), 200)
    card = charge()["card"]
    alike(race(cloud, "/api/v1/tokens", new_key(), {"card": card}), 201)
    cli("dial", "--reset")

    wanted = {
        made["id"]: {"charge", "capture", refund["id"], f"{refund['id']}#succeeded"},
        held["id"]: {"charge", "capture"},
        loose["id"]: {"charge", "void"},
    }
    for payment_id, names in wanted.items():
        stored = cloud.finished(payment_id)
        assert len(cloud.authorizations(stored["network_ref"])) == 1
        for region in (FIRST, SECOND):
            until(lambda: journals(cloud, payment_id, region) == sorted(names), 45, f"{names} in {region}")
    assert operations(cloud, made["id"]) == [("refund", 1200, "accepted")]
    assert operations(cloud, held["id"]) == [("capture", 2000, "accepted")]
    assert operations(cloud, loose["id"]) == [("void", 4200, "accepted")]


def journals(cloud, payment_id, region):
    """The payment's journals: refunds by their names, which were answered, others by their kind."""
    found = cloud.journals(payment_id, region)
    return sorted(one["journal_id"] if one["kind"] == "refund" else one["kind"] for one in found)


def operations(cloud, payment_id):
    return cloud.operations(cloud.stored_payment(payment_id)["network_ref"])
