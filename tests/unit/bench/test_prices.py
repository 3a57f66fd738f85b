"""What operations cost, with every sum done by hand."""

import pytest

from bench import prices
from bench.prices import Line
from bench.units import units

KEY = {"payment_id": {"S": "pay_1"}}


class FixedSizes:
    """Every item in the tables has the same size."""

    def __init__(self, size: int) -> None:
        self.size = size

    def item(self, table: str, key: dict) -> int:
        return self.size

    def query(self, request: dict) -> int:
        return self.size

    def written(self, write: dict) -> int:
        return prices.item_size(write["Item"]) if "Item" in write else self.size


def used(name: str, request: dict, size: int = 100) -> dict[str, tuple[float, float]]:
    """Units of one call, alone and in a full batch of 100."""
    found = units(name, request, FixedSizes(size), 100)
    return {unit.operation: (unit.number, unit.number * unit.share) for unit in found}


def test_a_million_charges_cost_what_their_operations_cost_a_million_times() -> None:
    lines = [
        Line("requests", alone=1, loaded=1, price=3.50),  # 3.50
        Line("queue requests", alone=9, loaded=4, price=0.40),  # 3.60, or 1.60
        Line("write units", alone=24, loaded=8.16, price=0.625),  # 15.00, or 5.10
        Line("duration", alone=2, loaded=1, price=0.50, assumed=True),  # 1.00, or 0.50
    ]

    assert prices.total(lines) == pytest.approx(22.10)
    assert prices.total(lines, loaded=True) == pytest.approx(10.20)
    assert prices.total(lines, assumed=True) == pytest.approx(23.10)
    assert prices.total(lines, loaded=True, assumed=True) == pytest.approx(10.70)


def test_writes_are_paid_by_the_kilobyte_begun_and_reads_by_four() -> None:
    assert [prices.write_units(size) for size in (0, 1, 1024, 1025, 2049)] == [1, 1, 1, 2, 3]
    assert [prices.read_units(size) for size in (0, 4096, 4097)] == [0.5, 0.5, 1.0]
    assert [prices.read_units(size, consistent=True) for size in (0, 4096, 4097)] == [1.0, 1.0, 2.0]


def test_an_item_is_as_long_as_its_names_and_values() -> None:
    item = {
        "pk": {"S": "abc"},  # 2 + 3
        "n": {"N": "4200"},  # 1 + 1 for "42" + 1
        "ok": {"BOOL": True},  # 2 + 1
        "m": {"M": {"a": {"S": "é"}}},  # 1 + 3 + 1 + 1 + 2
        "l": {"L": [{"N": "-5"}]},  # 1 + 3 + 1 + 1 + 1 + 1
        "s": {"SS": ["ab", "c"]},  # 1 + 3
        "none": {"NULL": True},  # 4 + 1
    }

    assert prices.item_size(item) == 5 + 3 + 3 + 8 + 8 + 4 + 5


def test_a_new_payment_pays_its_transaction_its_replica_and_its_index() -> None:
    payment = {**KEY, "pending_bucket": {"N": "7"}, "description": {"S": "x" * 1024}}  # 2 KB begun
    journal = {**KEY, "journal_id": {"S": "authorization"}}
    puts = [{"Put": {"TableName": "payments", "Item": payment}}, {"Put": {"TableName": "ledger", "Item": journal}}]

    found = used("TransactWriteItems", {"TransactItems": puts})

    assert found == {
        "payments: write units, transaction": (4, 4),
        "payments: write units, replica": (2, 2),
        "payments: write units, index pending, both regions": (2, 2),
        "ledger: write units, transaction": (2, 2),
        "ledger: write units, replica": (1, 1),
    }
    assert sum(alone for alone, _ in found.values()) * prices.WRITE_UNIT == 6.875


def test_a_condition_check_is_paid_like_a_write_but_not_replicated() -> None:
    check = {"ConditionCheck": {"TableName": "payments", "Key": KEY, "ConditionExpression": "attribute_not_exists(x)"}}

    assert used("TransactWriteItems", {"TransactItems": [check]}) == {"payments: write units, transaction": (2, 2)}


def test_a_batch_shares_its_marker_and_its_balances() -> None:
    updates = [
        {"Update": {"TableName": "balances", "Key": {"account": {"S": name}}}}
        for name in ("shard:001", "merchant:mer_1", "batch#1")
    ]

    request = {"TransactItems": updates}
    found = list(units("TransactWriteItems", request, FixedSizes(100), 100))

    assert [unit.number for unit in found] == [2, 2, 2]
    assert [unit.number * unit.share for unit in found] == [0.02, 0.02, 0.02]


def test_a_batch_read_pays_for_each_key() -> None:
    keys = [{"entity": {"S": str(number)}} for number in range(6)]
    request = {"RequestItems": {"fraud-profiles": {"Keys": keys}}}

    found = list(units("BatchGetItem", request, FixedSizes(900), 100))

    assert sum(unit.number for unit in found) == 3.0


def test_durations_are_priced_by_memory() -> None:
    line = prices.lambda_line("payments-fraud", 2048, alone=1, loaded=1)  # 15 ms x 2 GB = 0.03 GB-s

    assert line.assumed
    assert line.dollars() == pytest.approx(0.03 * 13.3334)


def test_an_express_execution_is_rounded_up_to_100_ms_of_64_mb() -> None:
    assert prices.saga_line().dollars() == pytest.approx(0.1 * 0.0625 * 16.67)
