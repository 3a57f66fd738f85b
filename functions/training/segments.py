"""Parts of the traffic that a new model must not fail, though the whole looks well. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from functions.training.metrics import Labels
from functions.training.rows import Column, Rows

BANDS = ((0, 1_000), (1_000, 5_000), (5_000, 20_000), (20_000, 100_000), (100_000, None))
"""US cents, from and up to."""

MOST_MERCHANTS = 10
"""The largest by the charges that their rows stand for."""

MOST_CURRENCIES = 10

FLAGS = {
    "card_new": ("known card", "new card"),
    "device_new": ("known device", "new device"),
    "customer_new": ("known customer", "new customer"),
    "ip_billing_mismatch": ("IP country as billed", "IP country not as billed"),
}
"""Features that divide the traffic, where the catalogue has them: what 0 and 1 mean."""


def segments(of: Rows, names: Sequence[str]) -> Iterator[tuple[str, Labels]]:
    """Each segment's name, and which rows belong to it."""
    for low, high in BANDS:
        name = f"amount {low / 100:g}+" if high is None else f"amount {low / 100:g}-{high / 100:g}"
        yield name, (of.value >= low) & (of.value < (np.inf if high is None else high))
    for currency in _largest(of.currency, of.weight, MOST_CURRENCIES):
        yield f"currency {currency.decode()}", of.currency == currency
    for feature, meanings in FLAGS.items():
        if feature in names:
            values = of.features[:, list(names).index(feature)]
            for value, meaning in enumerate(meanings):
                yield meaning, values == value
            yield f"{feature} not known", np.isnan(values)
    for merchant in _largest(of.merchant, of.weight, MOST_MERCHANTS):
        yield f"merchant {merchant.decode()}", of.merchant == merchant


def _largest(values: Column, weights: Column, most: int) -> list[bytes]:
    found, where = np.unique(values, return_inverse=True)
    sums = np.bincount(where, weights, minlength=len(found))
    return [bytes(found[at]) for at in np.lexsort((found, -sums))[:most]]
