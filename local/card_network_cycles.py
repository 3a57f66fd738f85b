"""The simulated card network's settlement: what it has accepted is gathered into files, each line in one file, once.

The amounts are the network's own record, and nothing the platform says.
"""

from base64 import b32encode
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from local.card_network_book import Book

_SCHEMA = """
CREATE TABLE IF NOT EXISTS settled (
    line_ref TEXT PRIMARY KEY, reference TEXT NOT NULL, network TEXT NOT NULL, settled_on TEXT NOT NULL,
    type TEXT NOT NULL, network_ref TEXT NOT NULL, movement TEXT NOT NULL, amount INTEGER NOT NULL,
    currency TEXT NOT NULL, case_ref TEXT NOT NULL, reason TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS settled_in ON settled (reference);
"""

_ACCEPTED = """
SELECT network, 'capture' AS type, network_ref, '' AS movement, amount, currency, '' AS case_ref, '' AS reason, at
    FROM authorizations WHERE status = 'approved' AND capture
UNION ALL SELECT a.network, o.kind, o.network_ref, o.operation_ref, o.amount, o.currency, '', '', o.at
    FROM operations o JOIN authorizations a USING (network_ref)
    WHERE o.status = 'accepted' AND o.kind IN ('capture', 'refund')
UNION ALL SELECT a.network, d.kind, d.network_ref, '', d.amount, a.currency, d.case_ref, d.reason, d.at
    FROM disputes d JOIN authorizations a USING (network_ref)
"""


class Cycles:
    """The settlement files that were cut so far."""

    def __init__(self, book: Book):
        self._book = book
        book.create(_SCHEMA)

    def cut(self, settled_on: str) -> list[dict[str, Any]]:
        """A file per network of everything accepted that is in no file yet: its `reference`, `network` and `lines`.

        `settled_on` (2026-11-23) is the date of the files and of their lines. Networks with nothing new have none.
        """
        with self._book.transaction():
            before = Counter(file["network"] for file in self.files() if file["settled_on"] == settled_on)
            references = [file["reference"] for file in self._append(settled_on, before)]
        return [file for file in self.files() if file["reference"] in set(references)]

    def files(self) -> list[dict[str, Any]]:
        """Every file that was cut: `reference`, `network`, `settled_on` and how many `lines`."""
        return self._book.rows(
            "SELECT reference, network, settled_on, count(*) AS lines FROM settled "
            "GROUP BY reference ORDER BY min(rowid)"
        )

    def lines(self, reference: str) -> list[dict[str, Any]]:
        """The lines of a file, in their order; none when there is no such file."""
        return self._book.rows("SELECT * FROM settled WHERE reference = ? ORDER BY rowid", reference)

    def _append(self, settled_on: str, before: Counter[str]) -> Iterator[dict[str, Any]]:
        settled = {row["line_ref"] for row in self._book.rows("SELECT line_ref FROM settled")}
        for row in sorted(self._book.rows(_ACCEPTED), key=lambda row: (row["at"], line_reference(row))):
            if line_reference(row) in settled:
                continue
            network = row["network"]
            reference = f"{network}-{settled_on}-{before[network] + 1}"
            made = {name: value for name, value in row.items() if name != "at"}
            made |= {"line_ref": line_reference(row), "reference": reference, "settled_on": settled_on}
            self._book.append("settled", made)
            yield made


def line_reference(row: dict[str, Any]) -> str:
    """The network's own name of a line, derived from what it settles. In letters mostly, so that it looks like no card
    number (docs/settlement_files.md)."""
    what = (row["type"], row["network_ref"], row["movement"], row["case_ref"])
    return "L" + b32encode(sha256("\0".join(what).encode()).digest()[:15]).decode()
