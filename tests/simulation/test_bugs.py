"""The simulator finds bugs: each patch in `bugs/` breaks the platform in one place, and some seed shows it."""

import re
import subprocess
import sys
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest

from tests.simulation.test_replaying import child

ROOT = Path(__file__).parents[2]
BUGS = sorted(Path(__file__).with_name("bugs").glob("*.patch"))
PARTS = (
    "functions",
    "layers/payments",
    "statemachines",
    "tests/simulation",
    "tests/functional/ledger",
    "tests/conftest.py",
)
WITHIN = 500
"""Seeds; none of the bugs takes so many."""


@pytest.fixture
def copy(tmp_path):
    """The platform's code, to be broken."""
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            copytree(source, tmp_path / part, ignore=ignore_patterns("__pycache__", "*.parquet", "*.so*"))
        else:
            (tmp_path / part).write_text(source.read_text())
    return tmp_path


def simulate(copy):
    path = f"{copy}/layers/payments/python:{copy}"
    asked = [sys.executable, "-m", "tests.simulation", "--seeds", f"0:{WITHIN}", "--stop"]
    return subprocess.run(asked, cwd=copy, env=child(PYTHONPATH=path), capture_output=True, text=True, check=False)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.stem)
def test_a_bug_on_purpose_is_found(bug, copy):
    subprocess.run(["git", "apply", str(bug)], cwd=copy, check=True)

    run = simulate(copy)

    assert run.returncode == 1, run.stdout + run.stderr
    wanted = re.search("^Found as: (.*)$", bug.read_text(), re.MULTILINE)[1]
    assert re.search(f"^seed [0-9]+ .*({wanted})", run.stdout, re.MULTILINE), run.stdout + run.stderr


def test_there_are_the_bugs_that_must_be_found():
    assert {bug.stem for bug in BUGS} >= {
        "unconditional-write",
        "random-payment-id",
        "publish-before-ledger",
        "no-epoch-check",
        "release-without-check",
    }
