"""Print the digests of many random schedule lines, to compare interpreters.

    .venv/bin/python stress/digests.py [--lines N] [--seed S] > digests.txt

Each output line holds a schedule line, its digest and its verdict.  The same command must print the same
text on every Python, with or without the GIL, for any PYTHONHASHSEED.
"""

from __future__ import annotations

import argparse
import random
import sys

from vmsmp.campaign.options import options_for
from vmsmp.campaign.replay import replay
from vmsmp.engine.schedule import Preemption, Schedule
from vmsmp.library import matching


def random_line(rng: random.Random) -> Schedule:
    """Return a schedule of a random scenario with a few preemptions, mostly early; some may not apply."""
    scenario = rng.choice(matching("*"))
    cpus = scenario.cpus or 3
    options = options_for(
        scenario,
        locks=rng.choice(("exact", "atomic")),
        timeouts=rng.choice(("idle", "any")),
        spurious=rng.random() < 0.2,
        races=rng.random() < 0.5,
        max_steps=20_000,
    )
    steps = {}
    for _ in range(rng.randrange(12)):
        at = (rng.randint(0, cpus), 1 + int(rng.expovariate(0.1)))
        steps[at] = Preemption(*at, rng.randint(0, cpus))
    return Schedule(scenario.__name__, rng.randrange(1 << 32), tuple(steps.values()), options)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    found = {scenario.__name__: scenario for scenario in matching("*")}
    for _ in range(args.lines):
        schedule = random_line(rng)
        outcome = replay(found[schedule.program], schedule)
        verdict = outcome.failure.signature if outcome.failure is not None else "clean"
        print(schedule, outcome.digest, verdict)
    return 0


if __name__ == "__main__":
    sys.exit(main())
