"""The card network over HTTP. Idempotent on `network_ref` and `operation_ref`: asking twice does it once."""

from functools import cache
from typing import Any
from urllib.parse import quote

import msgspec
import requests

from payments.lifecycle import Authorization, Failure, Operation, Payment, request_id
from payments.queues import TryLater
from payments.settings import load

_TIMEOUT_SECONDS = (1, 5)
"""Connect and read: the network answers within 500 ms; ten times that is no answer."""

_MESSAGES = {
    "card_declined": "The card was declined.",
    "insufficient_funds": "The card has insufficient funds.",
    "issuer_unavailable": "The card's issuer cannot be reached.",
}

REFUND_DECLINED = Failure("refund_declined", "The card network declined the refund.")


class OtherRequest(TryLater):
    """Under this reference the network holds another request with the same idempotency key (`payments.conflicts`): what
    it decided is not about this payment."""


class NetworkSettings(msgspec.Struct, frozen=True, rename="upper"):
    """See docs/interfaces.md, "Settings"."""

    card_network_url: str


def authorize(payment: Payment, card: dict[str, Any]) -> Authorization:
    """The network's decision on the payment.

    No answer is not a decision: the network is asked once for the status under the same reference, and when that
    stays unknown too `TryLater` is raised. The expiry is the payment's own: the vault's is whoever's came last.
    Raises `OtherRequest`.
    """
    order = {
        "network_ref": payment.network_ref,
        **_terms(payment),
        "capture": payment.capture,
        "token": card["token"],
        "network": card["network"],
        "bin": card["bin"],
        "exp_month": payment.card["exp_month"],
        "exp_year": payment.card["exp_year"],
    }
    try:
        answer = _session().post(f"{_base()}/authorizations", json=order, timeout=_TIMEOUT_SECONDS)
    except requests.RequestException:
        known = status(payment)
        if known is None:
            raise TryLater("the card network does not know the charge yet") from None
        return known
    if answer.status_code == requests.codes.conflict:
        raise OtherRequest("the card network has the reference with other terms")
    return _decision(answer, payment)


def status(payment: Payment) -> Authorization | None:
    """What the network decided about the payment, or None when it does not know its reference.

    Raises `OtherRequest` or `TryLater`.
    """
    answer = _held(payment.network_ref)
    return _decision(answer, payment) if answer else None


def request_held(network_ref: str) -> str | None:
    """Which request (`lifecycle.request_id`) the network has taken under this reference; None while it knows none.

    Raises `TryLater`, also when it does not say.
    """
    answer = _held(network_ref)
    if answer is None:
        return None
    if answer.status_code != requests.codes.ok or not isinstance(held := answer.json().get("request"), str):
        raise TryLater("the card network does not say which request it has taken")
    return held


def _held(network_ref: str) -> requests.Response | None:
    try:
        answer = _session().get(f"{_base()}/authorizations/{network_ref}", timeout=_TIMEOUT_SECONDS)
    except requests.RequestException:
        raise TryLater("the card network does not answer") from None
    return None if answer.status_code == requests.codes.not_found else answer


def tell(payment: Payment, operation: Operation) -> Failure | None:
    """Tells the network of a capture, void or refund of the payment: None when it has taken it, or why it never will.

    No answer is not a decision, as with `authorize`, and neither is an error. Raises `TryLater`.
    """
    order = {
        "operation_ref": operation.operation_id,
        "network_ref": payment.network_ref,
        "kind": operation.kind,
        "amount": operation.amount,
        "currency": payment.currency,
    }
    try:
        answer = _session().post(f"{_base()}/operations", json=order, timeout=_TIMEOUT_SECONDS)
    except requests.RequestException:
        return _known(operation)
    return _taken(answer, operation)


def _known(operation: Operation) -> Failure | None:
    """What the network made of an operation that it did not answer for."""
    try:
        reference = quote(operation.operation_id, safe="")  # it may have a "#"
        answer = _session().get(f"{_base()}/operations/{reference}", timeout=_TIMEOUT_SECONDS)
    except requests.RequestException:
        raise TryLater("the card network does not answer") from None
    if answer.status_code == requests.codes.not_found:
        raise TryLater("the card network does not know the operation yet")
    return _taken(answer, operation)


def _taken(answer: requests.Response, operation: Operation) -> Failure | None:
    if answer.status_code != requests.codes.ok:
        raise TryLater(f"the card network answered {answer.status_code}")
    content = answer.json()
    if content["status"] not in ("accepted", "declined"):
        raise TryLater("the card network has not decided yet")
    if content["status"] == "accepted":
        return None
    if operation.kind == "refund":
        return REFUND_DECLINED
    return Failure(str(content["code"] or "declined"), f"The card network refused the {operation.kind}.")


def _terms(payment: Payment) -> dict[str, Any]:
    """What the network echoes of an order, and of what it takes no two versions under one reference."""
    return {"amount": payment.amount, "currency": payment.currency, "request": request_id(payment.fingerprint)}


def _decision(answer: requests.Response, payment: Payment) -> Authorization:
    if answer.status_code != requests.codes.ok:
        raise TryLater(f"the card network answered {answer.status_code}")
    content = answer.json()
    if any(content.get(name, value) != value for name, value in _terms(payment).items()):
        raise OtherRequest("the card network decided about other terms")
    if content["status"] == "approved":
        return Authorization()
    if content["status"] != "declined":
        raise TryLater("the card network has not decided yet")
    code = str(content["code"])
    return Authorization(Failure(code, _MESSAGES.get(code, "The card network declined the charge.")))


@cache
def _session() -> requests.Session:
    return requests.Session()


def _base() -> str:
    return load(NetworkSettings).card_network_url
