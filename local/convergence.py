"""How two copies of a table become equal: last writer wins, item by item, as DynamoDB's global tables do it.

Pure: no clock, network or thread. `Copies` holds, for one table, what is known of each item in each region: the newest
write (the winner) and what each region's stream last showed. Whoever drives it tells it what a stream shows
(`observe`), asks what a region lacks (`next_change`) and reports how applying that ended (`applied`, `refused`,
`unknown`).

Why it neither loops nor diverges: a write that we ourselves applied comes back on the region's stream. It is recognised
by its image, which was noted before it was sent (`_Place.echoes`), and never counts as a new write. Any other record is
a merchant's write with a version (time, region, position); the greatest version wins. Whatever a stream shows last in a
region, echo or not, if it differs from the winner that region is owed the winner again. So a change applied late (a
frozen region finishing an old request after thaw) is repaired, and at rest every region shows the winner.

Several writes to one item in quick succession may reach the other region as one, as they do between real replicas.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Image = Mapping[str, Any]
"""An item in DynamoDB's JSON form."""

ABSENT = ""
"""The canonical form of an item that is not there."""


@dataclass(frozen=True, order=True)
class Version:
    """When a merchant's write happened; the greater one wins. The region decides between equal milliseconds."""

    milliseconds: int
    region: str
    position: int


@dataclass(frozen=True)
class Change:
    """What to write into a region: `image` is put, or the item deleted when it is None.

    `expected` is what the region is believed to hold now; writing only over that keeps an unread local write safe.
    """

    key: str
    image: Image | None
    expected: Image | None


@dataclass
class _Echo:
    """A write of ours that the region's stream has not shown yet, and in which period it was sent."""

    form: str
    period: int
    sure: bool = True


@dataclass
class _Place:
    """One item in one region."""

    shown: str = ABSENT
    acknowledged: str | None = None
    echoes: list[_Echo] = field(default_factory=list)
    busy: bool = False

    def believed(self) -> str:
        """What the region holds as far as we know: our own acknowledged write is newer than the stream as read."""
        return self.shown if self.acknowledged is None else self.acknowledged

    def take_echo(self, form: str, sure: bool | None = None) -> bool:
        """Remove the oldest awaited echo of this form; whether there was one."""
        for echo in self.echoes:
            if echo.form == form and sure in (None, echo.sure):
                self.echoes.remove(echo)
                return True
        return False


@dataclass
class _Item:
    winner: Version | None = None
    winning: str = ABSENT
    images: dict[str, Image] = field(default_factory=dict)
    places: dict[str, _Place] = field(default_factory=dict)


class Copies:
    """The copies of one table in these regions."""

    def __init__(self, regions: Iterable[str]):
        self.regions = tuple(regions)
        self._items: dict[str, _Item] = {}
        self._periods = dict.fromkeys(self.regions, 0)
        self._awaiting: dict[str, set[str]] = {region: set() for region in self.regions}

    def observe(self, region: str, key: str, version: Version, image: Image | None) -> list[str]:
        """A region's stream shows this image (None: deleted). Returns the regions that now lack the winner."""
        item = self._item(key)
        form = canonical(image)
        if image is not None:
            item.images[form] = image
        place = item.places[region]
        place.shown = form
        if place.take_echo(form):
            if place.acknowledged == form:
                place.acknowledged = None
        elif item.winner is None or version > item.winner:
            item.winner, item.winning = version, form
        self._forget_images(item)
        return [name for name in self.regions if self._lacks(item, name)]

    def next_change(self, region: str, key: str) -> Change | None:
        """What this region lacks of the item, noted as under way; None if nothing, or if a change is under way."""
        item = self._item(key)
        place = item.places[region]
        if place.busy or not self._lacks(item, region):
            return None
        place.busy = True
        place.echoes.append(_Echo(item.winning, self._periods[region]))
        self._awaiting[region].add(key)
        return Change(key, item.images.get(item.winning), item.images.get(place.believed()))

    def applied(self, region: str, change: Change, replaced: Image | None) -> None:
        """The region accepted the change, which replaced this image."""
        place = self._finished(region, change)
        form = canonical(change.image)
        if canonical(replaced) == form:  # nothing changed, so the stream will show nothing
            place.take_echo(form, sure=True)
            place.shown, place.acknowledged = form, None
        elif any(echo.form == form and echo.sure for echo in place.echoes):
            place.acknowledged = form

    def refused(self, region: str, change: Change) -> None:
        """The region certainly did not take the change: it holds something else, or could not be reached."""
        self._finished(region, change).take_echo(canonical(change.image), sure=True)

    def unknown(self, region: str, change: Change) -> None:
        """No answer: the change may have been taken, or may yet be. Its echo is recognised whenever it comes."""
        form = canonical(change.image)
        for echo in self._finished(region, change).echoes:
            if echo.form == form:
                echo.sure = False

    def lacking(self, region: str) -> list[str]:
        """Keys of all items in which this region differs from the winner."""
        return [key for key, item in self._items.items() if self._lacks(item, region)]

    def is_lacking(self, region: str, key: str) -> bool:
        """Whether the region differs from the winner in this item."""
        return self._lacks(self._item(key), region)

    def emptied(self, region: str) -> list[str]:
        """The region's table was made anew and holds nothing. Returns the keys of everything it now lacks."""
        for item in self._items.values():
            item.places[region] = _Place()
        self._awaiting[region].clear()
        return self.lacking(region)

    def end_period(self, region: str) -> None:
        """The region has answered without fault for a while: echoes awaited since before the last period never come.

        They belong to writes that changed nothing or were never taken. Left in place, such a note would swallow a
        merchant's later write of the same image.
        """
        self._periods[region] += 1
        for key in list(self._awaiting[region]):
            place = self._item(key).places[region]
            place.echoes = [echo for echo in place.echoes if echo.period >= self._periods[region] - 1]
            if not place.echoes and not place.busy:
                place.acknowledged = None
                self._awaiting[region].discard(key)

    def _item(self, key: str) -> _Item:
        if key not in self._items:
            self._items[key] = _Item(places={name: _Place() for name in self.regions})
        return self._items[key]

    @staticmethod
    def _lacks(item: _Item, region: str) -> bool:
        return item.winner is not None and item.places[region].believed() != item.winning

    def _finished(self, region: str, change: Change) -> _Place:
        place = self._item(change.key).places[region]
        place.busy = False
        return place

    @staticmethod
    def _forget_images(item: _Item) -> None:
        needed = {item.winning} | {place.believed() for place in item.places.values()}
        needed |= {place.shown for place in item.places.values()}
        item.images = {form: image for form, image in item.images.items() if form in needed}


def canonical(image: Image | None) -> str:
    """One text for equal items, whatever the order of attributes and of members of sets."""
    return ABSENT if image is None else json.dumps(_ordered(image), sort_keys=True, separators=(",", ":"), default=str)


def _ordered(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            name: sorted(part, key=str) if name in ("SS", "NS", "BS") and isinstance(part, list) else _ordered(part)
            for name, part in value.items()
        }
    return [_ordered(part) for part in value] if isinstance(value, list) else value
