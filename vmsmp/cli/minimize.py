"""`vmsmp minimize`: the shortest schedule with the same signature."""

from __future__ import annotations

import argparse
import time

from vmsmp.campaign.minimize import minimize
from vmsmp.cli.arguments import Subparsers, add_json, print_json
from vmsmp.cli.console import Progress
from vmsmp.cli.replay import read_schedule
from vmsmp.engine.schedule import Schedule
from vmsmp.library import find_scenario

#: Seconds between two lines of progress.
_EVERY_S = 0.5


def register(commands: Subparsers) -> None:
    parser = commands.add_parser(
        "minimize",
        help="shorten a failing schedule",
        description="Find a schedule with fewer preemptions and the same signature.",
        epilog="Exit code 0: this is the shortest; 4: interrupted, the shortest so far is shown.",
    )
    parser.add_argument("schedule", help="a line as a report prints it, or a file that holds one")
    add_json(parser)
    parser.set_defaults(main=main)


def main(args: argparse.Namespace) -> int:
    schedule = small = read_schedule(args.schedule)
    progress = Progress(quiet=args.json)
    next_line = time.monotonic() + _EVERY_S

    def say(runs: int, shortest: Schedule) -> None:
        nonlocal small, next_line
        small = shortest
        if time.monotonic() >= next_line:
            next_line = time.monotonic() + _EVERY_S
            progress.say(f"{schedule.program}: {runs:,} runs, {len(schedule)} preemptions, now {len(small)}")

    code = 0
    try:
        small = minimize(find_scenario(schedule.program), schedule, progress=say)
    except KeyboardInterrupt:
        code = 4
    progress.clear()
    if args.json:
        print_json({"schedule": str(small), "before": len(schedule), "after": len(small)})
    else:
        print(small)
        print(f"{len(schedule)} preemptions before, {len(small)} after{', interrupted' if code else ''}")
        print(f"replay: vmsmp replay '{small}'")
    return code
