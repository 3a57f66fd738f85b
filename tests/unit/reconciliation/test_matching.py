"""Promises of the matching: the same whatever the order, the files and the runs, and nothing is lost on the way."""

import os
from collections import Counter
from datetime import timedelta

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from functions.reconciliation.disputes import dispute_of
from functions.reconciliation.exchange import OpenedDispute
from tests.unit.reconciliation.oracle import compare, distinct_facts, distinct_lines
from tests.unit.reconciliation.strategies import AS_OF, TERMS, in_files, worlds

randoms = st.randoms(use_true_random=True)

EXAMPLES = int(os.environ.get("EXAMPLES", "4"))
"""More of them find more; these are what the whole suite has time for. A smaller example than the failing one would not
tell more: what is compared has the payment's reference."""

many = settings(
    max_examples=EXAMPLES,
    derandomize="EXAMPLES" not in os.environ,
    phases=[phase for phase in Phase if phase is not Phase.shrink],
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


def told(results, apart=()):
    """Results to compare; `apart` are columns that depend on which file was read first."""
    return {key: {name: value for name, value in row.items() if name not in apart} for key, row in results.items()}


def agrees(runs, expected, apart=()):
    assert told(runs.told, apart) == told(expected.results, apart)
    assert runs.booked == expected.booked
    assert runs.claims == expected.claims


def adds_up(world, results, decided=()):
    """Money by currency: what came is what is told, of lines and of facts."""
    lines, facts, settled, expected = Counter(), Counter(), Counter(), Counter()
    for line in distinct_lines(world.lines):
        lines[line["currency"]] += line["amount"] if line["type"] != "batch" else 0
    for fact in distinct_facts(world.facts, decided).values():
        facts[fact["currency"]] += fact["amount"]
    for row in results.values():
        settled[row["currency"]] += row["settled"] if row["type"] != "batch" else 0
        expected[row["currency"]] += row["expected"] if row["type"] != "batch" else 0
    assert +settled == +lines
    assert +expected == +facts
    assert sum(row["line_ref"] is not None for row in results.values()) == len(distinct_lines(world.lines))


@given(worlds(), randoms)
@many
def test_one_run_comes_to_what_the_document_says(begin, world, random):
    runs = begin()
    runs.run(AS_OF, in_files(random, world.facts, 2), in_files(random, world.lines, 3))
    agrees(runs, compare(world.facts, world.lines, TERMS, AS_OF))
    adds_up(world, runs.told)


@given(worlds(), randoms, st.integers(2, 4), st.booleans())
@many
def test_however_it_comes_over_several_runs_the_last_one_comes_to_the_same(begin, world, random, number, introduced):
    runs = begin()
    facts, lines = (in_files(random, rows, number) for rows in (world.facts, world.lines))
    for turn in range(number):
        as_of = AS_OF - timedelta(days=2 * (number - 1 - turn)) if random.randint(0, 3) else AS_OF
        as_of = max(as_of, runs.as_of or as_of)
        runs.run(as_of, facts[turn : turn + 1], lines[turn : turn + 1], introduced=introduced)
    agrees(runs, compare(world.facts, world.lines, TERMS, AS_OF), apart=("file", "row"))
    adds_up(world, runs.told)


@given(worlds(), st.booleans(), st.booleans())
@many
def test_a_run_of_nothing_new_changes_nothing(begin, world, facts_again, lines_again):
    runs = begin()
    runs.run(AS_OF, [world.facts], [world.lines])
    told, booked, claims = dict(runs.told), runs.booked, runs.claims
    runs.run(AS_OF, [world.facts] if facts_again else [], [world.lines] if lines_again else [])
    assert not [row for row in runs.results if row["changed"] or row["withdrawn"]]
    assert (runs.told, runs.booked, runs.claims) == (told, booked, claims)


def ledger_of(world):
    """A ledger's answers: the dispute that it has already; else it opens what is less than 1,000, refuses what is more,
    and says nothing to 1,000."""
    there = {(fact["network_ref"], fact["movement"]): fact for fact in world.facts if fact["kind"] == "chargeback"}

    def answer(wanted):
        dispute = dispute_of(wanted.merchant_id, wanted.case_ref)
        if fact := there.get((wanted.network_ref, dispute)):
            return OpenedDispute(wanted.line_id, dispute, fact["amount"], fact["currency"], fact["at"])
        if wanted.amount < 1000:
            at = f"{wanted.settled_on}T12:00:00Z"
            return OpenedDispute(wanted.line_id, dispute, wanted.amount, wanted.currency, at)
        return OpenedDispute(wanted.line_id, refusal="too_late") if wanted.amount > 1000 else None

    return answer


@given(worlds(), randoms)
@many
def test_opened_disputes_are_facts_whenever_the_feed_tells_of_them(begin, world, random):
    runs = begin()
    ledger = ledger_of(world)
    facts, lines = ([*in_files(random, rows, 2), []] for rows in (world.facts, world.lines))
    for turn in range(2):
        runs.run(AS_OF, facts[turn : turn + 1], lines[turn : turn + 1], ledger, introduced=True)
    runs.run(AS_OF, [*facts[2:], random.choice(([], runs.opened))], lines[2:], ledger)
    agrees(runs, compare([*world.facts, *runs.opened], world.lines, TERMS, AS_OF, runs.refusals), ("file", "row"))


@given(worlds(), randoms)
@many
def test_what_is_decided_is_settled_by_nothing_that_comes_later(begin, world, random):
    runs = begin()
    number = 3
    facts, lines = (in_files(random, rows, number) for rows in (world.facts, world.lines))
    for turn in range(number):
        for row in random.sample(runs.open(), len(runs.open()) // 3):
            runs.decide(row)
        runs.run(AS_OF, facts[turn : turn + 1], lines[turn : turn + 1])
    # Whose payment a decided line names is not told again when it becomes known later.
    apart = ("file", "row", "merchant_id", "payment_id")
    agrees(runs, compare(world.facts, world.lines, TERMS, AS_OF, None, runs.decisions), apart)
    adds_up(world, runs.told, runs.decisions.closed)
