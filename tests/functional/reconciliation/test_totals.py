"""The report's value: parts added up, whatever their order, and a merchant's own figures and no others."""

from dataclasses import asdict

from hypothesis import given
from hypothesis import strategies as st

from functions.reconciliation.exchange import Booking, OpenClaim, Total
from functions.reconciliation.totals import Totals

ADA, BOB = "mer_" + "a" * 24, "mer_" + "b" * 24


def total(name="matched", merchant_id=None, lines=1, settled=100, **changes):
    values = {
        "type": "capture",
        "network": "visa",
        "currency": "USD",
        "expected": settled,
        "difference": 0,
        "fee_settled": 3,
        "at_risk": 0,
    }
    return asdict(Total(merchant_id=merchant_id, result_class=name, lines=lines, settled=settled, **(values | changes)))


def summary(totals=(), by_merchant=(), bookings=(), open_claims=(), aged=(), told=0, settled=0):
    return {
        "totals": list(totals),
        "by_merchant": list(by_merchant),
        "bookings": [asdict(one) for one in bookings],
        "open_claims": [asdict(one) for one in open_claims],
        "open_by_age": list(aged),
        **{"results": told, "open": 0, "changed": told, "told": told, "settled": settled},
    }


def added(*summaries):
    totals = Totals()
    for one in summaries:
        totals.add(one)
    return totals


def test_what_is_alike_in_two_parts_is_one_row():
    totals = added(
        summary([total(settled=100)]), summary([total(settled=50), total("orphan", network=None, at_risk=7)])
    )

    matched = {"class": "matched", "type": "capture", "network": "visa", "currency": "USD", "lines": 2}
    matched |= {"expected": 150, "settled": 150, "difference": 0, "fees": 6, "at_risk": 0}
    assert totals.report(None, [])["totals"][0] == matched
    assert totals.at_risk == {"USD": 7}


@given(st.permutations([summary([total(name, settled=n)], told=n) for n, name in enumerate(("a", "b", "c", "a"))]))
def test_the_order_of_parts_does_not_matter(parts):
    ordered = added(*sorted(parts, key=lambda part: part["results"]))

    assert added(*parts).report(None, []) == ordered.report(None, [])


def test_the_match_rate_is_of_what_came_and_only_what_is_all_settled_is_all():
    assert added(summary(told=3, settled=3)).match_rate == 100_000
    assert added(summary(told=3, settled=2)).match_rate == 66_666
    assert added(summary(told=1_000_000, settled=999_999)).match_rate == 99_999
    assert added(summary()).match_rate is None


def test_journals_are_counted_where_something_was_booked():
    nothing, something = Booking(1, "visa", "USD", 0, 0, 0, 0), Booking(2, "visa", "USD", 100, 40, 3, -1)

    (row,) = added(summary(bookings=[nothing, something])).report(None, [])["bookings"]

    amounts = {"captured": 100, "returned": 40, "fees": 3, "written_off": -1}
    assert row == {"network": "visa", "currency": "USD", "journals": 1, **amounts}


def test_open_claims_are_added_by_network_and_currency():
    totals = added(
        summary(open_claims=[OpenClaim("visa", "USD", 100), OpenClaim("visa", "JPY", 5)]),
        summary(open_claims=[OpenClaim("visa", "USD", -30)]),
    )

    assert totals.open_claims == {("visa", "USD"): 70, ("visa", "JPY"): 5}


def test_what_is_open_is_told_by_age_the_newest_first():
    aged = [{"days": days, "currency": "USD", "lines": 1, "at_risk": 10} for days in ("31+", "0-1", "8-30", "2-7")]

    rows = added(summary(aged=aged), summary(aged=aged[:1])).report(None, [])["open_by_age"]

    assert [(row["days"], row["lines"], row["at_risk"]) for row in rows] == [
        ("0-1", 1, 10),
        ("2-7", 1, 10),
        ("8-30", 1, 10),
        ("31+", 2, 20),
    ]


def test_a_merchants_own_totals_have_no_other_merchants_figures():
    own = [total(merchant_id=ADA, settled=1), total(merchant_id=BOB, settled=20), total(merchant_id=ADA, settled=300)]

    assert dict(added(summary(by_merchant=own)).merchants()) == {
        ADA: [row(lines=2, amount=301)],
        BOB: [row(lines=1, amount=20)],
    }


def test_what_the_network_keeps_is_nothing_to_a_merchant():
    mismatch = total("fee_mismatch", ADA, settled=100, fee_settled=50, at_risk=47)

    assert dict(added(summary(by_merchant=[mismatch])).merchants()) == {ADA: [row(lines=1, amount=100)]}


def row(**sums):
    return {"class": "matched", "type": "capture", "currency": "USD", "difference": 0, "at_risk": 0, **sums}


def test_the_file_is_told_as_it_was_taken():
    file = {"file": "f" * 32, "key": "inbox/visa/a.csv", "network": "visa", "business_date": "2026-11-23"}
    file |= {"rows": 3, "rejected": 1, "result": "accepted", "reason": None}

    assert added().report({**file, "more": 1}, [])["files"] == [file]
    assert added().report(None, [])["files"] == []
