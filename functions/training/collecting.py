"""The step `collect`: what there is to learn from, fixed in two files: rows with due labels, and the newest rows for
drift."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from functions.training import champion, reading, rows, store
from functions.training.champion import NoChampion
from functions.training.labels import DAY, due_days, taught
from functions.training.model_files import catalogue
from functions.training.sample import Sample
from functions.training.settings import Settings
from payments.settings import load

ROWS, RECENT, OUTCOME = "rows.npz", "recent.npz", "collect.json"

MOST_RECENT = 100_000
"""Rows that drift is measured on: the noise of its index with ten bins is then about 0.0001."""

RECENT_SECONDS = DAY

_PART = 20_000
"""Records that are made rows at a time: as plain Python values they take some 3 KB each."""

Record = dict[str, Any]


def collect(run: str, started_at: str) -> dict[str, Any]:
    """Puts both files and says what they have. Repeated, it makes the same of the same scores: what was labelled or
    written after `started_at` is not looked at."""
    asked = champion.version()
    try:
        names = champion.about(asked)["features"]
    except NoChampion as missing:
        return _put(run, {"result": "refused", "champion": asked, "reasons": [f"champion_missing: {missing}"]})
    as_of = int(datetime.fromisoformat(started_at).timestamp())
    work = _Work(as_of, names)
    with tempfile.TemporaryDirectory() as folder:
        for name, sample in ((ROWS, work.due()), (RECENT, work.recent())):
            file = Path(folder) / name
            kept = list(sample.days())
            rows.save(file, kept, len(names))
            store.upload(file, store.of_run(run, name))
            file.unlink()
    return _put(run, {"result": "collected", "champion": asked, "as_of": as_of, **work.figures})


def _put(run: str, outcome: dict[str, Any]) -> dict[str, Any]:
    store.write_json(store.of_run(run, OUTCOME), outcome)
    return outcome


class _Work:
    """One reading of the scores, and what was counted on the way."""

    def __init__(self, as_of: int, names: list[str]) -> None:
        self._as_of, self._width, self._catalogue = as_of, len(names), catalogue(names)
        self.figures: dict[str, Any] = {}

    def due(self) -> Sample:
        """The rows whose labels are due."""
        settings, sample, counts = load(Settings), Sample(), Counter[str]()
        for day in due_days(self._as_of, settings.training_days, settings.label_days):
            self._add(sample, self._taught(day, settings.label_days, counts))
        self.figures["counts"] = dict(sorted(counts.items()))
        self.figures["kept"] = sample.rates()
        return sample

    def recent(self) -> Sample:
        """The newest rows, whatever became of them; not the blocked ones, which training mostly leaves out, too."""
        sample = Sample(MOST_RECENT)
        for day in range((self._as_of - RECENT_SECONDS) // DAY, self._as_of // DAY + 1):
            self._add(sample, ({**one, "label": False} for one in self._of_day(day, Counter()) if self._is_recent(one)))
        return sample

    def _taught(self, day: int, label_days: int, counts: Counter[str]) -> Iterator[Record]:
        for one in self._of_day(day, counts):
            what = taught(one, self._as_of, label_days)
            counts[what] += 1
            if what in ("fraud", "good"):
                yield {**one, "label": what == "fraud"}

    def _of_day(self, day: int, counts: Counter[str]) -> Iterator[Record]:
        for _, one in reading.of_day(day):
            if one["catalogue"] == self._catalogue and len(one["features"]) == 8 * self._width:
                yield one
            else:
                counts["other_catalogue"] += 1

    def _is_recent(self, one: Record) -> bool:
        at: int = one["at"]
        return self._as_of - RECENT_SECONDS < at <= self._as_of and bool(one["decision"] != "block")

    def _add(self, sample: Sample, found: Iterable[Record]) -> None:
        left = iter(found)
        while part := list(islice(left, _PART)):
            sample.add(rows.rows(part, self._width))
