"""The Handbook's protocol on transactions small enough to count by hand, and the features without a look ahead."""

import json
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pytest

from functions.fraud.features import NAMES
from models.fraud import evaluate, outside
from models.fraud.handbook import Split, Transactions, card_precision, features, read, unknown

DAY = 86_400
FIRST = 17_700  # days since 1970


def transactions(lines: list[tuple[int, int, int, float, bool]], gap: int = 60) -> Transactions:
    """Of (day, customer, terminal, dollars, fraud), in order of time."""
    day = np.array([FIRST + line[0] for line in lines], dtype=np.int64)
    at = day * DAY + np.arange(len(lines)) * gap % DAY
    order = np.argsort(at, kind="stable")
    columns = [np.arange(len(lines)), at, day, *(np.array([line[i] for line in lines]) for i in (1, 2))]
    columns += [np.array([round(line[3] * 100) for line in lines]), np.array([line[4] for line in lines], dtype=bool)]
    return Transactions(*(column[order] for column in columns))


def traffic(days: int, seed: int = 1, per_day: int = 60) -> Transactions:
    random = np.random.default_rng(seed)
    lines = []
    for day in range(days):
        for _ in range(per_day):
            customer, terminal = int(random.integers(30)), int(random.integers(20))
            fraud = terminal < 2 or random.random() < 0.02
            lines.append(
                (day, customer, terminal, float(random.uniform(5, 90)) * (1 + 9 * (fraud and terminal > 1)), fraud)
            )
    return transactions(lines)


SPLIT = Split(FIRST + 10, 7, 7, 7)


def test_a_customer_is_left_out_from_the_day_the_label_is_known() -> None:
    """Fraud of customer 1 in the last training week, of 2 in the delay, of 3 before; tested on days 24 to 30."""
    lines = [(16, 1, 1, 5, True), (18, 2, 1, 5, True), (9, 3, 1, 5, True)]
    lines += [(day, customer, 1, 5, False) for day in range(22, 33) for customer in (1, 2, 3, 4)]
    all_ = transactions(lines)
    judged = all_.where(unknown(all_, SPLIT))
    days = {customer: sorted((judged.day[judged.customer == customer] - FIRST).tolist()) for customer in (1, 2, 3, 4)}
    assert days == {1: [], 2: [24, 25], 3: list(range(24, 31)), 4: list(range(24, 31))}


def test_a_fraud_within_the_test_is_judged_and_its_customer_stays_until_the_label_is_old_enough() -> None:
    all_ = transactions([(day, 5, 1, 5, day == 24) for day in range(10, 35)])
    judged = all_.where(unknown(all_, SPLIT))
    assert (judged.day - FIRST).tolist() == list(range(24, 31))
    assert int(judged.fraud.sum()) == 1


def test_card_precision_takes_the_best_score_of_a_card_and_leaves_found_cards_out() -> None:
    lines = [(0, 1, 1, 5, False), (0, 1, 1, 5, True), (0, 2, 1, 5, False), (1, 1, 1, 5, True), (1, 2, 1, 5, True),
             (1, 3, 1, 5, False)]  # fmt: skip
    test = transactions(lines)
    scores = np.array([0.9, 0.1, 0.2, 0.99, 0.5, 0.6])
    # Day 0: card 1 (by its honest transaction) of the best 1: hit. Day 1 without card 1: card 3, no hit.
    assert card_precision(test, scores, top=1) == 0.5
    assert card_precision(test, scores, top=2) == (1 / 2 + 1 / 2) / 2


def test_no_feature_looks_ahead() -> None:
    """What comes after a transaction, labels within the delay included, changes nothing in its row."""
    all_ = traffic(30)
    _, made = features(all_, FIRST, FIRST + 30, 7)
    for day in (12, 20, 25):
        cut = all_.where(all_.day <= FIRST + day)
        recent = cut.fraud & (cut.at >= (FIRST + day - 6) * DAY)
        hidden = replace(cut, fraud=cut.fraud & ~recent)
        shown, early = features(hidden, FIRST + day, FIRST + day + 1, 7)
        assert len(early) == 60
        np.testing.assert_array_equal(early, made[np.isin(all_.id, shown.id)])


def test_labels_of_age_do_change_the_rows() -> None:
    all_ = traffic(30)
    _, made = features(all_, FIRST + 20, FIRST + 30, 7)
    _, blind = features(replace(all_, fraud=np.zeros_like(all_.fraud)), FIRST + 20, FIRST + 30, 7)
    differing = {
        name for number, name in enumerate(NAMES) if not np.array_equal(made[:, number], blind[:, number], True)
    }
    assert {"merchant_fraud_rate_7d", "merchant_fraud_streak", "card_frauds"} <= differing
    assert not {"card_count_24h", "hour", "amount_log"} & differing


def _parquet(all_: Transactions, folder: Path) -> list[str]:
    """As two files that overlap in nothing, out of order."""
    table = {
        "transaction_id": all_.id, "tx_datetime": all_.at.astype("datetime64[s]").astype("datetime64[us]"),
        "customer_id": all_.customer, "terminal_id": all_.terminal, "tx_amount": all_.cents / 100,
        "tx_fraud": all_.fraud.astype(np.int8),
    }  # fmt: skip
    connection = duckdb.connect()
    connection.register("all_", table)
    names = [str(folder / name) for name in ("late.parquet", "early.parquet")]
    for name, which in zip(names, (">=", "<"), strict=True):
        query = f"select * from all_ where tx_datetime {which} make_timestamp({(FIRST + 15) * DAY * 1_000_000})"
        connection.sql(query).write_parquet(name)
    return names


def test_files_are_read_in_order_of_time(tmp_path: Path) -> None:
    all_ = traffic(20)
    found = read(_parquet(all_, tmp_path))
    for name in Transactions.__slots__:
        np.testing.assert_array_equal(getattr(found, name), getattr(all_, name))


def test_predictions_are_of_the_whole_test_window_and_better_than_chance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    all_, out = traffic(32, per_day=120), tmp_path / "out.parquet"
    start = str(np.datetime64(FIRST + 10, "D"))
    evaluate.main(["--transactions", *_parquet(all_, tmp_path), "--train-start", start, "--predictions", str(out)])
    written = duckdb.sql(f"select transaction_id, score from read_parquet('{out}')").fetchnumpy()
    test = all_.where((all_.day >= SPLIT.test_start) & (all_.day < SPLIT.end))
    assert sorted(written["transaction_id"]) == sorted(test.id)
    assert json.loads(capsys.readouterr().out)["auc"] > 0.9


def test_a_window_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    files = _parquet(traffic(25), tmp_path)
    with pytest.raises(ValueError, match="begin too late"):
        evaluate.main(["--transactions", *files, "--weekly", "2"])
    with pytest.raises(ValueError, match="no transactions"):
        evaluate.main(["--transactions", *files, "--train-start", "2030-01-01"])
    with pytest.raises(SystemExit):
        evaluate.main(["--transactions", *files])


def test_a_test_window_without_labels_is_scored_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the test window only labels that are known within it may matter to scores, and the last days' never do."""
    all_ = traffic(31)
    blind = replace(all_, fraud=all_.fraud & (all_.day < FIRST + 17))
    part = Split(FIRST + 10, 7, 7, 7)
    scored = {}
    for name, known in (("all", all_), ("blind", blind)):
        out = tmp_path / f"{name}.parquet"
        found = outside.one_split(_parquet(known, tmp_path), part, str(out))
        assert ("auc" in found) == (name == "all")
        scored[name] = dict(
            duckdb.sql(f"select transaction_id, score from read_parquet('{out}') order by 1").fetchall()
        )
    first_day = all_.id[all_.day == part.test_start].tolist()
    early = [number for number in first_day if all_.at[all_.id == number][0] < (FIRST + 24) * DAY + 60]
    assert early
    assert scored["all"].keys() == scored["blind"].keys()
    assert [scored["all"][number] for number in early] == [scored["blind"][number] for number in early]
