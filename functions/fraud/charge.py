"""The charge to be scored, as a value, and its worth in one currency."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from functions.fraud.history import mark

# Identifiers of merchants' own making may be long; a key of at most this many characters keeps items small.
KEY_LENGTH = 72

# Millionths of a US cent that one minor unit is worth, rounded, rates of early 2026. Only for comparing amounts in
# fraud features, never for money: an error of a tenth does not matter there, while 4200 JPY and 4200 KWD (ISO 4217
# exponents 0 and 3) must not look alike. A currency that is not listed counts as US dollars.
MICROCENTS = {
    "AED": 272_000, "AUD": 660_000, "BHD": 265_000, "BRL": 180_000, "CAD": 720_000, "CHF": 1_250_000, "CLP": 105_000,
    "CNY": 140_000, "COP": 250, "CZK": 47_000, "DKK": 155_000, "EUR": 1_150_000, "GBP": 1_320_000, "HKD": 128_000,
    "HUF": 3_000, "IDR": 60, "ILS": 290_000, "INR": 11_500, "ISK": 800_000, "JOD": 141_000, "JPY": 650_000,
    "KRW": 70_000, "KWD": 326_000, "MXN": 55_000, "MYR": 240_000, "NOK": 98_000, "NZD": 580_000, "OMR": 260_000,
    "PHP": 17_000, "PLN": 270_000, "RON": 225_000, "SAR": 267_000, "SEK": 104_000, "SGD": 770_000, "THB": 30_000,
    "TND": 33_000, "TRY": 24_000, "TWD": 32_000, "USD": 1_000_000, "VND": 3_900, "ZAR": 57_000,
}  # fmt: skip


# From an IP address in text to the ISO 3166-1 alpha-2 code of its country, or None where that is not known.
CountryOf = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Charge:
    """A charge: `amount` in minor units of ISO 4217 `currency`, `at` in Unix seconds, `card` a token of the vault.

    `ip` and `email` are personal: they are not shown with the value, and the store keeps keyed digests of them only.
    Countries are ISO 3166-1 alpha-2 codes; `bin` is the card's first six digits. None is what was not sent.
    """

    payment_id: str
    merchant: str
    amount: int
    currency: str
    at: int
    card: str
    customer: str | None
    device: str | None
    email: str | None = field(default=None, repr=False)
    ip: str | None = field(default=None, repr=False)
    ip_country: str | None = None
    billing_country: str | None = None
    bin: str | None = None


def nowhere(_: str) -> str | None:
    """Knows no country."""
    return None


def decode(event: Mapping[str, Any], country_of: CountryOf = nowhere) -> Charge:
    """The charge in the saga's request to the fraud function (docs/interfaces.md).

    Time is the event's `created_at`, not the clock: a retry is scored as of the same second. `country_of` looks up the
    IP address. Raises KeyError, TypeError or ValueError if the request is not as agreed.
    """
    customer, device = event.get("customer") or {}, event.get("device") or {}
    email, ip = customer.get("email"), device.get("ip")
    return Charge(
        payment_id=event["payment_id"],
        merchant=event["merchant_id"],
        amount=event["amount"],
        currency=event["currency"],
        at=int(datetime.fromisoformat(event["created_at"]).timestamp()),
        card=event["card"]["token"],
        customer=customer.get("id"),
        device=device.get("fingerprint"),
        email=email.strip().lower() if email else None,
        ip=ip,
        ip_country=country_of(ip) if ip else None,
        billing_country=(customer.get("billing_address") or {}).get("country"),
        bin=event["card"].get("bin"),
    )


def value_in_cents(charge: Charge) -> int:
    """What the charge is worth in US cents, roughly (see MICROCENTS)."""
    return charge.amount * MICROCENTS.get(charge.currency, 1_000_000) // 1_000_000


def entities(charge: Charge) -> dict[str, str]:
    """Keys of what the charge tells about: `card` and `merchant`, and of what the merchant sent `customer`, `device`,
    `ip` and `email`.

    Cards, IP and e-mail addresses are the same at every merchant. Customers and devices are named by the merchant, so
    their keys carry the merchant: no merchant can spoil another's by sending the same name.
    """
    keys = {"card": f"card#{charge.card}", "merchant": f"merchant#{charge.merchant}"}
    if charge.customer:
        keys["customer"] = _key("customer", charge.merchant, charge.customer)
    if charge.device:
        keys["device"] = _key("device", charge.merchant, charge.device)
    if charge.ip:
        keys["ip"] = f"ip#{charge.ip}"
    if charge.email:
        keys["email"] = f"email#{charge.email}"
    return keys


def _key(kind: str, merchant: str, name: str) -> str:
    key = f"{kind}#{merchant}#{name}"
    return key if len(key) <= KEY_LENGTH and key.isascii() else f"{kind}##{mark(key, 32)}"
