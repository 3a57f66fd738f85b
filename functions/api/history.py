"""The journals that touched a merchant's accounts, in their order, and the entries in them as the merchant sees them.

They come from the projector's `accounts` table; of one payment, from the ledger itself. An entry's id says where it is:
it names the journal and the line, so that a page can begin at it.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass

from payments import accounts, books, identifiers, records
from payments.buckets import FIRST, LAST, Listing, Merged, Span
from payments.clients import client
from payments.journal import Entry
from payments.listings import Cursor, InvalidCursor, Page, page, page_of
from payments.records import StoredJournal
from payments.settings import TableSettings, load

MAXIMUM_JOURNALS = 1_000
"""How many journals one page looks at: an account with few entries shall not read a whole history in one request."""

_AT_ONCE = 100
_PREFIX = "ent_"
_SOURCES = ("pay", "out", "fee", "adj")
_PLATFORM = ":platform"


@dataclass(frozen=True, slots=True)
class Line:
    """An entry in its journal, at this place of it."""

    journal: StoredJournal
    number: int

    @property
    def entry(self) -> Entry:
        """The entry itself."""
        return self.journal.entries[self.number]

    @property
    def entry_id(self) -> str:
        """`ent_…`, which says where the entry is."""
        place = f"{position(self.journal)}#{self.number}"
        return _PREFIX + urlsafe_b64encode(place.encode()).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries are wanted: on an account as it is shown, in a time; None is any."""

    account: str | None = None
    created_gte: str | None = None
    created_lt: str | None = None

    def admits(self, line: Line, merchant_id: str) -> bool:
        """Whether this entry is one of the wanted."""
        return self.account in (None, shown(line.entry.account, merchant_id))

    @property
    def span(self) -> Span:
        """The journals of the wanted time."""
        return Span(self.created_gte or FIRST, self.created_lt or LAST)


def shown(account: str, merchant_id: str) -> str | None:
    """An account as the merchant sees it: its own without its id, the platform's as `fees`, `network:visa`, …; None for
    another merchant's."""
    owner = accounts.owner(account)
    if owner is None:
        return account.removesuffix(_PLATFORM)
    if owner != merchant_id:
        return None
    kind, _, rest = account.partition(":")
    _, _, name = rest.partition(":")
    return f"{kind}:{name}" if name else kind


def position(journal: StoredJournal) -> str:
    """A journal's place in its merchant's history."""
    return f"{journal.created_at}#{journal.payment_id}#{journal.journal_id}"


def through(instant: str) -> str:
    """The end of a span that has all positions up to and including an instant."""
    return f"{instant}#{LAST}"


def journals(merchant_id: str, span: Span, *, newest_first: bool = True, consistent: bool = True) -> Merged:
    """The merchant's history in a span of positions; items have the journal's plain item as `journal`."""
    listing = Listing(load(TableSettings).accounts_table, "account", "position", consistent=consistent)
    return Merged(listing, merchant_id, span, newest_first=newest_first)


def entries(merchant_id: str, wanted: Wanted, limit: int, cursor: Cursor | None) -> Page[Line]:
    """A page of entries, the newest journal first and each journal's in its own order.

    After `MAXIMUM_JOURNALS` the page ends, however few were wanted, and says where to go on. Raises `InvalidCursor`.
    """
    start, back = _start(merchant_id, cursor) if cursor else None, bool(cursor and cursor.back)
    span = wanted.span.beyond(position(start.journal), back=back) if start else wanted.span
    merged = journals(merchant_id, span, newest_first=not back, consistent=False)
    count = _AT_ONCE if wanted.account else limit + 1
    found: list[Line] = []
    seen, last = 0, start
    while len(found) <= limit and seen < MAXIMUM_JOURNALS:
        items = merged.take(count)
        lines = [line for item in items for line in _lines(StoredJournal.of(item["journal"]), merchant_id, back=back)]
        found += [line for line in lines if wanted.admits(line, merchant_id) and _follows(line, start, back=back)]
        seen += len(items)
        if len(items) < count:
            return page(found, limit, back, _id)
        last = lines[-1]
    rest = last.entry_id if last and len(found) <= limit and merged.take(1) else None
    return page(found, limit, back, _id, rest)


def entries_of(payment_id: str, merchant_id: str, wanted: Wanted, limit: int, cursor: Cursor | None) -> Page[Line]:
    """A page of the entries of one payment or transfer, straight from the ledger; of another merchant's there are none.

    Raises `InvalidCursor`.
    """
    known = any(identifiers.is_identifier(payment_id, prefix) for prefix in _SOURCES)
    stored = books.stored_journals(payment_id) if known else []
    timely = [journal for journal in stored if wanted.span.low <= position(journal) <= wanted.span.high]
    found = [
        line
        for journal in sorted(timely, key=position, reverse=True)
        for line in _lines(journal, merchant_id)
        if wanted.admits(line, merchant_id)
    ]
    return page_of(found, limit, cursor, _id)


def _lines(journal: StoredJournal, merchant_id: str, *, back: bool = False) -> list[Line]:
    """The entries of a journal that the merchant may see: none, if it does not touch the merchant's accounts."""
    owners = [accounts.owner(entry.account) for entry in journal.entries]
    if merchant_id not in owners:
        return []
    lines = [Line(journal, number) for number, owner in enumerate(owners) if owner in (None, merchant_id)]
    return lines[::-1] if back else lines


def _follows(line: Line, start: Line | None, *, back: bool) -> bool:
    """Whether the line comes after the start in the direction of the walk."""
    if start is None or position(line.journal) != position(start.journal):
        return True
    return line.number < start.number if back else line.number > start.number


def _start(merchant_id: str, cursor: Cursor) -> Line:
    """The entry that a cursor names. Raises `InvalidCursor` when the merchant's history has none of this id."""
    place, _, _ = _place(cursor.entry_id).rpartition("#")
    payment_id = place.split("#")[1] if "#" in place else ""
    key = {"account": {"S": records.merchant_bucket(merchant_id, payment_id)}, "position": {"S": place or "-"}}
    item = client("dynamodb").get_item(TableName=load(TableSettings).accounts_table, Key=key).get("Item")
    lines = _lines(StoredJournal.of(records.plain(item)["journal"]), merchant_id) if item else []
    found = next((line for line in lines if line.entry_id == cursor.entry_id), None)
    if found is None:
        raise InvalidCursor(cursor.entry_id)
    return found


def _place(entry_id: str) -> str:
    """What an entry's id is made of. Raises `InvalidCursor`."""
    body = entry_id.removeprefix(_PREFIX)
    try:
        return urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode()
    except ValueError:
        raise InvalidCursor(entry_id) from None


def _id(line: Line) -> str:
    return line.entry_id
