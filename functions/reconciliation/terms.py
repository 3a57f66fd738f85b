"""What was agreed with the card networks: when they pay, what they keep, and what may differ (docs, "Terms")."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

import msgspec
from duckdb import DuckDBPyConnection

_SHIPPED = Path(__file__).with_name("terms.json")
_MOST = 10**12

Days = Annotated[int, msgspec.Meta(ge=0, le=365)]
BasisPoints = Annotated[int, msgspec.Meta(ge=0, le=10_000)]
Amounts = dict[Annotated[str, msgspec.Meta(pattern=r"^([A-Z]{3}|\*)$")], Annotated[int, msgspec.Meta(ge=0, le=_MOST)]]
"""Minor units by currency; `*` is for those that are not named."""


class InvalidTerms(ValueError):
    """It is no file of terms: no JSON, an unknown name, or a number that is no integer or out of its limits."""


class Changes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What differs from the terms above; what is not named does not. Currencies replace each other one by one."""

    due_days: Days | None = None
    tolerance: Amounts = {}
    fee_tolerance: Amounts = {}
    basis_points: BasisPoints | None = None
    fixed: Amounts = {}


class Terms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`default`, then what differs by network, then by merchant and network (`*`: at every network)."""

    default: Changes
    networks: dict[str, Changes] = {}
    merchants: dict[str, dict[str, Changes]] = {}

    def of(self, network: str, currency: str, merchant: str | None = None) -> "Agreed":
        """What holds for a merchant's movements in a currency at a network."""
        own = self.merchants.get(merchant or "", {})
        layers = (self.default, self.networks.get(network), own.get("*"), own.get(network))
        return _agreed([layer for layer in layers if layer], currency)


@dataclass(frozen=True, slots=True)
class Agreed:
    """Days until a movement is due, and in minor units what may differ and what the network keeps."""

    due_days: int
    tolerance: int
    fee_tolerance: int
    basis_points: int
    fixed: int


def parse(raw: bytes | None) -> Terms:
    """The terms of a file's content; of None those that are shipped. Raises `InvalidTerms`."""
    try:
        return msgspec.json.decode(raw, type=Terms) if raw is not None else _shipped()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidTerms(str(error)) from None


def put(connection: DuckDBPyConnection, terms: Terms, places: Iterable[tuple[str, str]]) -> None:
    """Makes the tables that movements are joined with: `special (merchant_id)`, the merchants with terms of their own,
    and `agreed (network, currency, merchant, …)` for these networks and currencies, `merchant` being '' for all others.
    """
    connection.execute("CREATE OR REPLACE TEMP TABLE special (merchant_id VARCHAR)")
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE agreed (network VARCHAR, currency VARCHAR, merchant VARCHAR, due_days INTEGER,"
        " tolerance BIGINT, fee_tolerance BIGINT, basis_points BIGINT, fixed BIGINT)"
    )
    merchants = sorted(terms.merchants)
    if merchants:
        connection.execute("INSERT INTO special SELECT unnest(?)", [merchants])
    rows = [
        [network, currency, merchant, *_columns(terms.of(network, currency, merchant))]
        for network, currency in places
        for merchant in ("", *merchants)
    ]
    if rows:
        connection.execute(
            f"INSERT INTO agreed SELECT {', '.join(['unnest(?)'] * len(rows[0]))}",
            [list(column) for column in zip(*rows, strict=True)],
        )


@cache
def _shipped() -> Terms:
    return msgspec.json.decode(_SHIPPED.read_bytes(), type=Terms)


def _agreed(layers: list[Changes], currency: str) -> Agreed:
    """The last layer that says something counts: of amounts, the one that names the currency or `*`."""
    days = [layer.due_days for layer in layers if layer.due_days is not None]
    points = [layer.basis_points for layer in layers if layer.basis_points is not None]
    return Agreed(
        due_days=days[-1] if days else 0,
        tolerance=_amount([layer.tolerance for layer in layers], currency),
        fee_tolerance=_amount([layer.fee_tolerance for layer in layers], currency),
        basis_points=points[-1] if points else 0,
        fixed=_amount([layer.fixed for layer in layers], currency),
    )


def _amount(layers: list[Amounts], currency: str) -> int:
    for layer in reversed(layers):
        for name in (currency, "*"):
            if name in layer:
                return layer[name]
    return 0


def _columns(agreed: Agreed) -> tuple[int, ...]:
    return agreed.due_days, agreed.tolerance, agreed.fee_tolerance, agreed.basis_points, agreed.fixed
