"""`vmsmp replay`: show a run again, bit for bit."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from vmsmp.campaign.outcome import Outcome
from vmsmp.campaign.replay import follow, parse_for
from vmsmp.cli.arguments import Subparsers, add_json, number, print_json
from vmsmp.engine.schedule import Schedule
from vmsmp.errors import ReplayDiverged, UsageError, shorten
from vmsmp.library import find_scenario
from vmsmp.report.perfetto import perfetto_trace
from vmsmp.report.pytest_file import pytest_file
from vmsmp.report.story import story_lines
from vmsmp.report.text import clean_text
from vmsmp.report.watch import watch_lines


def register(commands: Subparsers) -> None:
    parser = commands.add_parser(
        "replay",
        help="show a run again",
        description="Run a scenario once more along a schedule line and tell the story.",
        epilog="Exit code 0: the run is clean; 1: it fails; 3: it is clean and not the run that the line was "
        "made of, or it diverged from --digest.",
    )
    parser.add_argument("schedule", help="a line as a report prints it, or a file that holds one")
    parser.add_argument("--all", action="store_true", help="show every row of the table")
    parser.add_argument(
        "--to", type=number(int, 0, 10**12), metavar="STEP", help="tell the story up to this step only"
    )
    parser.add_argument(
        "--watch",
        action="append",
        default=[],
        metavar="NAME",
        help="show what happens to this object, and who changed it last; repeatable",
    )
    parser.add_argument("--digest", metavar="HEX", help="the digest that the run must have")
    parser.add_argument("--no-check", action="store_true", help="leave the checkers out")
    parser.add_argument(
        "--trace", metavar="FILE", help="write the run as a trace for ui.perfetto.dev (- for standard output)"
    )
    parser.add_argument(
        "--pytest", metavar="FILE", help="write a pytest file that runs it again (- for standard output)"
    )
    add_json(parser)
    parser.set_defaults(main=main)


def read_schedule(text: str) -> Schedule:
    """A schedule from a line or from the first one in a file.

    Raises: UsageError in one sentence.
    """
    if text.startswith("v") and ":" in text:
        return Schedule.parse(text)
    try:
        content = Path(text).read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        what = "neither a schedule line (v1:NAME:SEED:PREEMPTIONS) nor a file that can be read"
        raise UsageError(f"{shorten(text)!r} is {what}") from None
    for word in content.split():
        if word.strip("'\",").startswith("v1:"):
            return Schedule.parse(word.strip("'\","))
    raise UsageError(f"the file {shorten(text)!r} holds no schedule line")


def _write(path: str, text: str) -> None:
    """Put `text` into a file, replacing it if it is there.

    Raises: UsageError in one sentence.
    """
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path!r}: {error.strerror}") from None
    except ValueError as error:  # a path with a NUL
        raise UsageError(f"cannot write {path!r}: {error}") from None


def main(args: argparse.Namespace) -> int:
    _one_place_each(args)
    schedule = read_schedule(args.schedule)
    scenario = find_scenario(schedule.program)
    outcome = follow(scenario, parse_for(scenario, schedule), check=not args.no_check)
    if args.digest and args.digest != outcome.digest:
        raise ReplayDiverged(f"its digest is {outcome.digest}, not {args.digest}")
    files = {}
    if args.trace is not None:
        files[args.trace] = perfetto_trace(outcome)
    if args.pytest is not None:
        files[args.pytest] = pytest_file(outcome, check=not args.no_check)
    for path, text in files.items():
        if path != "-":
            _write(path, text)
    if "-" in files:
        print(files["-"], end="")
    elif args.json:
        print_json(_as_dict(schedule, outcome))
    else:
        print("\n".join(_lines(args, outcome)))
    if outcome.failure is None and outcome.misfit:
        raise ReplayDiverged(outcome.misfit)
    return 1 if outcome.failure else 0


def _one_place_each(args: argparse.Namespace) -> None:
    """Raises: UsageError if two outputs would go to one place."""
    if "-" in (args.trace, args.pytest) and args.json:
        raise UsageError("only one of --json, --trace - and --pytest - can go to standard output")
    if args.trace is not None and args.trace == args.pytest:
        raise UsageError("--trace and --pytest cannot both go to the same file")


def _as_dict(schedule: Schedule, outcome: Outcome) -> dict[str, object]:
    return {
        "program": outcome.program,
        "schedule": str(schedule),
        "digest": outcome.digest,
        "steps": outcome.steps,
        "rolling": outcome.rolling,
        "misfit": outcome.misfit,
        "failure": outcome.failure.as_dict() if outcome.failure else None,
    }


def _lines(args: argparse.Namespace, outcome: Outcome) -> list[str]:
    """The run in words: what was asked for, else its failure, else its story."""
    story = outcome.story
    if story is not None and (args.to is not None or args.watch):
        if args.to is not None:
            story = replace(story, rows=story.rows[: args.to + 1])
        return watch_lines(story, args.watch) or story_lines(story, everything=args.all)
    if outcome.failure is not None:
        note = [f"\nnote: {outcome.misfit}"] if outcome.misfit else []
        return [outcome.failure.report(everything=args.all), *note]
    return [clean_text(outcome, everything=args.all)]
