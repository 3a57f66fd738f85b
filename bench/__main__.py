"""Every figure against its budget: `python -m bench [--no-cloud]`.

A missed budget is shown, not judged: the exit code is 0 as long as every figure could be measured. Two figures need a
local cloud; it is started for them in `.local-bench/` on ports 2000 above the usual ones, and stopped afterwards.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """A figure; `budget` is in its unit, and None where the figure only explains another one. It is the most that the
    figure may be, or the `least`."""

    what: str
    figure: float
    unit: str
    budget: float | None = None
    least: bool = False


def _imports() -> Iterator[Row]:
    from bench import imports

    for module, (milliseconds, budget) in imports.figures().items():
        yield Row(f"import of {module}, fresh interpreter", milliseconds, "ms", budget)


def _inference() -> Iterator[Row]:
    from bench import inference

    rows = inference.inference()
    yield Row("model inference, one row", rows["fast_c_api_us_per_row"], "µs", 20)
    yield Row("  LightGBM's own predict", rows["booster_predict_us_per_row"], "µs")
    cpu = inference.function()
    yield Row("fraud function, CPU without network", cpu["fraud_cpu_ms"], "ms", 1.5)
    yield Row("  with botocore's work", cpu["fraud_cpu_with_botocore_ms"], "ms")
    yield Row("  scorings per second and core", 1_000 / cpu["fraud_cpu_ms"], "/s")
    yield Row("  with botocore's work", 1_000 / cpu["fraud_cpu_with_botocore_ms"], "/s")
    yield Row("  code, model and native library, unzipped", inference.bundled()["fraud_bundle_mb"], "MB")


def _vault() -> Iterator[Row]:
    from bench import vault

    found = vault.figures()
    yield Row("vault tokenize a new card, CPU without network", found["vault_tokenize_ms"], "ms", vault.BUDGET_MS)
    yield Row("  the handler, with its log line", found["vault_tokenize_handler_ms"], "ms")
    yield Row("vault tokenize a used card", found["vault_tokenize_used_ms"], "ms", vault.BUDGET_MS)
    yield Row("vault tokenize a token", found["vault_tokenize_token_ms"], "ms", vault.BUDGET_MS)
    yield Row("vault detokenize", found["vault_detokenize_ms"], "ms", vault.BUDGET_MS)
    yield Row("HSM operations of 1,000 new cards", found["hsm_per_thousand"], "", vault.HSM_BUDGET)
    yield Row("  floor: bare JWE open and bare SDK encrypt", found["floor_sum_ms"], "ms")
    yield Row("  the cryptography alone", found["primitives_only_ms"], "ms")


def _webhooks() -> Iterator[Row]:
    from bench import webhooks

    found = webhooks.figures()
    yield Row(
        "webhook signature and delivery, CPU without network", found["webhook_delivery_ms"], "ms", webhooks.BUDGET_MS
    )
    yield Row("  with pynamodb's and botocore's work", found["webhook_delivery_with_dynamodb_ms"], "ms")
    yield Row("  the signature alone", found["webhook_signature_ms"], "ms")


def _projector() -> Iterator[Row]:
    from bench import projector

    found = projector.figures()
    for name, merchants in (("hot", "one merchant"), ("different", "200 merchants")):
        yield Row(f"projector, journals per second of CPU, {merchants}", found[f"{name}_journals_per_second"], "/s")
        yield Row("  transactional write units per journal", found[f"{name}_transactional_units"], "")
        yield Row("  the history's write units per journal", found[f"{name}_history_units"], "")
        yield Row("  objects of settlement's feed per journal", found[f"{name}_feed_objects"], "")


def _reconciliation() -> Iterator[Row]:
    from bench import reconciliation

    found = reconciliation.figures()
    for name, one in found.items():
        budget = reconciliation.BUDGET_RATIO if name == "capped" else None
        what = reconciliation.TOLD[name]
        yield Row(what if budget else f"  {what}", one.ratio, "×", budget, least=True)
        yield Row("  facts and lines a second", one.ours, "/s")


def _write_units() -> Iterator[Row]:
    from bench import writes

    for number, found in enumerate(writes.figures()):
        if number == 0:
            yield Row("items in the transaction of a charge", found.items, "", 2)
        yield Row(f"  write units, both regions: {found.step}", found.units, "")


def _saga() -> Iterator[Row]:
    from bench import saga
    from bench.cloud import running

    found = saga.compare(running())
    yield Row("charge over empty saga, end-to-end p50", found.ratio, "×", saga.BUDGET_RATIO)
    yield Row("  without the emulator's own sleep in both", found.ratio_without_sleep, "×")


def _operations() -> Iterator[Row]:
    from bench import operations

    budget = operations.BUDGET_DOLLARS
    for cards, known in (("new", False), ("known", True)):
        sums = operations.totals(operations.measured(known))
        what = f"AWS operations of a million charges of {cards} cards, under load"
        yield Row(what, sums["operations_loaded"], "$", budget)
        yield Row("  as counted, every batch a batch of one", sums["operations"], "$")
        yield Row("  under load, with assumed durations, logs, traces", sums["everything_loaded"], "$")


_ALONE: dict[str, Callable[[], Iterator[Row]]] = {
    "bench.imports": _imports,
    "bench.inference": _inference,
    "bench.vault": _vault,
    "bench.webhooks": _webhooks,
    "bench.projector": _projector,
    "bench.writes": _write_units,
    "bench.reconciliation": _reconciliation,
}
_ON_CLOUD: dict[str, Callable[[], Iterator[Row]]] = {"bench.saga": _saga, "bench.operations": _operations}


def main(arguments: list[str]) -> int:
    """Measures and prints; 1 when a figure could not be measured."""
    from bench import cloud

    shown = _table()
    failures = _measure(shown, _ALONE)
    if "--no-cloud" not in arguments:
        try:
            with cloud.own():
                failures |= _measure(shown, _ON_CLOUD)
        except Exception as error:  # noqa: BLE001 - what did not start is told like what could not be measured
            failures["local cloud"] = _told(error)
    console = Console(width=None if sys.stdout.isatty() else 130)
    console.print(shown)
    console.print(
        "not here: a part of 67 million lines, its memory, a day of 8.6 billion: bench.reconciliation --large"
    )
    for name, reason in failures.items():
        console.print(f"not measured: {name}: {reason}", markup=False)
    return int(bool(failures))


def _measure(shown: Table, measurements: dict[str, Callable[[], Iterator[Row]]]) -> dict[str, str]:
    """Adds what can be measured to the table; what cannot, with the reason."""
    failures = {}
    for module, measure in measurements.items():
        try:
            for row in measure():
                _show(shown, row, f"python -m {module}")
        except Exception as error:  # noqa: BLE001 - one failed figure does not hide the others
            failures[module] = _told(error)
        shown.add_section()
    return failures


def _show(shown: Table, row: Row, command: str) -> None:
    if row.budget is None:
        shown.add_row(f"[dim]{row.what}", f"[dim]{row.figure:.3g} {row.unit}", "", "", "")
        return
    is_met = row.figure >= row.budget if row.least else row.figure <= row.budget
    met = "[green]met" if is_met else f"[red]missed, {row.figure / row.budget:.2f} ×"
    budget = f"{'≥ ' if row.least else ''}{row.budget:g} {row.unit}"
    shown.add_row(row.what, f"{row.figure:.3g} {row.unit}", budget, met, command)


def _table() -> Table:
    return Table("what", "figure", "budget", "", "alone by", title="Budgets (docs: bench/README.md)")


def _told(error: Exception) -> str:
    output = getattr(error, "stdout", None) or ""
    return f"{type(error).__name__}: {error} {output}".strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
