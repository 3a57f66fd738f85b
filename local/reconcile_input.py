"""What is wrong with what somebody gave to `payments reconcile`, and what a size of memory means."""

import re

_SIZE = re.compile(r"([1-9][0-9]{0,6})(MB|GB|MiB|GiB)")
_MEGABYTE = {"MB": 10**6, "GB": 10**9, "MiB": 2**20, "GiB": 2**30}
_LEAST = 64


class BadInput(Exception):
    """It cannot be reconciled; the message says what and why."""


def megabytes(size: str) -> int:
    """A size such as `3GB` in MiB, rounded down. Raises `BadInput`."""
    found = _SIZE.fullmatch(size)
    amount = int(found[1]) * _MEGABYTE[found[2]] // 2**20 if found else 0
    if amount < _LEAST:
        raise BadInput(f"--memory {size}: must be like 3GB or 500MB, and {_LEAST} MB at least")
    return amount
