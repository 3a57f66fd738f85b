"""What a row of a settlement file must be (docs/settlement_files.md, "Bad rows"): the first fault of each, in SQL."""

from functions.reconciliation import card_data
from functions.reconciliation.database import listed, text
from functions.reconciliation.unpacking import CONTROL, NOT_UTF8, TOO_LONG
from payments.money import MAXIMUM_AMOUNT

LARGEST_TOTAL = 999_999_999_999
"""Of a batch or a fee: twelve digits, as in ISO 8583, field 4."""

MOST_PARTS = 255
"""Lines of a split settlement."""

LONGEST_REASON = 255

LONGEST_REFERENCE = 64

_REFERENCE = "[A-Za-z0-9._-]+"
"""No character that parts names in a key of the store or the table: `~`, `#`, `/`, `:`."""

_WORDS = r"[ -~\p{L}]*"

_TAKEN = ("run", "file")
"""What is no payment in the table `settlements`."""

_MOVEMENTS = listed(("capture", "refund", "chargeback", "representment"))
_DISPUTED = listed(("chargeback", "representment"))
_FIRST_DAY, _LAST_DAY = "DATE '2000-01-01'", "DATE '2099-12-31'"
_MOST = f"CASE WHEN type IN {_MOVEMENTS} THEN {MAXIMUM_AMOUNT} ELSE {LARGEST_TOTAL} END"


def _is_reference(column: str) -> str:
    return f"(length({column}) <= {LONGEST_REFERENCE} AND regexp_full_match({column}, {text(_REFERENCE)}))"


def _may_be_reference(column: str) -> str:
    return f"({column} = '' OR {_is_reference(column)})"


def _are_words(column: str) -> str:
    return f"regexp_full_match({column}, {text(_WORDS)})"


_SOUND = {
    "too_long": f"NOT contains(text, {text(TOO_LONG)})",
    "not_utf8": f"NOT contains(text, {text(NOT_UTF8)})",
    "control_character": f"NOT contains(text, {text(CONTROL)})",
    "card_number": f"NOT {card_data.found_sql('text')}",
    "unknown_record": "record = 'detail'",
    "malformed": "malformed IS NULL",
    "bad_line_ref": _is_reference("line_ref"),
    "unknown_type": "type IS NOT NULL",
    "no_network_ref": f"network_ref <> '' OR type NOT IN {_MOVEMENTS}",
    "bad_network_ref": f"{_may_be_reference('network_ref')} AND network_ref NOT IN {listed(_TAKEN)}",
    "bad_movement": _may_be_reference("movement"),
    "unknown_currency": "exponent IS NOT NULL",
    "bad_amount": f"amount BETWEEN 1 AND {_MOST}",
    "bad_fee": f"abs(fee) <= {_MOST}",
    "bad_date": f"settled_on BETWEEN {_FIRST_DAY} AND {_LAST_DAY}",
    "bad_sequence": f"sequence BETWEEN 1 AND count AND count <= {MOST_PARTS}",
    "no_batch_ref": "batch_ref <> '' OR type <> 'batch'",
    "bad_batch_ref": _may_be_reference("batch_ref"),
    "no_case_ref": f"case_ref <> '' OR type NOT IN {_DISPUTED}",
    "bad_case_ref": _may_be_reference("case_ref"),
    "bad_reason": f"reason = '' OR (length(reason) <= {LONGEST_REASON} AND {_are_words('reason')})",
}
"""By reason, what must be true; of several that are not, the first is told. Words have nothing but letters beyond
ASCII, because there are digits, too."""

REASONS = (*(name for name in _SOUND if name != "malformed"), "unbalanced_quotes", "wrong_number_of_fields")
"""Why a row is rejected."""

FAULT = "CASE {} END".format(
    " ".join(
        f"WHEN ({sound}) IS NOT TRUE THEN {'malformed' if name == 'malformed' else text(name)}"
        for name, sound in _SOUND.items()
    )
)
"""The SQL of the reason, over a layout's rows; NULL of a row that is sound."""
