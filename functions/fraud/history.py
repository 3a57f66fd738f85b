"""What is remembered of a card, customer, device, IP address, e-mail address or merchant: counters by time bucket.

Pure values: a `History` is the attributes of a stored item, a `Change` says what one charge or one confirmed fraud adds
to it. Training applies changes in memory (`apply`), serving turns the same changes into DynamoDB updates
(`profiles.py`), so a feature cannot mean two things.

A bucket's name carries its epoch (`h493021` is hour 493021 since 1970), so an old bucket is never mistaken for a new
one and needs no reset: adding to a bucket and removing an expired one both commute with whatever other writers do.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import cast

TEN_MINUTES = 600
HOUR = 3600
DAY = 24 * HOUR

# A bucket is one number, value * SCALE + count: half the attributes, so that an item stays below the 1 KB of one write
# unit. Room for a billion charges a bucket.
SCALE = 10**9

# Members of a set of cards; more say nothing new. Members of the other sets, which are habits. Payments remembered per
# ten minutes (labels: per day), to count a repeated one once.
CARDS_REMEMBERED = 16
HABITS_REMEMBERED = 6
PAYMENTS_REMEMBERED = 6

# Charges that one bucket counts exactly; beyond, see `weight`.
EXACT = 128

# Habits older than a season are forgotten.
LIFETIME = 90 * DAY


@dataclass(frozen=True, slots=True)
class Ring:
    """Buckets `<letter><number>` of `seconds` each; the newest `length` are kept, the current one included."""

    letter: str
    seconds: int
    length: int


# The last hour is the newest 6 buckets (50 to 60 minutes), a day 24 (23 to 24 hours), and so on.
MINUTES = Ring("m", TEN_MINUTES, 6)
HOURS = Ring("h", HOUR, 24)
DAYS = Ring("d", DAY, 7)
FIVE_DAYS = Ring("w", 5 * DAY, 6)
# Charges of an unusual amount. Confirmed frauds by the day of the charge, and those of a usual amount among them.
UNUSUAL = Ring("u", DAY, 14)
FRAUDS = Ring("f", DAY, 38)
QUIET_FRAUDS = Ring("q", DAY, 38)
# A merchant's charges by day, for as long as their labels matter: 30 days that end when a label is due.
MERCHANT_DAYS = Ring("d", DAY, 38)

# Sets by time: payments and labels counted, countries of a card.
PAYMENTS = Ring("p", TEN_MINUTES, 2)
LABELS = Ring("l", DAY, 2)
COUNTRIES = Ring("g", DAY, 2)

# Buckets that a charge adds to, by kind of entity; the first is the one whose crowding decides `weight`.
RINGS: Mapping[str, tuple[Ring, ...]] = {
    "card": (MINUTES, HOURS, DAYS, FIVE_DAYS),
    "customer": (MINUTES, HOURS, DAYS),
    "device": (MINUTES, HOURS),
    "ip": (MINUTES, HOURS),
    "email": (MINUTES, HOURS),
    "merchant": (MERCHANT_DAYS,),
}
_SPARSE = (UNUSUAL, FRAUDS, QUIET_FRAUDS, PAYMENTS, LABELS, COUNTRIES)
_KEPT = {kind: tuple((r.letter, r.seconds, r.length) for r in (*rings, *_SPARSE)) for kind, rings in RINGS.items()}


@dataclass(frozen=True, slots=True)
class History:
    """Attributes of one entity, of one region or of all regions together.

    Numbers: `charges`, `spent` (US cents, see charge.value_in_cents) and `squares` (cents squared) of charges that were
    let through, without those confirmed as fraud; `peak` (cents), `first_seen` (Unix seconds), `frauds` (confirmed),
    `fraud_at` (the newest confirmed fraud's charge, Unix seconds), and buckets. Sets: `cards`, `merchants`, `devices`,
    `emails`, `countries`, and sets by time.
    """

    numbers: Mapping[str, int] = field(default_factory=dict)
    sets: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """What one charge or label does to one region's item: ADD numbers, ADD set members, SET, SET if absent, REMOVE.

    `payment` is the payment's mark: the change applies only if none of the sets `remembered_in` holds it. `expires_at`
    (Unix seconds) is for the table's TTL only.
    """

    payment: str
    remembered_in: tuple[str, str]
    add: Mapping[str, int]
    join: Mapping[str, str]
    put: Mapping[str, int]
    first: Mapping[str, int]
    drop: tuple[str, ...]
    expires_at: int


@dataclass(frozen=True, slots=True)
class Fact:
    """What a charge tells one entity: `value` in US cents, `at` in Unix seconds.

    A blocked charge counts as an attempt in the windows only: it must not become the habit that the next one is
    measured by. `tried` are members for the sets in any case, `habits` only if it was not blocked.
    """

    payment_id: str
    value: int
    at: int
    blocked: bool
    unusual: bool = False
    tried: Mapping[str, str] = field(default_factory=dict)
    habits: Mapping[str, str] = field(default_factory=dict)


def mark(text: str, length: int) -> str:
    """A short stand-in for an identifier: `length` base64url characters of its SHA-256, 6 bits each, at most 32."""
    return urlsafe_b64encode(sha256(text.encode()).digest()[:24])[:length].decode()


@lru_cache(maxsize=4096)
def payment_mark(payment_id: str) -> str:
    """The 8 characters (48 bits) a payment is remembered by."""
    return mark(payment_id, 8)


@lru_cache(maxsize=4096)
def short_mark(name: str) -> str:
    """The 4 characters (24 bits) a card, device, merchant or e-mail address is remembered by in a set."""
    return mark(name, 4)


def merged(histories: Iterable[History]) -> History:
    """The regions' items of one entity as one: counters add up, `peak` and `fraud_at` are the largest, `first_seen`
    the earliest."""
    numbers: dict[str, int] = {}
    sets: dict[str, frozenset[str]] = {}
    for history in histories:
        for name, number in history.numbers.items():
            known = numbers.get(name)
            if known is None:
                numbers[name] = number
            elif name in ("peak", "fraud_at"):
                numbers[name] = max(known, number)
            elif name == "first_seen":
                numbers[name] = min(known, number)
            else:
                numbers[name] = known + number
        for name, members in history.sets.items():
            sets[name] = sets.get(name, frozenset()) | members
    return History(numbers, sets)


def window(history: History, ring: Ring, at: int, length: int) -> tuple[int, int]:
    """Count and value (US cents) in the newest `length` buckets of the ring as of Unix second `at`."""
    numbers, letter, last = history.numbers, ring.letter, at // ring.seconds
    packed = sum([numbers.get(f"{letter}{number}", 0) for number in range(last - length + 1, last + 1)])
    return packed % SCALE, packed // SCALE


def counted(history: History, payment_id: str, at: int) -> bool:
    """Whether this payment is remembered as counted: for 10 to 20 minutes, and the first few of ten minutes only."""
    memory = payment_mark(payment_id)
    return any(memory in history.sets.get(name, ()) for name in _newest_two(PAYMENTS, at))


def _newest_two(ring: Ring, at: int) -> tuple[str, str]:
    now = at // ring.seconds
    return f"{ring.letter}{now}", f"{ring.letter}{now - 1}"


def weight(kind: str, own: History, payment_id: str, at: int) -> int:
    """For how many charges this one is counted; 0: it is not.

    A busy entity would be one hot item: DynamoDB takes 1,000 writes a second to one key. So from EXACT charges in the
    current bucket on, every second one is counted, twice; from 2 x EXACT every fourth, four times; and so on. Sums stay
    true on average (Morris, "Counting large numbers of events in small registers", CACM 1978; here with a deviation
    below a tenth). Which ones are counted depends on the payment's id, so a repeated scoring chooses alike. A card is
    always counted: no card is that busy, and a rule counts its attempts.
    """
    if kind == "card":
        return 1
    ring = RINGS[kind][0]
    count = own.numbers.get(f"{ring.letter}{at // ring.seconds}", 0) % SCALE
    if count < EXACT:
        return 1
    step = 1 << (count // EXACT).bit_length()
    lot = int.from_bytes(sha256(f"{kind} {payment_id}".encode()).digest()[:6])
    return 0 if lot % step else step


def change(kind: str, own: History, fact: Fact, times: int = 1) -> Change:
    """What a charge does to `own`, this region's item of an entity, if it is counted `times` (see `weight`).

    Limits on the sets are soft: concurrent writers that read the same item may each add one more. `peak` and `fraud_at`
    are the attributes that do not commute: of two concurrent records the smaller may win, until the next larger one.
    """
    at, value, packed = fact.at, fact.value, (fact.value * SCALE + 1) * times
    add = {f"{ring.letter}{at // ring.seconds}": packed for ring in RINGS[kind]}
    if not fact.blocked:
        add |= {"charges": times, "spent": value * times, "squares": value * value * times}
    if fact.unusual:
        add[f"{UNUSUAL.letter}{at // DAY}"] = times
    remembered_in = _newest_two(PAYMENTS, at)
    members = fact.tried if fact.blocked else {**fact.tried, **fact.habits}
    join = {name: member for name, member in members.items() if _has_room(own, name, member)}
    payment = payment_mark(fact.payment_id)
    if len(own.sets.get(remembered_in[0], ())) < PAYMENTS_REMEMBERED:
        join[remembered_in[0]] = payment
    return Change(
        payment=payment,
        remembered_in=remembered_in,
        add=add,
        join=join,
        put={"peak": value} if not fact.blocked and value > own.numbers.get("peak", -1) else {},
        first={} if fact.blocked else {"first_seen": at},
        drop=_expired(kind, own, at),
        expires_at=at + LIFETIME,
    )


def confirmed(kind: str, own: History, fact: Fact, at: int) -> Change:
    """What it does to `own` that the charge `fact`, let through, is confirmed as fraud at Unix second `at`.

    It no longer counts as a habit. The charge's own day counts the fraud, so that it can be set against the charges of
    that day however late the label comes; `fact.unusual` says whether the amount was.
    """
    remembered_in, payment = _newest_two(LABELS, at), payment_mark(fact.payment_id)
    room = len(own.sets.get(remembered_in[0], ())) < PAYMENTS_REMEMBERED
    add = {"frauds": 1, "charges": -1, "spent": -fact.value, "squares": -fact.value * fact.value}
    if kind == "merchant" and fact.at // DAY > at // DAY - FRAUDS.length:
        add[f"{FRAUDS.letter}{fact.at // DAY}"] = 1
        if not fact.unusual:
            add[f"{QUIET_FRAUDS.letter}{fact.at // DAY}"] = 1
    return Change(
        payment=payment,
        remembered_in=remembered_in,
        add=add,
        join={remembered_in[0]: payment} if room else {},
        put={"fraud_at": fact.at} if fact.at > own.numbers.get("fraud_at", -1) else {},
        first={},
        drop=_expired(kind, own, at),
        expires_at=at + LIFETIME,
    )


def _has_room(own: History, name: str, member: str) -> bool:
    known = own.sets.get(name, frozenset())
    return member not in known and len(known) < (CARDS_REMEMBERED if name == "cards" else HABITS_REMEMBERED)


def _expired(kind: str, own: History, at: int) -> tuple[str, ...]:
    oldest = {letter: at // seconds - length + 1 for letter, seconds, length in _KEPT[kind]}
    return tuple(
        name
        for names in (own.numbers, own.sets)
        for name in names
        if name[0] in oldest and name[1:].isdecimal() and int(name[1:]) < oldest[name[0]]
    )


def changed(own: History, difference: Change) -> History:
    """`own` after `difference`, as the same update does to the stored item; a remembered payment changes nothing."""
    copy = History(dict(own.numbers), dict(own.sets))
    apply(copy, difference)
    return copy


def apply(own: History, difference: Change) -> None:
    """`changed` in place, for long streams in memory; `own` is made of dicts."""
    numbers, sets = cast(dict[str, int], own.numbers), cast(dict[str, frozenset[str]], own.sets)
    if any(difference.payment in sets.get(name, ()) for name in difference.remembered_in):
        return
    for name in difference.drop:
        numbers.pop(name, None)
        sets.pop(name, None)
    for name, number in difference.add.items():
        numbers[name] = numbers.get(name, 0) + number
    for name, member in difference.join.items():
        sets[name] = sets.get(name, frozenset()) | {member}
    for name, number in difference.first.items():
        numbers.setdefault(name, number)
    numbers.update(difference.put)
