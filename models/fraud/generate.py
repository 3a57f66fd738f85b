"""Synthetic labelled card traffic, the same for the same seed: what the actors of actors.py do, in order of time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from functions.fraud.charge import Charge
from models.fraud import actors
from models.fraud.actors import DAY, START

# Profiles of a platform that blocks: four frauds in five and one legitimate charge in 500 are stopped, at random.
CAUGHT = 0.8
WRONGLY_STOPPED = 0.002


@dataclass(frozen=True, slots=True)
class Scale:
    """How much traffic: days, and numbers of each kind of actor or incident over all of them."""

    days: int = 42
    shoppers: int = 2_000
    guests: int = 11_000
    kiosks: int = 16
    gateways: int = 12
    agencies: int = 10
    fleets: int = 10
    testing: int = 70
    stolen: int = 420
    takeovers: int = 260
    stealthy: int = 130


class Labelled(NamedTuple):
    """A charge, the pattern it comes from, whether it is fraud, and whether a platform that blocks would have."""

    charge: Charge
    pattern: str
    fraud: bool
    stopped: bool


def generate(seed: int, scale: Scale | None = None) -> list[Labelled]:
    """All charges in order of time; deterministic in `seed` and `scale`."""
    random = np.random.default_rng(seed)
    size = scale or Scale()
    drafts = sorted(draft for draft in _traffic(random, size) if draft.at < START + size.days * DAY)
    luck = random.random(len(drafts))
    return [_labelled(number, draft, luck[number]) for number, draft in enumerate(drafts)]


def _labelled(number: int, draft: actors.Draft, luck: float) -> Labelled:
    charge = Charge(
        payment_id=f"pay_{number}",
        merchant=draft.merchant,
        amount=max(int(draft.amount), 50),
        currency="USD",
        at=int(draft.at),
        card=draft.card,
        customer=draft.customer,
        device=draft.device,
    )
    return Labelled(charge, draft.pattern, draft.fraud, luck < (CAUGHT if draft.fraud else WRONGLY_STOPPED))


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
