"""What is remembered of a card, a customer or a device: counters by time bucket.

Pure values: a `History` is the attributes of a stored item, a `Change` says what one charge adds to it. Training
applies changes in memory (`changed`), serving turns the same changes into DynamoDB updates (`profiles.py`), so a
feature cannot mean two things.

A bucket's name carries its epoch (`h493021` is hour 493021 since 1970), so an old bucket is never mistaken for a new
one and needs no reset: adding to a bucket and removing an expired one both commute with whatever other writers do.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

TEN_MINUTES = 600
HOUR = 3600

# Buckets in the last hour and the last day, the current one included: windows of 50-60 minutes and of 23-24 hours.
BUCKETS_1H = 6
BUCKETS_24H = 24

# A bucket is one number, value * SCALE + count: half the attributes, so that an item stays below the 1 KB of one write
# unit. Room for ten million charges a bucket; a DynamoDB partition takes 3.6 million writes an hour.
SCALE = 10_000_000

# Cards remembered on a device; more say nothing new. Payments remembered per ten minutes, to count a repeated one once.
CARDS_REMEMBERED = 16
PAYMENTS_REMEMBERED = 6

# Habits older than a season are forgotten.
LIFETIME = 90 * 24 * HOUR


@dataclass(frozen=True, slots=True)
class History:
    """Attributes of one entity, of one region or of all regions together.

    Numbers: `charges`, `spent` (US cents, see features.value_in_cents), `squares` (cents squared), `peak` (cents),
    `first_seen` (Unix seconds), and buckets `m<ten minutes>` and `h<hour>`. Sets: `cards`, and `p<ten minutes>`.
    """

    numbers: Mapping[str, int] = field(default_factory=dict)
    sets: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """What one charge does to one region's item: ADD numbers, ADD set members, SET, SET if absent, REMOVE.

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


def mark(text: str, length: int) -> str:
    """A short stand-in for an identifier: `length` base64url characters of its SHA-256, 6 bits each, at most 32."""
    return urlsafe_b64encode(sha256(text.encode()).digest()[:24])[:length].decode()


def payment_mark(payment_id: str) -> str:
    """The 8 characters (48 bits) a payment is remembered by."""
    return mark(payment_id, 8)


def card_mark(token: str) -> str:
    """The 4 characters (24 bits) a card is remembered by on a device."""
    return mark(token, 4)


def merged(histories: Iterable[History]) -> History:
    """The regions' items of one entity as one: counters add up, `peak` is the largest, `first_seen` the earliest."""
    numbers: dict[str, int] = {}
    sets: dict[str, frozenset[str]] = {}
    for history in histories:
        for name, number in history.numbers.items():
            known = numbers.get(name)
            if known is None:
                numbers[name] = number
            elif name == "peak":
                numbers[name] = max(known, number)
            elif name == "first_seen":
                numbers[name] = min(known, number)
            else:
                numbers[name] = known + number
        for name, members in history.sets.items():
            sets[name] = sets.get(name, frozenset()) | members
    return History(numbers, sets)


def window(history: History, bucket: str, last: int, length: int) -> tuple[int, int]:
    """Count and value (US cents) in the `length` buckets (`m` or `h`) that end with bucket number `last`."""
    numbers = history.numbers
    packed = sum(numbers.get(f"{bucket}{number}", 0) for number in range(last - length + 1, last + 1))
    return packed % SCALE, packed // SCALE


def payment_sets(at: int) -> tuple[str, str]:
    """Names of the sets where a payment of Unix second `at` may be remembered: this ten minutes' and the previous."""
    now = at // TEN_MINUTES
    return f"p{now}", f"p{now - 1}"


def counted(history: History, payment_id: str, at: int) -> bool:
    """Whether this payment is remembered as counted: for 10 to 20 minutes, and the first few of ten minutes only."""
    memory = payment_mark(payment_id)
    return any(memory in history.sets.get(name, ()) for name in payment_sets(at))


def change(own: History, payment_id: str, card: str | None, value: int, at: int, blocked: bool) -> Change:
    """What a charge of `value` US cents at Unix second `at` does to `own`, this region's item of an entity.

    `card` is the token to remember (devices), or None. A blocked charge counts as an attempt in the windows only: it
    must not become the habit that the next one is measured by. Limits on the sets are soft: concurrent writers that
    read the same item may each add one more. `peak` is the one attribute that does not commute: of two concurrent
    records the smaller may win, until the next larger charge.
    """
    ten, hour, packed = at // TEN_MINUTES, at // HOUR, value * SCALE + 1
    payment, remembered_in = payment_mark(payment_id), payment_sets(at)
    join = {}
    if len(own.sets.get(remembered_in[0], ())) < PAYMENTS_REMEMBERED:
        join[remembered_in[0]] = payment
    if card is not None and len(own.sets.get("cards", ())) < CARDS_REMEMBERED:
        join["cards"] = card_mark(card)
    habit = {} if blocked else {"charges": 1, "spent": value, "squares": value * value}
    return Change(
        payment=payment,
        remembered_in=remembered_in,
        add={f"m{ten}": packed, f"h{hour}": packed, **habit},
        join=join,
        put={"peak": value} if habit and value > own.numbers.get("peak", -1) else {},
        first={"first_seen": at} if habit else {},
        drop=_expired(own, ten, hour),
        expires_at=at + LIFETIME,
    )


def _expired(own: History, ten: int, hour: int) -> tuple[str, ...]:
    oldest = {"m": ten - BUCKETS_1H + 1, "h": hour - BUCKETS_24H + 1, "p": ten - 1}
    return tuple(
        name
        for names in (own.numbers, own.sets)
        for name in names
        if name[0] in oldest and name[1:].isdecimal() and int(name[1:]) < oldest[name[0]]
    )


def changed(own: History, difference: Change) -> History:
    """`own` after `difference`, as the same update does to the stored item; a remembered payment changes nothing."""
    if any(difference.payment in own.sets.get(name, ()) for name in difference.remembered_in):
        return own
    numbers, sets = dict(own.numbers), dict(own.sets)
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
    return History(numbers, sets)
