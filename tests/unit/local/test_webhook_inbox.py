"""The merchant's endpoint accepts what is signed for it, and fails when told to."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook
from starlette.testclient import TestClient

from local.webhook_inbox import Inbox, create_app, write_secrets
from payments import signing

EVENT = json.dumps({"id": "evt_1", "type": "payment.succeeded", "payment_id": "pay_1"})


@pytest.fixture
def secret() -> str:
    return signing.new_secret()


@pytest.fixture
def inbox(tmp_path: Path, secret: str) -> TestClient:
    write_secrets(tmp_path, [signing.new_secret(), secret])
    return TestClient(create_app(Inbox(tmp_path)))


def signed(secret: str, body: str = EVENT, at: datetime | None = None) -> dict[str, str]:
    at = at or datetime.now(UTC)
    signature = Webhook(secret).sign("evt_1", at, body)
    return {"webhook-id": "evt_1", "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}


def test_a_signed_event_is_kept_as_verified(inbox: TestClient, secret: str) -> None:
    assert inbox.post("/webhooks", content=EVENT, headers=signed(secret)).status_code == 200

    found = inbox.get("/webhooks", params={"payment_id": "pay_1"}).json()
    (kept,) = found["data"]
    assert (kept["id"], kept["type"], kept["verified"]) == ("evt_1", "payment.succeeded", True)
    assert inbox.get("/webhooks", params={"payment_id": "pay_2"}).json()["count"] == 0


def test_forged_changed_or_old_events_are_refused_and_kept_as_not_verified(inbox: TestClient, secret: str) -> None:
    headers = signed(secret)
    attempts = [
        inbox.post("/webhooks", content=EVENT, headers=signed(signing.new_secret())),
        inbox.post("/webhooks", content=EVENT.replace("pay_1", "pay_2"), headers=headers),
        inbox.post("/webhooks", content=EVENT, headers=signed(secret, at=datetime.now(UTC) - timedelta(hours=1))),
        inbox.post("/webhooks", content=EVENT),
    ]

    assert {answer.status_code for answer in attempts} == {401}
    assert not any(one["verified"] for one in inbox.get("/webhooks").json()["data"])


def test_it_fails_as_often_as_it_is_told_to(inbox: TestClient, secret: str) -> None:
    inbox.post("/behaviour", json={"status": 500, "times": 2})

    statuses = [inbox.post("/webhooks", content=EVENT, headers=signed(secret)).status_code for _ in range(3)]

    assert statuses == [500, 500, 200]
    assert [one["answered"] for one in inbox.get("/webhooks").json()["data"]] == [500, 500, 200]


def test_a_secret_can_be_added(inbox: TestClient) -> None:
    another = signing.new_secret()
    inbox.post("/secrets", json={"secret": another})

    assert inbox.post("/webhooks", content=EVENT, headers=signed(another)).status_code == 200


def test_secrets_are_readable_by_the_owner_only(inbox: TestClient, tmp_path: Path) -> None:
    assert (tmp_path / "webhook-secrets.json").stat().st_mode & 0o077 == 0


def test_a_behaviour_that_makes_no_sense_is_refused(inbox: TestClient) -> None:
    assert inbox.post("/behaviour", json={"status": "?"}).status_code == 400
    assert inbox.post("/behaviour", json={"colour": 1}).status_code == 400
