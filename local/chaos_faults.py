"""The faults of a chaos run: drawn from the seed before it begins, done while it runs, and undone at its end.

Of what happens to a region whole (freeze, cut, failover) there is one thing at a time; the dials turn beside it.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any

import httpx
from botocore.exceptions import BotoCoreError, ClientError

from local import platform
from local.client import new_key
from local.deploy import aws
from local.dials import DialFile
from local.ledger import Refused
from local.operations import Operations
from local.settings import REGIONS, Settings

_QUIET_SECONDS = 4.0
"""Before the first fault and between two of a kind, at least."""

_NO_SUCH_ROUTE = ("403", "404")
"""How the operators' API answers what it does not have."""

_RESTORE_TRIES = 60
"""A second apart: what a failover has moved may have to rest before it is moved again."""

_REGION_ITEMS = -10
"""Where the shard map has the first region's state; the second one's is below (docs/interfaces.md)."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong from second `begins` to second `ends`. `what` is a region's fault or a dial."""

    begins: float
    ends: float
    what: str
    value: Any


def plan(seed: int, seconds: float) -> list[Fault]:
    """The faults of a run of that length, in the order in which they begin. All are over when it ends."""
    chance = Random(f"{seed}/faults")
    longest = max(5.0, min(25.0, seconds / 4))
    faults = list(_spread(chance, seconds, longest, _of_a_region))
    for kind in (_of_replication, _of_the_link, _of_the_card_network):
        faults += _spread(chance, seconds, longest, kind)
    return sorted(faults, key=lambda fault: (fault.begins, fault.what))


def _spread(
    chance: Random, seconds: float, longest: float, draw: Callable[[Random], tuple[str, Any]]
) -> Iterable[Fault]:
    begins = _QUIET_SECONDS + chance.uniform(0, longest / 2)
    while (ends := begins + chance.uniform(4.0, longest)) < seconds:
        yield Fault(begins, ends, *draw(chance))
        begins = ends + chance.uniform(_QUIET_SECONDS, longest)


def _of_a_region(chance: Random) -> tuple[str, Any]:
    return chance.choice(("freeze", "freeze", "cut", "cut", "fail")), chance.choice(REGIONS)


def _of_replication(chance: Random) -> tuple[str, Any]:
    return "lag_ms", chance.choice((0, 500, 2_000, 5_000, 10_000, 30_000))


def _of_the_link(chance: Random) -> tuple[str, Any]:
    return chance.choice(
        (("link_latency_ms", chance.choice((50, 300, 1_500))), ("link_drop_rate", chance.choice((0.05, 0.3))))
    )


def _of_the_card_network(chance: Random) -> tuple[str, Any]:
    slow, lossy = ("card_network_latency_ms", (500, 2_500)), ("card_network_drop_rate", chance.choice((0.05, 0.3)))
    return chance.choice((slow, lossy))


class Weather:
    """Does the faults, and tells of each."""

    def __init__(self, at: Settings, endpoints: dict[str, Any], tell: Tell):
        self._at, self._endpoints, self._tell = at, endpoints, tell
        self._dials = DialFile(at)
        self._frozen: set[str] = set()
        self._failed: set[str] = set()
        self.done = 0

    def run(self, faults: Iterable[Fault], over: threading.Event) -> None:
        """Do and undo the faults at their times, until it is over."""
        turns = [(fault.begins, self.begin, fault) for fault in faults]
        turns += [(fault.ends, self.end, fault) for fault in faults]
        begun = time.monotonic()
        for when, turn, fault in sorted(turns, key=lambda turn: turn[0]):
            if over.wait(max(0.0, begun + when - time.monotonic())):
                return
            self._tell(f"{when:5.1f} s  {'+' if turn == self.begin else '-'} {fault.what} {fault.value}")
            turn(fault)

    def begin(self, fault: Fault) -> None:
        """Let it go wrong."""
        self.done += 1
        match fault.what:
            case "freeze":
                platform.signal_region(self._at, fault.value, signal.SIGSTOP)
                self._frozen.add(fault.value)
            case "cut":
                self._dials.cut(fault.value)
            case "fail":
                self.fail_over(fault.value)
            case dial:
                self._dials.turn(**{dial: fault.value})

    def end(self, fault: Fault) -> None:
        """Put it right again."""
        match fault.what:
            case "freeze":
                self._thaw(fault.value)
            case "cut":
                self._dials.mend(fault.value)
            case "fail":
                self._restore(fault.value)
            case dial:
                self._dials.turn(**{dial: getattr(self._dials.start, dial)})

    def fail_over(self, region: str) -> bool:
        """Have an operator fail a region over; whether it was done."""
        done = self._ask(region, "fail")
        if done:
            self._failed.add(region)
        return done

    def heal(self) -> None:
        """Everything is as at the start, whatever went wrong: also a region that the platform itself failed over."""
        for region in sorted(self._frozen):
            self._thaw(region)
        self._dials.reset()
        for region in sorted(self._failed | set(failed(self._at))):
            self._tell(f"         restore {region}")
            self._ask(region, "restore", _RESTORE_TRIES)
        self._failed.clear()

    def _thaw(self, region: str) -> None:
        platform.thaw(self._at, region)
        self._frozen.discard(region)

    def _restore(self, region: str) -> None:
        if region in self._failed and self._ask(region, "restore"):
            self._failed.discard(region)

    def _ask(self, region: str, action: str, tries: int = 5) -> bool:
        """Asks the operators' API of the other region; whether it was done."""
        (other,) = (name for name in REGIONS if name != region)
        api = Operations(self._endpoints["regions"][other]["operations"], other)
        key = new_key()
        for _ in range(tries):
            with suppress(httpx.HTTPError):
                try:
                    api.move(region, action, "chaos", key)
                except Refused as error:
                    if str(error).startswith(_NO_SUCH_ROUTE):
                        self._tell(
                            f"         ! {action} {region} skipped: the operators' API does not have it ({error})"
                        )
                        return False
                    self._tell(f"         ! {action} {region}: {error}")
                else:
                    return True
            time.sleep(1)
        self._tell(f"         ! {action} {region} was not done in {tries} tries")
        return False


def failed(at: Settings) -> list[str]:
    """Regions that the shard map says are failed, as the first region that answers knows it."""
    keys = {name: {"shard": {"N": str(_REGION_ITEMS - index)}} for index, name in enumerate(REGIONS)}
    for asked in REGIONS:
        with suppress(BotoCoreError, ClientError):
            dynamodb = aws(at, "dynamodb", asked, 3)
            items = {name: dynamodb.get_item(TableName="shards", Key=key).get("Item", {}) for name, key in keys.items()}
            return [name for name, item in items.items() if item.get("state", {}).get("S") == "failed"]
    return []
