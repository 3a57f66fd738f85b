"""Many calls to AWS at once, but not too many."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

AT_ONCE = 10
"""As many as botocore keeps connections for a client."""

_BATCH = 1_000
"""Calls that are given to the threads at a time: what waits costs memory."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """The results of the work on each item, in order. Ends with the first exception; what waits is then not begun.

    Clients that the work uses must be there before: they are not made by several threads.
    """
    left, results = iter(items), list[Result]()
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="crowd") as threads:
        while batch := list(islice(left, _BATCH)):
            results += threads.map(work, batch)
    return results
