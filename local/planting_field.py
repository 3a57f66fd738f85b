"""Where errors are planted: the rows of all files, of which each payment is given out once, and marks of what was."""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import count

from local.settlement_export import File, Row
from payments import discrepancies

CAPTURES, MOVEMENTS = ("capture",), ("capture", "refund")
"""Types of lines."""

Tolerance = Callable[[str, str], int]
"""What of a difference is tolerated, in minor units, by network and currency."""


@dataclass(frozen=True)
class Mark:
    """A record that reconciliation must have in this class because of what was planted.

    It is named by `line_ref`, or, where a movement has no line any more, by `network_ref`, `type` and `movement`. A
    `class_` of None: no record at all. `at_risk` is what the error puts at risk, in minor units of `currency`.
    """

    kind: str
    class_: str | None
    row: Row
    line_ref: str
    at_risk: int = 0

    @property
    def open(self) -> bool:
        """Whether somebody must look at it."""
        return self.class_ in discrepancies.OPEN


class NoneLeft(Exception):
    """No payment is left that fits."""


class Field:
    """The rows of all files while errors are planted; each payment is given out once."""

    def __init__(self, files: Iterable[File], seed: int, tolerance: Tolerance):
        self._files = list(files)
        self._rows = [list(file.rows) for file in self._files]
        self._random = random.Random(seed)
        self._numbers = count(1)
        self._free = [(index, row) for index, rows in enumerate(self._rows) for row in rows if row.type in MOVEMENTS]
        self._random.shuffle(self._free)
        self.name = f"{seed:x}"
        self.tolerance = tolerance

    def take(self, types: tuple[str, ...], fits: Callable[[int, Row], bool] = lambda _, __: True) -> tuple[int, Row]:
        """Some line of these types about a payment that has no error yet, and the number of its file."""
        for index, row in self._free:
            if row.type in types and fits(index, row):
                self._free = [(other, free) for other, free in self._free if free.network_ref != row.network_ref]
                return index, row
        raise NoneLeft(f"no {' or '.join(types)} line is left to plant it in")

    def take_alike(self, number: int) -> tuple[int, list[Row]]:
        """As many captures of one file and currency, each of another payment."""

        def enough(index: int, row: Row) -> bool:
            return len({other.network_ref for other in self._alike(index, row)}) >= number

        index, first = self.take(CAPTURES, enough)
        rows = [first]
        while len(rows) < number:
            rows.append(self.take(CAPTURES, lambda at, row: at == index and row.currency == first.currency)[1])
        return index, rows

    def _alike(self, index: int, row: Row) -> Iterator[Row]:
        for at, other in self._free:
            if (at, other.type, other.currency) == (index, row.type, row.currency):
                yield other

    def tolerated(self, index: int, row: Row) -> int:
        """What is tolerated of a difference."""
        return self.tolerance(self._files[index].network, row.currency)

    def put(self, index: int, row: Row, *instead: Row) -> None:
        """Put rows in the place of this one."""
        at = self._rows[index].index(row)
        self._rows[index][at : at + 1] = instead

    def add(self, index: int, row: Row) -> None:
        """Add a row at a random place."""
        self._rows[index].insert(self._random.randrange(len(self._rows[index]) + 1), row)

    def number(self) -> int:
        """Another number each time."""
        return next(self._numbers)

    def harvest(self) -> Iterator[File]:
        """The files as they are now."""
        for file, rows in zip(self._files, self._rows, strict=True):
            yield replace(file, rows=tuple(rows))
