"""`vmsmp minimize`: the shortest schedule with the same signature."""

from __future__ import annotations

import argparse
import time

from vmsmp.campaign.minimize import minimize
from vmsmp.cli.arguments import Subparsers, add_hang, add_json, hang_of, print_json
from vmsmp.cli.console import Progress
from vmsmp.cli.lines import add_line, line_and_program, place_of_line
from vmsmp.cli.programs import beside
from vmsmp.engine.schedule import Schedule

#: Seconds between two lines of progress.
_EVERY_S = 0.5


def register(commands: Subparsers) -> None:
    parser = commands.add_parser(
        "minimize",
        help="shorten a failing schedule",
        description="Find a schedule with fewer preemptions and the same signature.",
        epilog="Exit code 0: this is the shortest; 4: interrupted, the shortest so far is shown.",
    )
    add_line(parser)
    add_hang(parser)
    add_json(parser)
    parser.set_defaults(main=main)


def main(args: argparse.Namespace) -> int:
    schedule, program = line_and_program(args)
    small = schedule
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
        small = minimize(program, schedule, progress=say, hang_s=hang_of(args))
    except KeyboardInterrupt:
        code = 4
    progress.clear()
    if args.json:
        print_json({"schedule": str(small), "before": len(schedule), "after": len(small)})
    else:
        print(small)
        print(f"{len(schedule)} preemptions before, {len(small)} after{', interrupted' if code else ''}")
        print(f"replay: vmsmp replay '{small}'{beside(place_of_line(args, program))}")
    return code
