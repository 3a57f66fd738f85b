"""A run of training, step by step and whole: what it takes, what it makes, and that repeating changes nothing more."""

import json

import numpy as np
import pytest

from functions.fraud.features import NAMES
from functions.fraud.model import load_model
from functions.training import app, champion, rows, store
from tests.functional.training.world import AS_OF, DAY, REGIONS, STARTED, TASKS

DUE = AS_OF - 31 * DAY


def _rows(world, run, name="rows.npz", tmp=None):
    file = tmp / name
    file.write_bytes(world.objects()[f"runs/{run}/{name}"])
    return rows.load(file)


# Collect


def test_collect_takes_the_due_charges_of_both_regions_and_counts_what_it_leaves_out(world, tmp_path):
    fraud = {"label": "fraud", "labelled_at": AS_OF - 1}
    for region in REGIONS:
        world.score(DUE, np.arange(len(NAMES)), region=region, weight=20, value=77, currency="EUR")
        world.score(DUE + 1, region=region, **fraud)
        world.score(DUE, region=region, decision="block")
        world.score(AS_OF - 5 * DAY, region=region, **fraud)
        world.score(DUE, region=region, catalogue="another")
        world.score(AS_OF - 40 * DAY, region=region)

    answer = world.collect()

    assert answer == {"run": "20261123T000030-a7937b64", "result": "collected", "champion": world.champion}
    found = _rows(world, answer["run"], tmp=tmp_path)
    assert list(found.label) == [False, False, True, True]
    assert list(found.weight) == [20, 20, 1, 1]
    assert list(found.features[0]) == list(range(len(NAMES)))
    assert (found.value[0], found.currency[0], found.merchant[0], found.model[0]) == (
        77,
        b"EUR",
        b"mer_1",
        world.champion.encode(),
    )
    told = json.loads(world.objects()[f"runs/{answer['run']}/collect.json"])
    assert told["counts"] == {"blocked": 2, "fraud": 2, "good": 2, "other_catalogue": 2}
    assert not world.objects(REGIONS[1]), "runs are in the region that trains"


def test_what_is_labelled_later_is_not_known_when_a_step_is_repeated(world):
    payment = world.score(DUE)
    answer = world.collect()
    before = world.everything()
    world.relabel(payment, label="fraud", labelled_at=AS_OF + 60)

    assert world.collect() == answer
    assert world.everything() == before


def test_a_partition_of_several_pages_is_read_to_its_end(world, tmp_path):
    """A page of DynamoDB has a megabyte; these are two."""
    world.scores([(DUE, None, {"merchant": "m" * 40, "shadow_model": "x" * 1_000}) for _ in range(1_600)])

    answer = world.collect()

    assert len(_rows(world, answer["run"], tmp=tmp_path)) == 1_600


def test_the_newest_day_is_kept_for_drift_whatever_became_of_it(world, tmp_path):
    world.score(AS_OF - 60)
    world.score(AS_OF - 60, decision="block")
    world.score(AS_OF + 60)
    world.score(AS_OF - 2 * DAY)

    answer = world.collect()

    assert list(_rows(world, answer["run"], "recent.npz", tmp_path).at) == [AS_OF - 60]


# Learn


def test_what_it_learned_is_what_serving_loads_in_either_region(world, tmp_path):
    world.history()

    answer = world.learn(world.collect())

    assert (answer["result"], answer["reasons"]) == ("passed", [])
    for region in REGIONS:
        folder = tmp_path / region
        folder.mkdir()
        for name in ("model.txt", "model.json"):
            (folder / name).write_bytes(world.objects(region)[f"models/{answer['challenger']}/{name}"])
        model = load_model(folder)
        assert model.version == answer["challenger"]
        fraud = np.where(np.arange(len(NAMES)) % 2, -2.5, 2.5)
        assert model.score(list(fraud)) > 80 >= model.score([0.0] * len(NAMES))
    shipped = json.loads((champion.SHIPPED / "model.json").read_text())
    assert json.loads((folder / "model.json").read_text()).keys() == shipped.keys(), "the same form"


def test_the_shipped_version_is_kept_in_every_region_for_the_day_when_another_is_shipped(world):
    world.history()

    world.learn(world.collect())

    for region in REGIONS:
        for name in ("model.txt", "model.json", "reference.json"):
            kept = world.objects(region)[f"models/{champion.shipped()}/{name}"]
            assert kept == (champion.SHIPPED / name).read_bytes()


def test_learning_again_makes_the_same_files(world):
    world.history()
    collected = world.collect()
    answer = world.learn(collected)
    before = world.everything()

    assert world.learn(collected) == answer
    assert world.everything() == before


def test_a_worse_challenger_is_refused_and_kept_to_be_looked_at(world):
    """The champion knows these charges as they are; the challenger is told that half of what was good is fraud."""
    world.history()
    first = world.learn(world.collect("good"))
    world.point("model#champion", version=first["challenger"], since=STARTED)
    world.lie()

    answer = world.learn(world.collect("lied to"))

    assert answer["result"] == "refused"
    assert any(reason.startswith("overall: ") for reason in answer["reasons"]), answer["reasons"]
    assert f"models/{answer['challenger']}/model.txt" in world.objects()


def test_too_little_data_is_a_result(world):
    world.history(60)

    answer = world.learn(world.collect())

    assert answer["result"] == "refused"
    assert "challenger" not in answer
    assert all(reason.startswith("too_little_data: ") for reason in answer["reasons"])
    assert {key.split("/")[1] for key in world.objects() if key.startswith("models/")} == {champion.shipped()}


def test_the_same_rows_do_not_challenge_their_own_model(world):
    world.history()
    first = world.learn(world.collect())
    world.point("model#champion", version=first["challenger"], since=STARTED)
    before = {key: content for key, content in world.objects().items() if key.startswith("models/")}

    answer = world.learn(world.collect("next"))

    assert [reason.split(":")[0] for reason in answer["reasons"]] == ["unchanged"]
    assert {key: content for key, content in world.objects().items() if key.startswith("models/")} == before


@pytest.mark.parametrize("lost", ["model.txt", "model.json"])
def test_without_the_champions_files_nothing_is_promoted(world, lost):
    world.history()
    first = world.learn(world.collect())
    world.point("model#champion", version=first["challenger"], since=STARTED)
    from payments import clients

    clients.client("s3").delete_object(
        Bucket=f"{world.bucket}-{REGIONS[0]}", Key=f"models/{first['challenger']}/{lost}"
    )

    world.run("next")

    report = next(world.report(key[8:-5]) for key in world.objects() if key.startswith("reports/"))
    assert report["result"] == "refused"
    assert report["reasons"][0].startswith("champion_missing: ")
    assert world.pointers() == (first["challenger"], None)


def test_a_run_that_never_collected_has_nothing_to_learn(world):
    answer = app.learn({"run": "20000101T000000-00000000", "champion": world.champion}, None)

    assert [reason.split(":")[0] for reason in answer["reasons"]] == ["no_such_run"]


def test_drift_of_the_newest_day_is_reported_and_counted(world, capsys):
    world.history(60)
    world.scores([(AS_OF - 60, np.full(len(NAMES), 3.0), {}) for _ in range(1_000)])
    collected = world.collect()

    world.learn(collected)

    drift = json.loads(world.objects()[f"runs/{collected['run']}/learn.json"])["drift"]
    assert (drift["rows"], len(drift["features"])) == (1_000, len(NAMES))
    assert drift["index"] == drift["features"][drift["worst"]] > 0.25
    assert drift["worst"] in drift["shifted"]
    counted = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "CloudWatchMetrics" in line]
    assert [line["FraudFeatureDrift"] for line in counted] == [round(drift["index"] * 1_000)]


# The whole machine


def test_a_good_challenger_becomes_the_champion_by_way_of_the_shadow(world):
    world.history()
    seen = []

    def meanwhile():
        seen.append(world.pointers())
        world.shadowed(seen[-1][1])

    output = world.run(meanwhile=meanwhile)

    challenger = output["challenger"]
    assert seen == [(None, challenger)]
    assert world.pointers() == (challenger, None)
    report = world.report(output["run"])
    assert report == {**output, "steps": report["steps"]}, "the machine answers its report"
    assert report["steps"]["shadow"]["wait_s"] == 7
    assert (report["result"], report["champion"], report["challenger"]) == ("promoted", world.champion, challenger)
    assert list(report["steps"]) == ["collect", "judge", "learn", "promote", "shadow"]
    assert report["steps"]["judge"]["shadow"]["charges"] == 40
    assert set(report["steps"]["learn"]["gate"]) == {"overall", "segments"}


def test_where_nothing_was_ever_scored_a_run_ends_with_a_report(world):
    output = world.run()

    report = world.report(output["run"])
    assert report["result"] == "refused"
    assert report["reasons"][0].startswith("too_little_data: ")
    assert report["steps"]["learn"]["drift"] == {"rows": 0, "features": None}
    assert world.pointers() == (None, None)


def test_a_promotion_keeps_what_was_before(world):
    from functions.training import pointers

    world.history()
    output = world.run(meanwhile=lambda: world.shadowed(world.pointers()[1]))

    standing = pointers.champion()
    assert (standing.previous, standing.by) == (world.champion, f"training {output['run']}")


@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        ({"count": 10}, "too_few_charges"),
        ({"shadow_score": 200}, "errors"),
        ({"shadow_score": 90}, "blocked"),
    ],
)
def test_a_challenger_that_fails_beside_the_champion_is_asked_no_longer(world, attributes, why):
    world.history()

    output = world.run(meanwhile=lambda: world.shadowed(world.pointers()[1], **attributes))

    assert world.pointers() == (None, None)
    report = world.report(output["run"])
    assert report["result"] == "refused"
    assert why in {reason.split(":")[0] for reason in report["reasons"]}


def test_every_step_may_be_cut_off_and_repeated_at_any_place(world):
    """Each task is taken three times: all come to the same, and nothing is written anew."""

    def often(task):
        def work(event, context=None):
            first = task(event, context)
            before = world.everything()
            assert [task(event, context) for _ in range(2)] == [first, first]
            assert world.everything() == before
            return first

        return work

    world.history()
    tasks = {name: often(task) for name, task in TASKS.items()}

    output = world.run(meanwhile=lambda: world.shadowed(world.pointers()[1]), tasks=tasks)

    assert world.report(output["run"])["result"] == "promoted"
    before = world.everything()
    for step in ("shadow", "judge", "promote"):
        world.release(step, output)
    assert world.everything() == before, "nor long after"


@pytest.mark.parametrize("step", ["shadow", "judge", "promote"])
def test_a_step_that_was_killed_before_it_could_answer_is_repeated(world, monkeypatch, step):
    """It has changed the pointers, and its answer was not kept."""
    world.history()
    learned = world.learn(world.collect())
    for before in ("shadow", "judge", "promote")[: ("shadow", "judge", "promote").index(step)]:
        world.release(before, learned)
        if before == "shadow":
            world.shadowed(learned["challenger"])
    write = store.write_json
    with monkeypatch.context() as patch:
        patch.setattr(store, "write_json", lambda *_: (_ for _ in ()).throw(OSError("killed")))
        with pytest.raises(OSError, match="killed"):
            world.release(step, learned)
    assert store.write_json is write

    answer = world.release(step, learned)

    assert answer["result"] == {"shadow": "shadowed", "judge": "passed", "promote": "promoted"}[step] or (
        step == "judge" and answer["reasons"]
    )
    assert world.pointers() == ((learned["challenger"], None) if step == "promote" else (None, learned["challenger"]))


# Superseded


def _passed(world, name="first"):
    return world.learn(world.collect(name))


def test_a_later_runs_challenger_takes_the_place_and_the_earlier_run_ends(world):
    world.history()
    learned = _passed(world)
    world.release("shadow", learned)
    world.point("model#shadow", version="lightgbm-later", since=STARTED, run="20261124T100000-00000000")

    assert world.release("judge", learned)["result"] == "superseded"
    assert world.release("promote", learned)["result"] == "superseded"
    assert world.pointers() == (None, "lightgbm-later")
    report = app.release({"step": "report", "run": learned["run"]}, None)
    assert report["result"] == "superseded"


def test_an_earlier_run_does_not_take_the_place_of_a_later_one(world):
    world.history()
    learned = _passed(world)
    world.point("model#shadow", version="lightgbm-later", since=STARTED, run="20261124T100000-00000000")

    assert world.release("shadow", learned)["result"] == "superseded"
    assert world.pointers() == (None, "lightgbm-later")


def test_what_an_earlier_run_left_in_shadow_is_replaced(world):
    world.history()
    learned = _passed(world)
    world.point("model#shadow", version="lightgbm-old", since=STARTED, run="20261101T100000-00000000")

    assert world.release("shadow", learned)["result"] == "shadowed"
    assert world.pointers() == (None, learned["challenger"])


@pytest.mark.parametrize("when", ["shadow", "promote"])
def test_a_champion_that_somebody_else_has_chosen_meanwhile_stays(world, when):
    """The gate compared with another one; and an operator who rolls back is not overruled."""
    world.history()
    learned = _passed(world)
    if when == "promote":
        world.release("shadow", learned)
        world.shadowed(learned["challenger"])
        assert world.release("judge", learned)["result"] == "passed"
    world.point("model#champion", version="lightgbm-chosen", since=STARTED, by="somebody")

    assert world.release(when, learned)["result"] == "superseded"
    assert world.pointers() == ("lightgbm-chosen", None)
