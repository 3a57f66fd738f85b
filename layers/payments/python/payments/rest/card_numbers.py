"""Finds what may be a card number in a text: such a text is refused, wherever a request carries it."""

import re
import unicodedata

from payments.errors import InvalidRequest

_DIGIT_RUNS = re.compile(r"\d+(?:[ .\-_/]{1,2}\d+)*")
_PRINTED_GROUPS = re.compile(
    r"(?<!\d)(?:\d{4}(?:\W{1,3}\d{4}){2}\W{1,3}\d{4}(?:\W{1,3}\d{3})?|\d{4}\W{1,3}\d{6}\W{1,3}\d{4,5})(?!\d)"
)
"""Digits grouped as on cards (4-4-4-4, 4-4-4-4-3, 4-6-5, 4-6-4), with anything between the groups."""

_RANDOM_IDS = re.compile(
    r"\b(?:(?=[0-9-]*[a-f])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?=[0-9]*[a-f])[0-9a-f]{32,})\b", re.IGNORECASE
)
"""UUIDs and digests. They are what idempotency keys are made of, and one in a thousand has digits that pass Luhn."""

_LONGEST_PAN, _SHORTEST_PAN = 19, 13


def refuse(text: str, param: str | None) -> None:
    """Raises `InvalidRequest` when the text contains what may be a card number."""
    if occurs_in(text):
        raise InvalidRequest("card_data_in_field", "This field may not contain a card number.", param=param)


def occurs_in(text: str) -> bool:
    """Whether the text has a run of 13 to 19 digits that passes the Luhn check (ISO/IEC 7812-1, annex B)."""
    text = unicodedata.normalize("NFKC", _RANDOM_IDS.sub("…", text))
    printed = (re.sub(r"\D", "", found) for found in _PRINTED_GROUPS.findall(text))
    return any(map(_passes, printed)) or any(map(_may_be_pan, _DIGIT_RUNS.findall(text)))


def _may_be_pan(run: str) -> bool:
    """Whether neighbouring groups of digits make 13 to 19 digits, or a longer group holds some, that pass Luhn."""
    groups = re.findall(r"\d+", run)
    joined = ("".join(groups[start:end]) for start in range(len(groups)) for end in range(start + 1, start + 20))
    return any(_passes(digits) for digits in joined if len(digits) <= _LONGEST_PAN) or any(
        _passes(group[start : start + length])
        for group in groups
        if len(group) > _LONGEST_PAN
        for length in range(_SHORTEST_PAN, _LONGEST_PAN + 1)
        for start in range(len(group) - length + 1)
    )


def _passes(text: str) -> bool:
    if len(text) < _SHORTEST_PAN:
        return False
    digits = [int(character) for character in text]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
