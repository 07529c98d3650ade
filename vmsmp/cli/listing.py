"""`vmsmp list`: the scenarios there are."""

from __future__ import annotations

import argparse

from vmsmp.cli.arguments import Subparsers, add_json, print_json
from vmsmp.errors import UsageError
from vmsmp.library import Scenario, all_scenarios


def register(commands: Subparsers) -> None:
    parser = commands.add_parser("list", help="show the scenarios", description="Show the scenarios.")
    parser.add_argument("--tags", metavar="T", help="only those with all of these tags, comma-separated")
    add_json(parser)
    parser.set_defaults(main=main)


def first_line(scenario: Scenario) -> str:
    return (scenario.__doc__ or "").strip().splitlines()[0] if scenario.__doc__ else ""


def main(args: argparse.Namespace) -> int:
    wanted = {tag.strip() for tag in (args.tags or "").split(",") if tag.strip()}
    chosen = [s for s in all_scenarios().values() if wanted <= s.tags]
    if not chosen:
        known = sorted({tag for s in all_scenarios().values() for tag in s.tags})
        raise UsageError(f"no scenario has tags {', '.join(sorted(wanted))}: there are {', '.join(known)}")
    if args.json:
        print_json(
            [
                {
                    "name": s.__name__,
                    "cpus": s.cpus,
                    "tags": sorted(s.tags),
                    "locks": s.locks,
                    "story": first_line(s),
                }
                for s in chosen
            ]
        )
        return 0
    width = max(len(s.__name__) for s in chosen)
    tag_width = max(len(",".join(sorted(s.tags))) for s in chosen)
    print(f"{'scenario':<{width}}  CPUs  {'tags':<{tag_width}}  story")
    for s in chosen:
        tags = ",".join(sorted(s.tags))
        print(f"{s.__name__:<{width}}  {s.cpus:>4}  {tags:<{tag_width}}  {first_line(s)}")
    return 0
