"""A merchant's webhook endpoint: `python -m local.webhook_inbox`.

`POST /webhooks` verifies the Standard Webhooks signature against the secrets in `webhook-secrets.json` (whoever creates
another endpoint posts its secret to `/secrets`) and keeps what came, verified or not; `GET /webhooks?payment_id=…`
lists it. `POST /behaviour {"status": 500, "times": 2, "delay_ms": 0}` makes the next deliveries fail on purpose.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.serving import NotJson, json_object, refusal, server
from local.settings import Settings, settings


@dataclass(frozen=True)
class Delivery:
    """One request to the endpoint and what it was answered."""

    id: str
    type: str | None
    payment_id: str | None
    verified: bool
    answered: int
    received_at: str
    body: Any


@dataclass
class Behaviour:
    """How the next deliveries are answered."""

    status: int = 200
    times: int = 0
    delay_ms: int = 0


@dataclass
class Inbox:
    """What was received; also appended to `webhooks.jsonl` in the home directory."""

    home: Path
    deliveries: list[Delivery] = field(default_factory=list)
    behaviour: Behaviour = field(default_factory=Behaviour)

    def secrets(self) -> list[str]:
        """The signing secrets of all endpoints that point here."""
        file = self.home / "webhook-secrets.json"
        return list(json.loads(file.read_text())) if file.exists() else []

    def add_secret(self, secret: str) -> None:
        """Accept signatures with this secret from now on."""
        write_secrets(self.home, [*self.secrets(), secret])

    def verified(self, body: bytes, headers: Mapping[str, str]) -> bool:
        """Whether the signature, with its timestamp, fits one of the secrets."""
        return any(_fits(secret, body, headers) for secret in self.secrets())

    def receive(self, body: bytes, headers: Mapping[str, str]) -> Delivery:
        """Keep a delivery; `answered` is the status to answer with."""
        verified = self.verified(body, headers)
        event = _event(body)
        delivery = Delivery(
            id=headers.get("webhook-id", ""),
            type=event.get("type"),
            payment_id=event.get("payment_id") or _nested_id(event),
            verified=verified,
            answered=self._status(verified),
            received_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            body=event,
        )
        self.deliveries.append(delivery)
        with (self.home / "webhooks.jsonl").open("a") as log:
            log.write(json.dumps(asdict(delivery)) + "\n")
        return delivery

    def _status(self, verified: bool) -> int:
        if self.behaviour.times > 0:
            self.behaviour.times -= 1
            return self.behaviour.status
        return 200 if verified else 401


def write_secrets(home: Path, secrets: list[str]) -> None:
    """Replace the secrets the inbox verifies with; readable by the owner only."""
    file = home / "webhook-secrets.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(secrets))


def create_app(inbox: Inbox) -> Starlette:
    """The endpoint and its controls."""

    async def receive(request: Request) -> Response:
        if inbox.behaviour.times > 0:
            await asyncio.sleep(inbox.behaviour.delay_ms / 1000)
        delivery = inbox.receive(await request.body(), request.headers)
        return Response(status_code=delivery.answered)

    async def listing(request: Request) -> Response:
        wanted = request.query_params.get("payment_id")
        found = [asdict(delivery) for delivery in inbox.deliveries if wanted in (None, delivery.payment_id)]
        return JSONResponse({"count": len(found), "data": found})

    async def clear(_: Request) -> Response:
        inbox.deliveries.clear()
        return Response(status_code=204)

    async def behave(request: Request) -> Response:
        try:
            inbox.behaviour = Behaviour(**{name: int(value) for name, value in (await json_object(request)).items()})
        except (NotJson, TypeError, ValueError) as error:
            return refusal(400, "invalid_behaviour", str(error))
        return JSONResponse(asdict(inbox.behaviour))

    async def add_secret(request: Request) -> Response:
        inbox.add_secret(str((await json_object(request))["secret"]))
        return Response(status_code=204)

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/webhooks", receive, methods=["POST"]),
            Route("/webhooks", listing),
            Route("/webhooks", clear, methods=["DELETE"]),
            Route("/behaviour", behave, methods=["POST"]),
            Route("/secrets", add_secret, methods=["POST"]),
            Route("/health", health),
        ]
    )


def _fits(secret: str, body: bytes, headers: Mapping[str, str]) -> bool:
    try:
        Webhook(secret).verify(body, dict(headers), json_parse=False)
    except (WebhookVerificationError, ValueError):
        return False
    return True


def _event(body: bytes) -> dict[str, Any]:
    try:
        event = json.loads(body)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


def _nested_id(event: Mapping[str, Any]) -> str | None:
    data = event.get("data")
    found = data.get("id") if isinstance(data, dict) else None
    return found if isinstance(found, str) else None


def main(at: Settings) -> None:
    """Serve until told to stop."""
    server(create_app(Inbox(at.home)), at.webhook_inbox_port).run()


if __name__ == "__main__":
    main(settings())
