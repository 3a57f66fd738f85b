"""The full balance check: every journal of the ledger, segment by segment of a parallel scan, and then the verdict.

A segment is scanned page by page for as long as the function may run; what is left is the next call's, which adds to
this one's answer. A payment's journals lie together, so each payment is held against them on the way (`agreement`).
"""

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

from functions.sweeper import agreement, verdict
from functions.sweeper.tally import Line, Tally, read
from payments import clock
from payments.clients import client
from payments.observability import count, logger
from payments.records import plain
from payments.settings import TableSettings, load

UNBALANCED = "UnbalancedJournals"

Key = dict[str, str]
"""Of an item of the ledger: its payment's id and its own."""

_PAYMENT = "pay_"
"""Other journals belong to transfers, which have nothing but their journal."""

_PAGE_TAKES_MS = 60_000
"""Longer than a page of 1 MB takes, even if every payment in it has to be mended."""

_BEHIND = timedelta(hours=1)
"""Longer than the projector is behind the ledger: an accounting day is compared once it is over for this long."""


def check(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """One segment, or the verdict over all: docs/interfaces.md, "Balance check".

    `so_far` is the answer of the segment's call before, which this one adds to; `at` when the whole check began.
    """
    began = datetime.fromisoformat(event["at"]) if event.get("at") else clock.utc()
    before_day = clock.timestamp(began - _BEHIND)[:10]
    if "segment" in event:
        return _segment(event, before_day, context)
    answer = verdict.over(event["segments"], before_day)
    if answer["result"] != verdict.BALANCED:
        logger.critical("the books do not balance", extra={"shards": answer["shards"], "result": answer["result"]})
        count(UNBALANCED)
    return answer


def _segment(event: dict[str, Any], before_day: str, context: Any) -> dict[str, Any]:
    tally = Tally.resumed(event["segment"], event.get("so_far") or {})
    where = {"Segment": event["segment"], "TotalSegments": event["segments"]}
    start = event.get("start")
    while True:
        lines, following = _page(where, start)
        _count(tally, lines, before_day)
        found = agreement.check(_payments(lines, start, following), clock.utc())
        tally.mended += found[agreement.MENDED]
        tally.contradictions += found[agreement.CONTRADICTION]
        start = following
        if start is None or context.get_remaining_time_in_millis() < _PAGE_TAKES_MS:
            return tally.answer(start)


def _page(where: dict[str, int], start: Key | None) -> tuple[list[Line], Key | None]:
    """The lines of one page, and the key that the next page starts after."""
    following = {"ExclusiveStartKey": {name: {"S": value} for name, value in start.items()}} if start else {}
    answer = client("dynamodb").scan(TableName=load(TableSettings).ledger_table, **where, **following)
    last = answer.get("LastEvaluatedKey")
    return [read(item) for item in answer["Items"]], plain(last) if last else None


def _count(tally: Tally, lines: list[Line], before_day: str) -> None:
    bad = [found for found in (tally.add(line, before_day) for line in lines) if found]
    for found in bad:
        logger.critical("a journal does not balance", extra={"journal": found})
    if bad:
        count(UNBALANCED, len(bad))


def _payments(lines: list[Line], start: Key | None, following: Key | None) -> dict[str, agreement.Journals]:
    """The journals of the page's payments. One that the page's end cuts in two is read whole here, not on the next."""
    found: defaultdict[str, agreement.Journals] = defaultdict(list)
    for line in lines:
        if line.payment_id.startswith(_PAYMENT) and not (start and line.payment_id == start["payment_id"]):
            found[line.payment_id].append(line.journal)
    last = following["payment_id"] if following else ""
    if last in found:
        found[last] = agreement.journals(last)
    return found
