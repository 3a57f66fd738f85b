"""Values as people read them: amounts with their decimals, rates, and texts of strangers made harmless."""

import html
import unicodedata

from payments.money import InvalidMoney, exponent

_MINUS = "\N{MINUS SIGN}"
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
"""Categories of characters that show nothing, or change how others show: a file's name may be anybody's."""


def text(value: object) -> str:
    """A text for HTML, in an element or in a quoted attribute; nothing for None."""
    visible = (
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(character) in _HIDDEN else character
        for character in str("" if value is None else value)
    )
    return html.escape("".join(visible))


def money(amount: int, currency: str) -> str:
    """An amount in minor units with the decimals of its currency (ISO 4217): `1,234.56`, JPY `1,235`, KWD `1.235`.

    Of a currency that has none, or is not known, the minor units themselves.
    """
    try:
        decimals = exponent(currency)
    except InvalidMoney:
        decimals = 0
    whole, part = divmod(abs(amount), 10**decimals)
    shown = f"{whole:,}" + (f".{part:0{decimals}d}" if decimals else "")
    return f"{_MINUS}{shown}" if amount < 0 else shown


def count(number: int) -> str:
    """A number of things: `12,345`."""
    return f"{number:,}".replace("-", _MINUS)


def rate(per_100_000: int | None) -> str:
    """A rate per 100,000 as a percentage with three decimals; a dash where there is none."""
    if per_100_000 is None:
        return "\N{EN DASH}"
    whole, part = divmod(per_100_000, 1_000)
    return f"{whole}.{part:03d}\N{NARROW NO-BREAK SPACE}%"
