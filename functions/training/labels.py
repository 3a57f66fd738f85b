"""What a stored score teaches: fraud, good, or nothing yet. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

DAY = 86_400

Taught = Literal["fraud", "good", "young", "blocked"]


def taught(item: Mapping[str, Any], as_of: int, label_days: int) -> Taught:
    """What is known of a charge at `as_of`, Unix seconds.

    A charge counts once it is `label_days` old: as fraud if somebody had said so by then, else as good. A younger fraud
    waits for the good charges of its days: alone they would teach that the newest days are fraudulent. Of a blocked
    charge without a label nobody knows what it was.
    """
    if item["at"] > as_of - label_days * DAY:
        return "young"
    label = item.get("label") if item.get("labelled_at", 0) <= as_of else None
    if label == "fraud":
        return "fraud"
    return "blocked" if item["decision"] == "block" and label is None else "good"


def due_days(as_of: int, training_days: int, label_days: int) -> range:
    """The days since 1970 whose charges may be due: the last one is not over where labels are due at once."""
    last = (as_of - label_days * DAY) // DAY
    return range(last - training_days, last + 1)
