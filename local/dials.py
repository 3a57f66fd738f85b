"""The dials of the local cloud: what lies between its regions, and between them and the card network.

They are one file of JSON in the home directory, `dials.json`, which holds what differs from the start. Whoever lives
by a dial (`replication.py`, `link.py`, `card_network.py`) reads it at every step, so a turn counts at once.
"""

import fcntl
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from local.settings import REGIONS, Settings

FILE = "dials.json"
_LONGEST_MS = 600_000


class InvalidDial(ValueError):
    """There is no such dial, or it has no such value; the message says what it may be."""


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise InvalidDial(message)


@dataclass(frozen=True)
class Dials:
    """How they stand. Times are milliseconds, rates parts of one. Raises `InvalidDial`."""

    lag_ms: int = 50
    """How long a replicated item takes at most; each takes between half of it and all of it, so they overtake."""
    link_latency_ms: int = 0
    """What every call of a function to the other region takes longer."""
    link_drop_rate: float = 0.0
    """Calls to the other region that come to nothing: half of them are lost on the way, half have their answer lost."""
    card_network_latency_ms: tuple[int, int] = (200, 500)
    card_network_drop_rate: float = 0.0
    """Requests to the card network that it never answers: half of them before it has decided, half after."""
    cut_off: tuple[str, ...] = ()
    """Regions that neither replicate with the other nor reach it, while the world reaches both."""

    def __post_init__(self) -> None:
        for name in ("lag_ms", "link_latency_ms"):
            _require(0 <= getattr(self, name) <= _LONGEST_MS, f"{name} must be 0 to {_LONGEST_MS}")
        for name in ("link_drop_rate", "card_network_drop_rate"):
            _require(0 <= getattr(self, name) <= 1, f"{name} must be 0 to 1")
        low, high = self.card_network_latency_ms
        _require(0 <= low <= high <= _LONGEST_MS, "card_network_latency_ms must be LOW-HIGH")
        _require(set(self.cut_off) <= set(REGIONS), f"cut_off can be {' and '.join(REGIONS)}")

    @property
    def apart(self) -> bool:
        """Whether the regions are cut off from each other: there are two, so one that is cut off cuts off the other."""
        return bool(self.cut_off)


Reader = Callable[[], Dials]
"""How the dials stand now."""

AT_ONCE = Dials(lag_ms=0, card_network_latency_ms=(0, 0))
"""Nothing takes time and nothing is lost: what a strongly consistent table lives by."""


class DialFile:
    """The dials of one local cloud. Calling it reads them, anew only when somebody has turned one."""

    def __init__(self, at: Settings):
        self._file, self._lock = at.path(FILE), at.path("dials.lock")
        self.start = Dials(lag_ms=at.replication_lag_ms, card_network_latency_ms=at.card_network_latency_ms)
        self._read, self._mark = self.start, (0, 0)

    def __call__(self) -> Dials:
        """How they stand now."""
        try:
            found = self._file.stat()
        except FileNotFoundError:
            return self.start
        mark = found.st_ino, found.st_mtime_ns
        if mark != self._mark:
            self._read, self._mark = replace(self.start, **_decoded(json.loads(self._file.read_text()))), mark
        return self._read

    def turn(self, **changes: Any) -> Dials:
        """Set these dials and leave the others. Raises `InvalidDial`."""
        with self._exclusive():
            turned = replace(self(), **changes)
            start = asdict(self.start)
            self._write({name: value for name, value in asdict(turned).items() if value != start[name]})
        return turned

    def cut(self, region: str) -> Dials:
        """Cut a region off from the other."""
        return self.turn(cut_off=tuple(sorted({*self().cut_off, region})))

    def mend(self, region: str) -> Dials:
        """Undo `cut`."""
        return self.turn(cut_off=tuple(sorted({*self().cut_off} - {region})))

    def reset(self) -> Dials:
        """Everything as at the start."""
        with self._exclusive():
            self._write({})
        return self.start

    def _write(self, differing: Mapping[str, Any]) -> None:
        temporary = self._file.with_suffix(".new")
        temporary.write_text(json.dumps(differing))
        temporary.replace(self._file)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        with self._lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def parsed(name: str, text: str) -> dict[str, Any]:
    """A dial and its value as an operator writes them: `lag-ms 5000`, `card-network-latency-ms 20-100`.

    Raises `InvalidDial`.
    """
    field = name.replace("-", "_")
    kinds: dict[str, Any] = {dial.name: type(getattr(Dials(), dial.name)) for dial in fields(Dials)}
    del kinds["cut_off"]
    if field not in kinds:
        raise InvalidDial(f"{name}: the dials are {', '.join(known.replace('_', '-') for known in kinds)}")
    try:
        value = _span(text) if kinds[field] is tuple else kinds[field](text)
    except ValueError:
        raise InvalidDial(f"{name}: {text} is no value for it") from None
    return {field: value}


def shown(dials: Dials) -> dict[str, str]:
    """The dials by their names, as an operator writes them."""
    values = asdict(dials) | {"card_network_latency_ms": "{}-{}".format(*dials.card_network_latency_ms)}
    values["cut_off"] = ", ".join(dials.cut_off) or "none"
    return {name.replace("_", "-"): str(value) for name, value in values.items()}


def _decoded(written: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in written.items()}


def _span(text: str) -> tuple[int, int]:
    low, _, high = text.partition("-")
    return int(low), int(high or low)
