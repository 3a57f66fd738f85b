"""What journals add to balances: pure sums, used by the projector, by the rebuild and by the checks alike.

Balances are kept per accounting period, a UTC day of the journals' `created_at`; an account's balance at an instant is
the sum of its periods before that day and of the day's journals up to the instant. Two ledgers are summed:

- the subsidiary ledger: `merchant:…` and `disputes:…`, one item per account, currency and day. Customers' accounts
  are summed from the journals when somebody asks.
- the general ledger: per shard (`shard:017`), currency and day one item with the counters of every control account. It
  balances in itself.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Protocol

from payments import accounts, identifiers
from payments.journal import EFFECTS, Balance, Entry, Side

LANES = 16
"""Items that a period may be spread over: `USD#2026-11-23` and, when several write it at once, `USD#2026-11-23#0` to
`…#15`. A period's counters are the sums over its lanes."""

Key = tuple[str, str]
"""Account (or shard) and period (`USD#2026-11-23`): the key of an item of the balances table."""

Sums = dict[Key, Counter[str]]
"""What is added to each counter of each item."""

_COUNTERS = ("debits_pending", "debits_posted", "credits_pending", "credits_posted")
_SUBSIDIARY = ("merchant:", "disputes:")


class Booked(Protocol):
    """What is summed of a journal; a `Journal` has it, and a `StoredJournal`, which may not even balance."""

    @property
    def payment_id(self) -> str: ...
    @property
    def created_at(self) -> str: ...
    @property
    def entries(self) -> tuple[Entry, ...]: ...


def shard_account(shard: int) -> str:
    """The general ledger's key of a shard."""
    return f"shard:{shard:03d}"


def period(currency: str, created_at: str) -> str:
    """The accounting period of a journal's entry."""
    return f"{currency}#{created_at[:10]}"


def in_lane(period: str, lane: int | None) -> str:
    """The sort key of a period's item in a lane; None is the first one, which nobody had to leave."""
    return period if lane is None else f"{period}#{lane}"


def without_lane(sort_key: str) -> str:
    """The period that an item of the balances table belongs to."""
    return "#".join(sort_key.split("#")[:2])


def sums(journals: Iterable[Booked]) -> Sums:
    """What the journals add, by item."""
    found: Sums = {}
    for journal in journals:
        shard = shard_account(identifiers.shard_of(journal.payment_id))
        for entry in journal.entries:
            when = period(entry.currency, journal.created_at)
            _add(found.setdefault((shard, when), Counter()), entry, accounts.control(entry.account) + "/")
            if entry.account.startswith(_SUBSIDIARY):
                _add(found.setdefault((entry.account, when), Counter()), entry)
    return found


def balance(counters: Mapping[str, int], control: str = "") -> Balance:
    """The balance that an item's counters show; of a shard's item that of one control account."""
    prefix = f"{control}/" if control else ""
    return Balance(*(int(counters.get(prefix + name, 0)) for name in _COUNTERS))


def trial_balance(counters: Mapping[str, int]) -> dict[str, Balance]:
    """Every control account of a shard's item; their sum is balanced as long as the books are."""
    names = {name.rpartition("/")[0] for name in counters if "/" in name}
    return {control: balance(counters, control) for control in sorted(names)}


def _add(counter: Counter[str], entry: Entry, prefix: str = "") -> None:
    side = "debits" if entry.side is Side.DEBIT else "credits"
    for phase, factor in zip(("pending", "posted"), EFFECTS[entry.phase], strict=True):
        if factor:
            counter[f"{prefix}{side}_{phase}"] += factor * entry.amount
