"""A region as a process of its own, stopped in its tracks, killed, or slow: what the watchman makes of it, over real
connections, with settings that are quicker than any deployment's."""

import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from functions.watchman import rounds, signals
from functions.watchman.judgement import ROUNDS, Seen
from functions.watchman.rounds import Watch
from functions.watchman.settings import WatchmanSettings
from payments import clock, regions, shard_map, shard_moves
from payments.shard_map import Sign
from tests.functional.failover.servers import Region

EAST, WEST = "us-east-1", "us-west-2"
QUICK = WatchmanSettings("payments-watchman", round_seconds=1.5, sign_seconds=3, quiet_minutes=1, watch_seconds=8)
"""A run is short: a test looks at what came of it."""

SLOW_SECONDS = 1.2

ROOT = Path(__file__).parents[3]

SERVE = f"""
import time
from tests.functional.failover.servers import Region
region = Region()
print(region.url, flush=True)
input()
region.delays = {{"tables": {SLOW_SECONDS}, "health": 5, "functions": 5}}
print("slow", flush=True)
time.sleep(120)
"""


@pytest.fixture
def west():
    with subprocess.Popen([sys.executable, "-c", SERVE], stdin=-1, stdout=-1, text=True, cwd=ROOT) as process:
        yield process
        process.kill()


@pytest.fixture
def watched(tables, west, monkeypatch):
    """The first region's watchman, with clients that know the second one where its process is."""
    east = Region()
    places = {EAST: east.url, WEST: west.stdout.readline().strip()}
    monkeypatch.setattr(regions, "endpoints", lambda: places)
    for room in (signals, rounds):
        monkeypatch.setattr(room, "settings", lambda: QUICK)
    monkeypatch.setattr(signals, "health_urls", lambda: {name: f"{url}/health" for name, url in places.items()})
    watch = Watch()
    shard_map.sign(Sign(WEST, clock.now(), True))
    rounds.make_round(watch, shard_moves.always)
    assert watch.seen[WEST].tables
    yield watch
    east.server.shutdown()
    east.server.server_close()


@pytest.mark.parametrize("signal_number", [signal.SIGSTOP, signal.SIGKILL], ids=["frozen", "killed"])
def test_a_region_whose_process_is_gone_is_failed_over_within_ten_seconds(watched, west, signal_number):
    begun, its_own = clock.utc(), sum(shard.primary == WEST for shard in shard_map.shards())
    west.send_signal(signal_number)

    for _ in range(2):
        rounds.run(watched, shard_moves.always)
        if shard_map.overview().newest:
            break

    move = shard_map.overview().newest
    assert (move.action, move.region, move.by, move.moved) == ("fail", WEST, "watchman", its_own)
    assert (datetime.fromisoformat(move.at) - begun).total_seconds() < 10


def test_a_region_that_is_only_slow_stays(watched, west):
    """Its health and functions are silent in time, and its watchman with them; its tables answer."""
    west.stdin.write("\n")
    west.stdin.flush()
    assert west.stdout.readline().strip() == "slow"

    assert rounds.run(watched, shard_moves.always) > ROUNDS + 1

    assert (watched.seen[WEST], shard_map.overview().newest) == (Seen(True, False, False, False), None)
