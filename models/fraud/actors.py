"""Who charges cards in the generated traffic.

Legitimate: shoppers with habits (amount, hour, merchants, one or two cards and devices, now and then a new phone, a
journey abroad or a large purchase), one-time guests (from micropayments to expensive journeys), kiosks (many cards on
one device), gateways (a merchant's server that sends one fingerprint for all of its customers, in rushes), agencies
(one customer that pays with a fresh card each time) and fleets (one card, dozens of charges an hour).

Fraud: card testing (many stolen cards tried on one device with small amounts, then used), stolen cards used for large
amounts by new customers, resale (a card nobody has seen buys what can be sold on), account takeover (a known card and
customer, a new device, unusual amounts), merchant compromise (for weeks, stolen cards are charged at one shop for its
ordinary amounts), bust-out (an account behaves for weeks and then spends all it can), and stealthy fraud that keeps to
ordinary amounts and can hardly be told.

Where they are: a Contact. Networks are shared (households, carriers), and a few of the honest use a VPN.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

DAY = 86_400
# Monday, 5 January 2026, 00:00 UTC.
START = 1_767_571_200

# Share of a shopper's purchases at a shop that is none of the habitual ones.
ELSEWHERE = 0.15

# Mean and deviation of the logarithm of cents: ordinary purchases, micropayments, journeys and electronics.
GUESTS = ((8.3, 0.9), (5.7, 0.7), (11.2, 0.6))


COUNTRIES = ("US", "GB", "DE", "FR", "CA", "BR", "IN", "RO")
UP_TO = (0.5, 0.62, 0.72, 0.8, 0.88, 0.94, 0.98, 1.0)


class Contact(NamedTuple):
    """Where a charge comes from and says it comes from; a merchant may send less of it."""

    email: str | None
    ip: str | None
    ip_country: str | None
    billing_country: str | None


UNKNOWN = Contact(None, None, None, None)


class Draft(NamedTuple):
    """A charge before it has an id: Unix seconds, amount in cents, and names."""

    at: float
    amount: float
    merchant: str
    card: str
    customer: str | None
    device: str | None
    pattern: str
    fraud: bool
    contact: Contact = UNKNOWN


def _country(random: np.random.Generator) -> str:
    return COUNTRIES[bisect_right(UP_TO, random.random())]


def _ip(random: np.random.Generator, country: str, home: str) -> str:
    """A third of the charges come through a carrier's few addresses, the others from home."""
    return f"{country}:carrier{random.integers(40)}" if random.random() < 0.33 else f"{country}:{home}"


def _honest(random: np.random.Generator, name: str, country: str, abroad: str | None = None) -> Contact:
    where = abroad or (_country(random) if random.random() < 0.03 else country)
    return Contact(f"{name}@example.com", _ip(random, where, name), where, country)


def _thief(random: np.random.Generator, name: str, billing: str) -> Contact:
    """Half of the thieves use a proxy in the card's own country."""
    where = billing if random.random() < 0.5 else _country(random)
    return Contact(f"{name}@example.net", f"{where}:thief_{name}", where, billing)


class Person(NamedTuple):
    name: str
    usual: float  # median amount, cents
    spread: float  # of the logarithm
    per_day: float
    zone: int  # hours behind UTC
    merchants: tuple[str, ...]
    cards: int
    devices: int  # 0: the merchants send no device
    country: str

    @classmethod
    def drawn(cls, random: np.random.Generator, number: int) -> Person:
        """A person of random habits."""
        shops = random.choice(60, size=random.integers(1, 4), replace=False)
        return cls(
            name=f"p{number}",
            usual=float(np.exp(random.normal(7.9, 1.1))),
            spread=float(random.uniform(0.3, 0.8)),
            per_day=float(random.gamma(1.5, 0.4)),
            zone=int(random.choice([0, 0, 5, 5, 6, 8, 8, -1, -9])),
            merchants=tuple(f"mer_{shop}" for shop in shops),
            cards=int(random.choice([1, 1, 2])),
            devices=int(random.choice([0, 1, 1, 1, 2])),
            country=_country(random),
        )

    def card(self, random: np.random.Generator) -> str:
        """One of the person's cards."""
        return f"tok_{self.name}_{random.integers(self.cards)}"


def _any_time(random: np.random.Generator, days: int) -> float:
    return START + random.random() * days * DAY


def _any_shop(random: np.random.Generator) -> str:
    """One of the established shops, or one of those that have just opened (see guest)."""
    return f"mer_{random.integers(60)}" if random.random() < 0.6 else f"mer_n{random.integers(400)}"


def _waking_hour(random: np.random.Generator, zone: int) -> float:
    return (random.normal(15, 4) + zone) % 24 * 3600


def shopping(random: np.random.Generator, person: Person, days: int) -> Iterator[Draft]:
    """A person's purchases, at the hours and merchants of habit."""
    changes_phone = _any_time(random, days) if random.random() < 0.3 else np.inf
    leaves, abroad = _any_time(random, days) if random.random() < 0.2 else np.inf, _country(random)
    for _ in range(random.poisson(person.per_day * days)):
        at = START + random.integers(days) * DAY + _waking_hour(random, person.zone)
        merchant = person.merchants[random.integers(len(person.merchants))]
        if random.random() < ELSEWHERE:
            merchant = f"mer_{random.integers(60)}"
        treat = random.choice([1, 1, 1, 1, 1, 1, 1, 1, 1, random.uniform(2, 12)])
        device = None
        if person.devices:
            generation = "new" if at > changes_phone else "old"
            device = f"{person.name}_{generation}_{random.integers(person.devices)}"
        for again in range(random.choice([1, 1, 1, 1, 2])):
            amount = person.usual * treat * np.exp(random.normal(0, person.spread))
            card = person.card(random)
            contact = _honest(random, person.name, person.country, abroad if leaves < at < leaves + 10 * DAY else None)
            yield Draft(at + again * 400, amount, merchant, card, person.name, device, "shopping", False, contact)


def guest(random: np.random.Generator, number: int, days: int) -> Iterator[Draft]:
    """A new customer who buys once or a few times."""
    at = int(_any_time(random, days)) // DAY * DAY + _waking_hour(random, int(random.choice([0, 5, 8])))
    # One in eight buys at a shop that has just opened.
    merchant = f"mer_{random.integers(60)}" if random.random() < 0.875 else f"mer_n{number // 40}"
    device = f"g{number}" if random.random() < 0.7 else None
    customer = f"g{number}" if random.random() < 0.7 else None
    contact = _honest(random, f"g{number}", _country(random))
    usual = np.exp(random.normal(*GUESTS[random.choice(len(GUESTS), p=(0.65, 0.2, 0.15))]))
    for again in range(random.choice([1, 1, 1, 2, 3])):
        yield Draft(at + again * 300, usual, merchant, f"tok_g{number}", customer, device, "guest", False, contact)


def kiosk(random: np.random.Generator, number: int, people: list[Person], days: int) -> Iterator[Draft]:
    """A terminal: many people's cards on one device, no customer."""
    usual = random.choice([5.6, 7.4])  # a fare, a meal
    for _ in range(random.poisson(random.uniform(15, 60) * days)):
        at = START + random.integers(days) * DAY + (random.normal(14, 3) + number % 24) % 24 * 3600
        card = (
            people[random.integers(len(people))].card(random)
            if random.random() < 0.6
            else f"tok_k{number}_{random.integers(1 << 40)}"
        )
        amount = np.exp(random.normal(usual, 0.6))
        contact = Contact(None, f"US:kiosk{number}", "US", None)
        yield Draft(at, amount, f"mer_{number}", card, None, f"kiosk{number}", "kiosk", False, contact)


def gateway(random: np.random.Generator, number: int, days: int) -> Iterator[Draft]:
    """A server's one fingerprint for all customers, in rushes of new cards."""
    # It goes live on a random day, so that a rush on a device without a past is known too.
    for day in range(random.integers(days), days):
        at = START + day * DAY + random.random() * DAY
        pause = random.choice([1, 5, 30, 200])
        for sale in range(random.integers(3, 60)):
            at += random.exponential(pause)
            amount = np.exp(random.normal(8.3, 0.9))
            name = f"w{number}_{day}_{sale}"
            contact = Contact(f"{name}@example.com", f"DE:server{number}", "DE", _country(random))
            yield Draft(at, amount, f"mer_w{number}", f"tok_{name}", name, f"server{number}", "gateway", False, contact)


def agency(random: np.random.Generator, number: int, days: int) -> Iterator[Draft]:
    """Bookings of one customer from one device, each with a fresh card."""
    for day in range(days):
        at = START + day * DAY + (random.normal(13, 3) + number * 3) % 24 * 3600
        for booking in range(random.integers(3, 25)):
            at += random.exponential(random.choice([20, 90, 600]))
            amount = np.exp(random.normal(9.0, 0.9))
            card = f"tok_a{number}_{day}_{booking}"
            contact = Contact(f"agency{number}@example.com", f"GB:desk{number}", "GB", _country(random))
            yield Draft(
                at, amount, f"mer_a{number}", card, f"agency{number}", f"desk{number}", "agency", False, contact
            )


def fleet(random: np.random.Generator, number: int, days: int) -> Iterator[Draft]:
    """A few cards of one customer, dozens of charges within minutes or hours."""
    # A fleet's card starts on a random day: heavy use of a card may begin at once.
    for day in range(random.integers(days), days):
        at = START + day * DAY + random.random() * DAY
        card, customer = f"tok_f{number}_{day % 5}", f"fleet{number}"
        device = f"fleet{number}" if number % 3 else None
        for _ in range(random.integers(10, 90)):
            at += random.exponential(random.choice([2, 30, 300]))
            amount = np.exp(random.normal(8.2, 0.2 + 0.1 * (number % 6)))
            contact = Contact(f"{customer}@example.com", f"US:{customer}", "US", "US")
            yield Draft(at, amount, f"mer_f{number}", card, customer, device, "fleet", False, contact)


def testing(random: np.random.Generator, number: int, days: int) -> Iterator[Draft]:
    """Stolen cards tried with small amounts from one device; those that work are used."""
    at, merchant = _any_time(random, days), _any_shop(random)
    pause = random.choice([3, 15, 60])
    good, hideouts = [], random.integers(1, 4)
    for card in range(random.integers(8, 40)):
        at += random.exponential(pause)
        token, customer = f"tok_t{number}_{card}", f"t{number}_{card}" if number % 2 else None
        good += [token] * (random.random() < 0.2)
        amount = random.uniform(50, 600)
        contact = _tester(random, number, card, hideouts)
        yield Draft(at, amount, merchant, token, customer, f"tester{number}", "testing", True, contact)
    for token in good:
        at += random.exponential(pause * 4)
        amount = random.uniform(20_000, 400_000)
        contact = _tester(random, number, 0, hideouts)
        yield Draft(at, amount, merchant, token, f"t{number}", f"tester{number}", "testing", True, contact)


def _tester(random: np.random.Generator, number: int, card: int, hideouts: int) -> Contact:
    """A script: few addresses, an e-mail address for every card or, one in ten, one for all."""
    name = f"t{number}_{card}" if number % 10 else f"t{number}"
    return Contact(f"{name}@example.net", f"RO:t{number}_{random.integers(hideouts)}", "RO", _country(random))


def stolen(random: np.random.Generator, number: int, people: list[Person], days: int) -> Iterator[Draft]:
    """A stolen card used for large amounts by a new customer."""
    at, merchant = _any_time(random, days), _any_shop(random)
    known = random.random() < 0.5
    token = people[random.integers(len(people))].card(random) if known else f"tok_s{number}"
    customer = f"s{number}" if random.random() < 0.7 else None
    device = f"s{number}" if random.random() < 0.8 else None
    contact = _thief(random, f"s{number}", _country(random))
    for _ in range(random.integers(1, 6)):
        amount = np.exp(random.normal(12.3, 1.0))
        yield Draft(at, amount, merchant, token, customer, device, "stolen", True, contact)
        at += random.exponential(900)


def resale(random: np.random.Generator, number: int, days: int) -> Iterator[Draft]:
    """What is dear and can be sold on, bought by someone entirely new with a card that nobody here has seen."""
    at, merchant, name = _any_time(random, days), _any_shop(random), f"r{number}"
    customer = name if random.random() < 0.7 else None
    device = name if random.random() < 0.7 else None
    contact = _thief(random, name, _country(random))
    for _ in range(random.integers(1, 4)):
        amount = np.exp(random.normal(13.2, 0.6))
        yield Draft(at, amount, merchant, f"tok_{name}", customer, device, "resale", True, contact)
        at += random.exponential(600)


def takeover(random: np.random.Generator, number: int, people: list[Person], days: int) -> Iterator[Draft]:
    """A customer's account and card used from a new device for unusual amounts."""
    person = people[random.integers(len(people))]
    at, merchant = _any_time(random, days), person.merchants[0]
    contact = _thief(random, f"x{number}", person.country)
    if random.random() < 0.6:  # the account's own address is left as it is
        contact = contact._replace(email=f"{person.name}@example.com")
    for _ in range(random.integers(1, 5)):
        amount = person.usual * random.uniform(3, 25)
        yield Draft(at, amount, merchant, person.card(random), person.name, f"x{number}", "takeover", True, contact)
        at += random.exponential(1200)


def stealthy(random: np.random.Generator, number: int, people: list[Person], days: int) -> Iterator[Draft]:
    """One fraud of an ordinary amount."""
    person = people[random.integers(len(people))]
    amount = person.usual * np.exp(random.normal(0.3, person.spread))
    device = f"q{number}" if random.random() < 0.6 else None
    merchant = f"mer_{random.integers(60)}"
    at, card, contact = _any_time(random, days), person.card(random), _thief(random, f"q{number}", person.country)
    yield Draft(at, amount, merchant, card, f"q{number}", device, "stealthy", True, contact)


def compromise(random: np.random.Generator, number: int, people: list[Person], days: int) -> Iterator[Draft]:
    """For two to four weeks stolen cards are charged at one shop, by strangers and for its ordinary amounts."""
    first, merchant = _any_time(random, days), f"mer_{random.integers(60)}"
    for theft in range(random.integers(60, 240)):
        person = people[random.integers(len(people))]
        name = f"c{number}_{theft}"
        card = person.card(random) if random.random() < 0.5 else f"tok_{name}"
        amount = np.exp(random.normal(8.3, 0.7))
        device = name if random.random() < 0.7 else None
        at = first + random.random() * random.uniform(14, 28) * DAY
        yield Draft(at, amount, merchant, card, name, device, "compromise", True, _thief(random, name, person.country))


def bust_out(random: np.random.Generator, number: int, days: int) -> Iterator[Draft]:
    """An account of invented identity: small and regular for weeks, then as much as goes in two days."""
    end, name, merchant = _any_time(random, days), f"b{number}", f"mer_{random.integers(60)}"
    usual, country, card = np.exp(random.normal(7.8, 0.4)), _country(random), f"tok_b{number}"
    for _ in range(random.integers(8, 25)):
        at = end - random.random() * 40 * DAY
        contact = _honest(random, name, country)
        amount = usual * np.exp(random.normal(0, 0.3))
        yield Draft(at, amount, merchant, card, name, name, "building", False, contact)
    for _ in range(random.integers(5, 15)):
        at, elsewhere = end + random.random() * 2 * DAY, f"mer_{random.integers(60)}"
        amount = usual * random.uniform(8, 40)
        yield Draft(at, amount, elsewhere, card, name, name, "bust-out", True, _honest(random, name, country))
