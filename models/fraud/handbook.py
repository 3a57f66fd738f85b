"""The Fraud Detection Handbook's transactions and its protocol of evaluation.

Columns: transaction_id, tx_datetime, customer_id, terminal_id, tx_amount, tx_fraud. A customer has one card, a terminal
is a merchant. Le Borgne, Siblini, Lebichot, Bontempi, "Reproducible machine learning for credit card fraud detection",
chapters 3 (protocol) and 4 (figures).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import duckdb
import numpy as np
import numpy.typing as npt

from functions.fraud.charge import Charge
from functions.fraud.features import NAMES
from functions.fraud.history import DAY
from functions.training.metrics import Labels, Scores
from models.fraud.dataset import Matrix, Memory, rows

# Days of labels by which a customer counts as known to be fraudulent, as in the Handbook's figures: its training week.
KNOWN_DAYS = 7
TOP = 100


@dataclass(frozen=True, slots=True)
class Transactions:
    """Columns in order of time; `at` in Unix seconds, `day` since 1970."""

    id: npt.NDArray[np.int64]
    at: npt.NDArray[np.int64]
    day: npt.NDArray[np.int64]
    customer: npt.NDArray[np.int64]
    terminal: npt.NDArray[np.int64]
    cents: npt.NDArray[np.int64]
    fraud: Labels

    def where(self, mask: npt.NDArray[np.bool_]) -> Transactions:
        """Those of the mask."""
        return Transactions(*(getattr(self, name)[mask] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Split:
    """Days since 1970: trained on [start, start + train), tested `delay` days later on `test` days."""

    start: int
    train: int
    delay: int = 7
    test: int = 7

    @property
    def test_start(self) -> int:
        """The first day of the test."""
        return self.start + self.train + self.delay

    @property
    def end(self) -> int:
        """The day after the last one of the test."""
        return self.test_start + self.test


def read(files: Sequence[str]) -> Transactions:
    """All transactions of Parquet files, in order of time; one without a label counts as good.

    Raises duckdb.Error for other columns.
    """
    query = """
        select transaction_id::bigint, epoch(tx_datetime)::bigint as at, epoch(tx_datetime)::bigint // 86400 as day,
            customer_id::bigint, terminal_id::bigint, round(tx_amount * 100)::bigint as cents,
            coalesce(tx_fraud = 1, false) as fraud
        from read_parquet(?) order by tx_datetime, transaction_id"""
    columns = duckdb.connect(config={"threads": 1}).execute(query, [list(files)]).fetchnumpy()
    return Transactions(*(np.asarray(column) for column in columns.values()))


def _stream(all_: Transactions, delay: int) -> Iterator[tuple[Charge, bool, int | None]]:
    columns = (all_.id, all_.at, all_.customer, all_.terminal, all_.cents, all_.fraud)
    for id_, at, customer, terminal, cents, fraud in zip(*(column.tolist() for column in columns), strict=True):
        charge = Charge(str(id_), str(terminal), cents, "USD", at, str(customer), None, None)
        yield charge, False, at + delay * DAY if fraud else None


def features(all_: Transactions, first_day: int, end: int, delay: int) -> tuple[Transactions, Matrix]:
    """The transactions of [first_day, end) and their rows; those before only fill the profiles.

    A fraud is confirmed `delay` days to the second after it happened.
    """
    all_ = all_.where(all_.day < end)
    wanted = all_.day >= first_day
    made = np.empty((int(wanted.sum()), len(NAMES)))
    for number, row in enumerate(rows(_stream(all_, delay), Memory(), first_day * DAY)):
        made[number] = row
    return all_.where(wanted), made


def unknown(all_: Transactions, split: Split) -> Labels:
    """Of `all_`: the test's transactions of customers who are not yet known to be fraudulent on the day.

    On test day d all labels of days before d - delay are known, from the last KNOWN_DAYS days of training on.
    """
    first_fraud = dict[int, int]()
    known_from = split.test_start - split.delay - KNOWN_DAYS
    for customer, day in zip(*(c[all_.fraud].tolist() for c in (all_.customer, all_.day)), strict=True):
        if day >= known_from:
            first_fraud.setdefault(customer, day)
    never = split.end
    first = np.array([first_fraud.get(customer, never) for customer in all_.customer.tolist()], dtype=np.int64)
    return (all_.day >= split.test_start) & (all_.day < split.end) & (first >= all_.day - split.delay)


def card_precision(test: Transactions, scores: Scores, top: int = TOP) -> float:
    """Mean over the days: of the `top` cards by their highest score, the share with a fraud that day.

    A card that was found is left out on the days after.
    """
    found: set[int] = set()
    shares = []
    lines = zip(test.day.tolist(), test.customer.tolist(), scores.tolist(), test.fraud.tolist(), strict=True)
    for _, group in groupby(lines, key=lambda line: line[0]):
        highest, guilty = dict[int, float](), set[int]()
        for _, customer, score, fraud in group:
            if customer not in found:
                highest[customer] = max(score, highest.get(customer, score))
                guilty |= {customer} if fraud else set()
        hits = set(sorted(highest, key=lambda card: -highest[card])[:top]) & guilty
        shares.append(len(hits) / top)
        found |= hits
    return float(np.mean(shares))
