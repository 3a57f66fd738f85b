"""`python -m tests.simulation --seed N [--trace]`: one run again, exactly; `--seeds A:B` for many."""

import argparse
import sys
import time

import tests.conftest  # noqa: F401 - the environment, before anything of the platform


def main() -> int:
    """Run the seeds; the exit status is 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", help="A:B, from A up to and without B")
    parser.add_argument("--stop", action="store_true", help="stop at the first seed that fails")
    parser.add_argument("--trace", action="store_true", help="print every request")
    given = parser.parse_args()
    seeds = range(given.seed, given.seed + 1) if given.seeds is None else range(*map(int, given.seeds.split(":")))
    began, failed, ran = time.process_time(), 0, 0
    for seed in seeds:
        failed, ran = failed + _fails(seed, given.trace), ran + 1
        if failed and given.stop:
            break
    print(f"{ran} seeds, {failed} failed, {time.process_time() - began:.1f} s of CPU")
    return int(failed > 0)


def _fails(seed: int, trace: bool) -> bool:
    """Whether the run of this seed broke a promise; which, is printed."""
    from tests.simulation.world import World

    world = World(seed, print if trace else None)
    findings = world.run()
    for finding in findings:
        print(f"seed {seed} ({', '.join(world.faults.kinds)}): {finding}")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
