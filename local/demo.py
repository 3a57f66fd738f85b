"""`payments demo`: the platform's main scenes, played against the running local cloud and checked."""

import secrets
import time
from functools import partial
from typing import Any

from rich.console import Console

from local.client import TEST_CARD, Client, new_card_number, new_key, until, webhook, webhooks
from local.demo_books import Books, sums_of
from local.deploy import aws
from local.invoke import items
from local.settings import REGIONS, Settings
from payments import accounts
from payments.sealing import seal_card

_ARRIVAL_SECONDS = 30
_BLOCKED_AMOUNT = 999_900
"""With a card, customer and device never seen before, the shipped fraud model blocks it (models/fraud)."""


class NotAsPromised(Exception):
    """A scene did not end as the platform promises; the message says which promise."""


class Demo:
    """The scenes; each raises `NotAsPromised` when it does not end as it should."""

    def __init__(self, at: Settings, endpoints: dict[str, Any], console: Console):
        self._at, self._endpoints, self._console = at, endpoints, console
        self._client = Client(endpoints["edge"], endpoints["merchant"]["api_key"])
        self._key, self._first = new_key(), ""
        self._books = Books(at, console)

    def play(self) -> None:
        """All scenes in order."""
        scenes = (
            self.succeeds,
            self.replays,
            self.refuses_other_request,
            self.blocks,
            self.declines,
            self.captures,
            self.stores,
            self.crosses,
            self.balances,
        )
        for number, scene in enumerate(scenes, 1):
            self._console.rule(f"[bold]{number}. {scene.__doc__}", align="left")
            scene()
        self._console.print("[bold green]Everything was as promised.")

    def succeeds(self) -> None:
        """A charge succeeds: journals, balances, verified webhook"""
        answer = self._client.charge(4200, key=self._key, customer={"id": "cus_demo"})
        _promise(answer.status == 201 and answer.body["status"] == "pending", f"201, pending; got {answer}")
        self._first = answer.body["id"]
        self._console.print(f"{self._first} accepted by {answer.served_by} in {answer.milliseconds} ms")
        payment = self._client.settled(self._first)
        _promise(payment["status"] == "succeeded", f"the charge succeeds; it is {payment['status']}")
        self._books.show_journals(REGIONS[0], self._first)
        self._books.show_balance(REGIONS[0], accounts.merchant(self._endpoints["merchant"]["id"]))
        delivery = webhook(self._endpoints["webhook_inbox"], self._first)
        _promise(delivery["type"] == "payment.succeeded", f"payment.succeeded is delivered; got {delivery['type']}")
        self._console.print(f"webhook {delivery['id']} {delivery['type']}: delivered, signature verified")

    def replays(self) -> None:
        """The same request with the same key: the stored answer"""
        answer = self._client.charge(4200, key=self._key, customer={"id": "cus_demo"})
        _promise(answer.status == 201 and answer.replayed, f"201 and Idempotent-Replayed; got {answer}")
        _promise(answer.body["id"] == self._first, "the same payment")
        self._console.print(f"{answer.body['id']} again, Idempotent-Replayed: true")

    def refuses_other_request(self) -> None:
        """The same key with another amount: refused"""
        answer = self._client.charge(4300, key=self._key, customer={"id": "cus_demo"})
        _promise(answer.status == 422, f"422; got {answer}")
        _promise(answer.body["error"]["code"] == "idempotency_key_reused", f"idempotency_key_reused; got {answer.body}")
        self._console.print(f"422 {answer.body['error']['code']}: {answer.body['error']['message']}")

    def blocks(self) -> None:
        """A fraudulent charge is blocked, and its token released"""
        stranger = secrets.token_hex(4)
        answer = self._client.charge(
            _BLOCKED_AMOUNT,
            card={"number": new_card_number(), "exp_month": 11, "exp_year": 2032, "cvc": "999"},
            customer={"id": f"cus_{stranger}", "email": f"{stranger}@example.com"},
            device={"fingerprint": f"dev_{stranger}", "ip": "198.51.100.66"},
        )
        _promise(answer.status == 402, f"402; got {answer}")
        payment_id = answer.body["error"]["payment_id"]
        look = partial(items, self._at, REGIONS[0], "payments", payment_id)
        payment = until(look, _ARRIVAL_SECONDS, f"{payment_id} in {REGIONS[0]}")[0]
        _promise(payment["status"] == "fraud_blocked", f"fraud_blocked; it is {payment['status']}")
        _promise(not self._books.journals(payment_id), "a blocked charge has no journal")
        fraud = payment["fraud"]
        self._console.print(f"{payment_id} blocked with score {fraud['score']}: {', '.join(fraud['reasons'])}")
        token = payment["card"]["token"]
        until(lambda: self._released(token), _ARRIVAL_SECONDS, "the release of the token")
        self._console.print(f"{token} released")

    def declines(self) -> None:
        """The card network declines: the pending amounts are voided"""
        answer = self._client.charge(4205, customer={"id": "cus_demo"})
        payment = self._client.settled(answer.body["id"])
        _promise(payment["status"] == "failed", f"a declined charge fails; it is {payment['status']}")
        journals = self._books.show_journals(REGIONS[0], payment["id"])
        phases = {entry["phase"] for journal in journals for entry in journal["entries"]}
        _promise(phases == {"pending", "void_pending"}, f"pending amounts are voided; phases are {phases}")
        self._console.print(f"{payment['id']} failed: {payment['failure']['code']}")

    def captures(self) -> None:
        """An authorization is captured in two parts, and half of it refunded"""
        payment_id = self._client.charge(6000, capture=False, customer={"id": "cus_demo"}).body["id"]
        authorized = self._client.settled(payment_id)
        _promise(authorized["status"] == "requires_capture", f"it waits for its capture; it is {authorized['status']}")
        self._client.capture(payment_id, 2500)
        captured = self._client.capture(payment_id, 2000, final=True)
        _promise(captured.body.get("amount_captured") == 4500, f"4500 are captured; got {captured}")
        too_much = self._client.refund(payment_id, 4501)
        _promise(too_much.status == 400, f"more than was captured cannot be refunded; got {too_much}")
        refund = self._client.refund(payment_id, 2250)
        _promise(refund.status == 201, f"201; got {refund}")
        self._books.show_journals(REGIONS[0], payment_id, expected=5)
        told = until(lambda: self._refunded(payment_id), _ARRIVAL_SECONDS, "the webhook about the refund")
        self._console.print(f"{refund.body['id']} {told['type']}: {told['body']['data']['amount']} refunded of 4500")

    def stores(self) -> None:
        """A card is sealed and stored, charged by its token, and deleted for good"""
        merchant_id, card = self._endpoints["merchant"]["id"], TEST_CARD | {"number": new_card_number()}
        sealed = seal_card(card, self._client.public_key(), merchant_id, secrets.token_hex(8), int(time.time()))
        stored = self._client.store_card(sealed_card=sealed)
        _promise(stored.status == 201, f"201; got {stored}")
        token = stored.body["id"]
        payment_id = self._client.charge(2500, token=token).body["id"]
        _promise(self._client.settled(payment_id)["status"] == "succeeded", "a charge by token succeeds")
        self._console.print(f"{token} stored, charged by {payment_id}")
        deleted = self._client.delete_card(token)
        _promise(deleted.status == 200, f"the card can be deleted; got {deleted}")
        until(lambda: not self._card_keys(token), _ARRIVAL_SECONDS, "the card's keys to be destroyed in both regions")
        _promise(self._client.charge(2500, token=token).status == 402, "a deleted card cannot be charged")
        self._console.print(f"{token} deleted: its card keys are gone in {' and '.join(REGIONS)}")

    def crosses(self) -> None:
        """A charge through the other region is visible in both"""
        client = Client(self._endpoints["regions"][REGIONS[1]]["api"], self._endpoints["merchant"]["api_key"])
        payment_id = client.charge(1500, customer={"id": "cus_demo"}).body["id"]
        client.settled(payment_id)
        for region in REGIONS:
            there = Client(self._endpoints["regions"][region]["api"], self._endpoints["merchant"]["api_key"])
            _promise(there.settled(payment_id, _ARRIVAL_SECONDS)["status"] == "succeeded", f"succeeded in {region}")
            self._console.print(f"{payment_id} succeeded, seen in {region}")

    def balances(self) -> None:
        """The signed sum of all entries of all journals is zero in both regions"""
        for region in REGIONS:
            journals = self._books.all_journals(region)
            sums = sums_of(journals)
            _promise(bool(journals) and not any(sums.values()), f"zero per currency in {region}; sums are {dict(sums)}")
            totals = ", ".join(f"{currency} {phase} {total}" for (currency, phase), total in sorted(sums.items()))
            self._console.print(f"{region}: {len(journals)} journals, {totals}")

    def _refunded(self, payment_id: str) -> dict[str, Any] | None:
        found = webhooks(self._endpoints["webhook_inbox"], payment_id)
        return next((delivery for delivery in found if delivery["type"] == "refund.succeeded"), None)

    def _released(self, token: str) -> bool:
        """Every holding of a released token is gone or carries the time of its release, in both regions
        (functions/vault/holdings.py)."""
        return all("released_at" in holding for holding in self._about("vault-tokens", token))

    def _card_keys(self, token: str) -> list[dict[str, Any]]:
        return self._about("vault-card-keys", token)

    def _about(self, table: str, token: str) -> list[dict[str, Any]]:
        """Both regions' items of a token in one of the vault's tables."""
        request = {
            "TableName": table,
            "KeyConditionExpression": "#token = :token",
            "ExpressionAttributeNames": {"#token": "token"},
            "ExpressionAttributeValues": {":token": {"S": token}},
        }
        return [item for region in REGIONS for item in aws(self._at, "dynamodb", region).query(**request)["Items"]]


def _promise(kept: bool, what: str) -> None:
    if not kept:
        raise NotAsPromised(f"promised: {what}")
