"""The benchmark of write units runs, in a process of its own as it is called, and keeps its bound."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

COUNTED = """
import json
from bench.writes import figures
print(json.dumps({found.step: found.items for found in figures() if found.step.startswith("charge")}))
"""


def test_a_charge_writes_two_items():
    own = {"PATH": os.environ["PATH"]}  # and nothing of the tests' settings
    called = [sys.executable, "-c", COUNTED]
    ran = subprocess.run(called, cwd=ROOT, env=own, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1]) == {
        "charge, as answered": 2,
        "charge, decided": 2,
        "charge without capture, as answered": 2,
        "charge without capture, decided": 1,
    }
