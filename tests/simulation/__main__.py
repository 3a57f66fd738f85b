"""`python -m tests.simulation --seed N [--trace]`: one run again, exactly; `--seeds A:B` for many."""

import argparse
import sys
import time

import tests.conftest  # noqa: F401 - the environment, before anything of the platform


def main() -> int:
    """Run the seeds; the exit status says whether all promises held."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds", help="A:B, from A up to and without B")
    parser.add_argument("--trace", action="store_true", help="print every request")
    given = parser.parse_args()
    from tests.simulation.world import World

    first, last = (given.seed, given.seed + 1) if given.seeds is None else map(int, given.seeds.split(":"))
    failed, began = 0, time.process_time()
    for seed in range(first, last):
        world = World(seed, print if given.trace else None)
        findings = world.run()
        failed += bool(findings)
        for finding in findings:
            print(f"seed {seed} ({', '.join(world.faults.kinds)}): {finding}")
    spent = time.process_time() - began
    print(f"{last - first} seeds, {failed} failed, {spent:.1f} s of CPU, digest {world.digest:08x}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
