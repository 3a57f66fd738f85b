"""The card network over HTTP. Idempotent on `network_ref`: asking twice authorizes once."""

from functools import cache
from typing import Any

import msgspec
import requests

from payments.lifecycle import Authorization, Failure, Payment
from payments.queues import TryLater
from payments.settings import load

_TIMEOUT_SECONDS = (1, 5)
"""Connect and read: the network answers within 500 ms; ten times that is no answer."""

_MESSAGES = {
    "card_declined": "The card was declined.",
    "insufficient_funds": "The card has insufficient funds.",
    "issuer_unavailable": "The card's issuer cannot be reached.",
}


class NetworkSettings(msgspec.Struct, frozen=True, rename="upper"):
    """See docs/interfaces.md, "Settings"."""

    card_network_url: str


def authorize(payment: Payment, card: dict[str, Any]) -> Authorization:
    """The network's decision on the payment.

    No answer is not a decision: the network is asked once for the status under the same reference, and when that
    stays unknown too `TryLater` is raised. The expiry is the payment's own: the vault's is whoever's came last.
    """
    order = {
        "network_ref": payment.network_ref,
        "amount": payment.amount,
        "currency": payment.currency,
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
        known = status(payment.network_ref)
        if known is None:
            raise TryLater("the card network does not know the charge yet") from None
        return known
    return _decision(answer)


def status(network_ref: str) -> Authorization | None:
    """What the network decided under this reference, or None when it knows none. Raises `TryLater`."""
    try:
        answer = _session().get(f"{_base()}/authorizations/{network_ref}", timeout=_TIMEOUT_SECONDS)
    except requests.RequestException:
        raise TryLater("the card network does not answer") from None
    return None if answer.status_code == requests.codes.not_found else _decision(answer)


def _decision(answer: requests.Response) -> Authorization:
    if answer.status_code != requests.codes.ok:
        raise TryLater(f"the card network answered {answer.status_code}")
    content = answer.json()
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
