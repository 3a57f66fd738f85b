"""A settlement file's rows, counted and added up, against what its trailer says of them."""

from collections import Counter

from duckdb import DuckDBPyConnection

from functions.reconciliation.layouts import Layout

_CONTROLS = ("control_amount", "control_fee")


class Tally:
    """What came: `details` are rows, `others` records that no layout knows, which may be rows or not."""

    def __init__(self) -> None:
        self.details = self.others = self.rejected = 0
        self._sums: Counter[str] = Counter()
        self._unreadable: Counter[str] = Counter()
        self._trailer: str | None = None
        self._after = False

    @property
    def rows(self) -> int:
        """All that stands between header and trailer."""
        return self.details + self.others

    def add(self, connection: DuckDBPyConnection) -> None:
        """Counts the rows of a piece, which are in the table `parsed`."""
        controls = ", ".join(
            f"coalesce(sum({name}) FILTER (is_row), 0), count(*) FILTER (is_row AND {name} IS NULL)"
            for name in _CONTROLS
        )
        (details, others, rejected, trailer, first, last, *sums), *_ = connection.execute(
            f"""
            SELECT count(*) FILTER (is_row), count(*) FILTER (record = 'other'),
                count(fault) FILTER (record <> 'trailer'), arg_min(text, row) FILTER (record = 'trailer'),
                min(row) FILTER (record = 'trailer'), max(row), {controls}
            FROM (SELECT *, record = 'detail' AS is_row FROM parsed)
            """
        ).fetchall()
        self._after = self._after or (last is not None and (self._trailer is not None or (first or last) < last))
        self._trailer = self._trailer or trailer
        self.details += details
        self.others += others
        self.rejected += rejected
        for name, total, unreadable in zip(_CONTROLS, sums[::2], sums[1::2], strict=True):
            self._sums[name] += int(total)
            self._unreadable[name] += unreadable

    def refused(self, layout: Layout) -> str | None:
        """Why the file is not as it was sent, or None.

        Other records may be counted in the trailer or not. Where an amount cannot be read, what can be read is at most
        the trailer's sum; of fees, which may be negative, nothing is known then.
        """
        trailer = layout.trailer(self._trailer) if self._trailer else None
        if self._trailer is not None and self._after:
            return "after_trailer"
        if trailer is None:
            return "truncated"
        if not self.details <= trailer.count <= self.rows:
            return "count_differs"
        if any(self._differs(name, told) for name, told in trailer.sums.items()):
            return "sum_differs"
        return None

    def _differs(self, name: str, told: int) -> bool:
        if self.others or self._unreadable[name]:
            return name == "control_amount" and self._sums[name] > told
        return self._sums[name] != told
