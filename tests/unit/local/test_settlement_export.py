"""A network's settlement file says what the network's own record says, at the network's own prices."""

import json
from pathlib import Path
from typing import Any

import pytest

from local.settlement_export import File, Row, fee, of_record, read, written

ROOT = Path(__file__).resolve().parents[3]
DAY = "2026-11-23"


def line(number: int = 1, **changes: Any) -> dict[str, Any]:
    made = {"line_ref": f"L{number}", "network": "visa", "reference": "visa-2026-11-23-1", "settled_on": DAY}
    made |= {"type": "capture", "network_ref": f"net_{number}", "movement": "", "amount": 4200, "currency": "USD"}
    return {**made, "case_ref": "", "reason": "", **changes}


@pytest.mark.parametrize(
    ("network", "kind", "amount", "expected"),
    [
        ("visa", "capture", 10_000, 190),
        ("amex", "capture", 10_000, 240),
        ("visa", "capture", 1_027, 28),  # 18.486
        ("visa", "capture", 1_028, 29),  # 18.504
        ("visa", "capture", 25, 10),  # 0.45
        ("mastercard", "capture", 1_250, 33),  # 22.5, half up
        ("visa", "refund", 10_000, 0),
        ("visa", "chargeback", 10_000, 0),
        ("visa", "representment", 10_000, 0),
    ],
)
def test_a_capture_costs_basis_points_half_up_and_a_fixed_amount(
    network: str, kind: str, amount: int, expected: int
) -> None:
    assert fee(network, kind, amount) == expected


@pytest.mark.parametrize("network", ["visa", "amex", "mastercard"])
def test_the_prices_are_those_that_the_platform_expects_by_default(network: str) -> None:
    terms = json.loads((ROOT / "functions/reconciliation/terms.json").read_text())
    plan = {**terms["default"], **terms["networks"].get(network, {})}

    assert fee(network, "capture", 1_000_000) == plan["basis_points"] * 100 + plan["fixed"]["*"]


def test_a_file_in_layout_1() -> None:
    dispute = line(2, type="chargeback", amount=500, case_ref="case_1", reason="not as described, broken")
    file = of_record([line(), dispute])

    assert written(file, "1") == (
        "H,1,visa,2026-11-23,visa-2026-11-23-1\n"
        "L,L1,capture,net_1,,4200,USD,86,2026-11-23,1,1,,,\n"
        'L,L2,chargeback,net_2,,500,USD,0,2026-11-23,1,1,,case_1,"not as described, broken"\n'
        "T,2,4700,86\n"
    )


def test_a_file_in_layout_2() -> None:
    rows = (
        Row("L1", "capture", "net_1", "cap_1", 4200, "USD", 86, DAY),
        Row("L2", "refund", "net_2", "ref_1", 5, "KWD", -1100, DAY, 1, 2, "B1"),
        Row("L3", "chargeback", "net_3", "", 500, "JPY", 0, "soon", case_ref="C1", reason="not as | described"),
        Row("L4", "what", "net_4", "", -30, "XXX", 5, DAY),
    )

    assert written(File("mastercard", DAY, "m-1", rows), "2") == (
        "FH|mastercard|20261123|m-1\n"
        "FD|L1|SALE|net_1|cap_1|20261123|USD|42.00|0.86|1/1|||\n"
        "FD|L2|CRDT|net_2|ref_1|20261123|KWD|0.005|-1.100|1/2|B1||\n"
        "FD|L3|CHBK|net_3||soon|JPY|500|0|1/1||C1|not as   described\n"
        "FD|L4|what|net_4||20261123|XXX|-0.30|0.05|1/1|||\n"
        "FT|4|541.7050\n"
    )


@pytest.mark.parametrize("layout", ["1", "2"])
def test_every_row_is_one_line(layout: str) -> None:
    file = File("visa", DAY, "f", (Row("L1", "fee", "", "", 7, "JPY", 0, DAY, reason="a\r\nb\nc\u2028d"),))

    assert written(file, layout).splitlines()[1].endswith("a b c d")


def test_what_is_read_is_what_was_written() -> None:
    file = File("visa", DAY, "f", (Row("L1", "fee", "", "", 7, "JPY", -3, DAY, 2, 3, "b", "c", 'a "reason" of two'),))

    assert read(written(file, "1")) == file
