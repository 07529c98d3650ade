"""`vmsmp list`: all scenarios, or those with some tags."""

from __future__ import annotations

import argparse

from vmsmp.cli.arguments import Subparsers, add_json, print_json
from vmsmp.cli.programs import add_places, scenarios_of
from vmsmp.errors import UsageError, shorten
from vmsmp.library import Scenario


def register(commands: Subparsers) -> None:
    parser = commands.add_parser("list", help="show the scenarios", description="Show the scenarios.")
    parser.add_argument("--tags", metavar="T", help="only those with all of these tags, comma-separated")
    add_places(parser)
    add_json(parser)
    parser.set_defaults(main=main)


def first_line(scenario: Scenario) -> str:
    return (scenario.__doc__ or "").strip().splitlines()[0] if scenario.__doc__ else ""


def main(args: argparse.Namespace) -> int:
    chosen = _chosen(args.tags or "", scenarios_of(args.scenarios))
    if args.json:
        print_json([_as_dict(scenario) for scenario in chosen])
    else:
        print("\n".join(_lines(chosen)))
    return 0


def _chosen(tags: str, known: dict[str, Scenario]) -> list[Scenario]:
    """The scenarios that have all these tags.

    Raises: UsageError if there is none.
    """
    wanted = {tag.strip() for tag in tags.split(",") if tag.strip()}
    chosen = [s for s in known.values() if wanted <= s.tags]
    if not chosen:
        there = sorted({tag for s in known.values() for tag in s.tags})
        named = shorten(", ".join(sorted(wanted)))
        raise UsageError(f"no scenario has tags {named}: there are {', '.join(there)}")
    return chosen


def _as_dict(scenario: Scenario) -> dict[str, object]:
    return {
        "name": scenario.__name__,
        "cpus": scenario.cpus,
        "tags": sorted(scenario.tags),
        "locks": scenario.locks,
        "story": first_line(scenario),
        "place": scenario.place,
    }


def _lines(chosen: list[Scenario]) -> list[str]:
    """A table, as wide as its words."""
    width = max(len(s.__name__) for s in chosen)
    tag_width = max(len(",".join(sorted(s.tags))) for s in chosen)
    rows = [(s.__name__, s.cpus, ",".join(sorted(s.tags)), first_line(s)) for s in chosen]
    return [
        f"{'scenario':<{width}}  CPUs  {'tags':<{tag_width}}  story",
        *(f"{name:<{width}}  {cpus:>4}  {tags:<{tag_width}}  {story}" for name, cpus, tags, story in rows),
    ]
