"""What rules may ask about what went before a charge. Worked out when asked: most charges meet few rules."""

from __future__ import annotations

from collections.abc import Mapping

from functions.fraud.charge import Charge
from functions.fraud.history import HOURS, MINUTES, History, short_mark, window

LIMITED = ("card", "customer", "device", "ip")
"""What limits can be of, as far as profiles have it."""

# Ring of buckets and how many make the window; 10m is 10 to 20 minutes, as in the features.
WINDOWS = {"10m": (MINUTES, 2), "1h": (MINUTES, MINUTES.length), "24h": (HOURS, HOURS.length)}


_PARTS = ("count", "value")


class Facts:
    """Of each entity that the merchant sent: `<entity>_count_<window>`, charges before this one, blocked or not;
    `<entity>_value_<window>`, their sum in US cents; and `<entity>_cards`, cards known with it, this one included. Of
    an IP address strangers' charges only (features.remember)."""

    def __init__(self, charge: Charge, histories: Mapping[str, History]) -> None:
        self._charge = charge
        self._histories = histories
        self._windows: dict[tuple[str, str], tuple[int, int]] = {}

    def get(self, name: str, default: float) -> float:
        """The fact of this name, the default where there is none."""
        kind, _, quantity = name.partition("_")
        history = self._histories.get(kind)
        if history is None or kind not in LIMITED:
            return default
        if quantity == "cards":
            return len(history.sets.get("cards", frozenset()) | {short_mark(self._charge.card)})
        what, _, length = quantity.partition("_")
        if what not in _PARTS or length not in WINDOWS:
            return default
        past = self._windows.get((kind, length))
        if past is None:
            ring, buckets = WINDOWS[length]
            past = self._windows[kind, length] = window(history, ring, self._charge.at, buckets)
        return past[_PARTS.index(what)]
