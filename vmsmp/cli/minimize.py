"""`vmsmp minimize`: the shortest schedule with the same signature."""

from __future__ import annotations

import argparse

from vmsmp.campaign.minimize import minimize
from vmsmp.cli.arguments import Subparsers, add_json, print_json
from vmsmp.cli.replay import read_schedule
from vmsmp.library import find_scenario


def register(commands: Subparsers) -> None:
    parser = commands.add_parser(
        "minimize",
        help="shorten a failing schedule",
        description="Find a schedule with fewer preemptions and the same signature.",
    )
    parser.add_argument("schedule", help="a line as a report prints it, or a file that holds one")
    add_json(parser)
    parser.set_defaults(main=main)


def main(args: argparse.Namespace) -> int:
    schedule = read_schedule(args.schedule)
    small = minimize(find_scenario(schedule.program), schedule)
    if args.json:
        print_json({"schedule": str(small), "before": len(schedule), "after": len(small)})
    else:
        print(small)
        print(f"{len(schedule)} preemptions before, {len(small)} after")
        print(f"replay: vmsmp replay '{small}'")
    return 0
