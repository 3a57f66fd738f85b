"""Synthetic labelled card traffic, the same for the same seed: what the actors of actors.py do, in order of time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple
from zlib import crc32

import numpy as np

from functions.fraud.charge import Charge
from models.fraud import actors
from models.fraud.actors import DAY, START

# Profiles of a platform that blocks: four frauds in five and one legitimate charge in 500 are stopped, at random.
CAUGHT = 0.8
WRONGLY_STOPPED = 0.002
# Of the frauds that were let through this share is ever reported, after days of a gamma distribution (mean 13, a few
# after more than 30); of legitimate charges a few are disputed all the same.
REPORTED = 0.85
DISPUTED = 0.0005


@dataclass(frozen=True, slots=True)
class Scale:
    """How much traffic: days, and numbers of each kind of actor or incident over all of them."""

    days: int = 63
    shoppers: int = 1_600
    guests: int = 16_000
    kiosks: int = 10
    gateways: int = 10
    agencies: int = 8
    fleets: int = 6
    testing: int = 250
    stolen: int = 600
    takeovers: int = 380
    stealthy: int = 200
    compromises: int = 12
    bust_outs: int = 90
    resales: int = 400


class Labelled(NamedTuple):
    """A charge, the pattern it comes from, whether it is fraud, whether a platform that blocks would have stopped it,
    and the Unix second from which it is known as fraud (None: never)."""

    charge: Charge
    pattern: str
    fraud: bool
    stopped: bool
    confirmed_at: int | None


def generate(seed: int, scale: Scale | None = None) -> list[Labelled]:
    """All charges in order of time; deterministic in `seed` and `scale`."""
    random = np.random.default_rng(seed)
    size = scale or Scale()
    drafts = [draft for draft in _traffic(random, size) if START <= draft.at < START + size.days * DAY]
    drafts.sort(key=lambda draft: draft.at)
    luck = random.random((len(drafts), 2))
    delays = (1 + random.gamma(2, 6, len(drafts))) * DAY
    return [_labelled(number, draft, *luck[number], delays[number]) for number, draft in enumerate(drafts)]


def _labelled(number: int, draft: actors.Draft, luck: float, fate: float, delay: float) -> Labelled:
    email, ip, ip_country, billing_country = _sent(draft.merchant, draft.contact)
    charge = Charge(
        payment_id=f"pay_{number}",
        merchant=draft.merchant,
        amount=max(int(draft.amount), 50),
        currency="USD",
        at=int(draft.at),
        card=draft.card,
        customer=draft.customer,
        device=draft.device,
        email=email,
        ip=ip,
        ip_country=ip_country,
        billing_country=billing_country,
    )
    stopped = luck < (CAUGHT if draft.fraud else WRONGLY_STOPPED)
    confirmed = not stopped and fate < (REPORTED if draft.fraud else DISPUTED)
    return Labelled(charge, draft.pattern, draft.fraud, stopped, int(draft.at + delay) if confirmed else None)


def _sent(merchant: str, contact: actors.Contact) -> actors.Contact:
    """What the merchant sends: three in four send the e-mail address, the IP address, the billing country."""
    silent = crc32(merchant.encode())
    return actors.Contact(
        contact.email if silent & 3 else None,
        contact.ip if silent >> 2 & 3 else None,
        contact.ip_country if silent >> 2 & 3 else None,
        contact.billing_country if silent >> 4 & 3 else None,
    )


def _traffic(random: np.random.Generator, scale: Scale) -> Iterator[actors.Draft]:
    people = [actors.Person.drawn(random, number) for number in range(scale.shoppers)]
    for person in people:
        yield from actors.shopping(random, person, scale.days)
    for number in range(scale.guests):
        yield from actors.guest(random, number, scale.days)
    for number in range(scale.kiosks):
        yield from actors.kiosk(random, number, people, scale.days)
    for number in range(scale.gateways):
        yield from actors.gateway(random, number, scale.days)
    for number in range(scale.agencies):
        yield from actors.agency(random, number, scale.days)
    for number in range(scale.fleets):
        yield from actors.fleet(random, number, scale.days)
    for number in range(scale.testing):
        yield from actors.testing(random, number, scale.days)
    for number in range(scale.stolen):
        yield from actors.stolen(random, number, people, scale.days)
    for number in range(scale.takeovers):
        yield from actors.takeover(random, number, people, scale.days)
    for number in range(scale.stealthy):
        yield from actors.stealthy(random, number, people, scale.days)
    for number in range(scale.compromises):
        yield from actors.compromise(random, number, people, scale.days)
    for number in range(scale.bust_outs):
        yield from actors.bust_out(random, number, scale.days)
    for number in range(scale.resales):
        yield from actors.resale(random, number, scale.days)
