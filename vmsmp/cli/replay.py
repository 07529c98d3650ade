"""`vmsmp replay`: show a run again, bit for bit."""

from __future__ import annotations

import argparse
from dataclasses import replace

from vmsmp.campaign.cause import suspects
from vmsmp.campaign.options import Program
from vmsmp.campaign.outcome import Outcome
from vmsmp.campaign.replay import follow, parse_for
from vmsmp.cli.arguments import Subparsers, add_hang, add_json, hang_of, number, pattern, print_json
from vmsmp.cli.files import OutputFile, add_force, output_file, same_file
from vmsmp.cli.lines import add_line, line_and_program, located, place_of_line
from vmsmp.engine.schedule import Schedule
from vmsmp.errors import ReplayDiverged, UsageError
from vmsmp.program_files import module_of
from vmsmp.report.known import failure_dict, known_lines, suspect_lines
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
        epilog="Exit code 0: the run is clean; 1: it fails, known or not; 3: it is clean and not the run "
        "that the line was made of, or it diverged from --digest.",
    )
    add_line(parser)
    parser.add_argument("--all", action="store_true", help="show every row of the table")
    parser.add_argument(
        "--to", type=number(int, 0, 10**12), metavar="STEP", help="tell the story up to this step only"
    )
    parser.add_argument(
        "--watch",
        type=pattern("(?s).+", "the name of an object"),
        action="append",
        default=[],
        metavar="NAME",
        help="show what happens to this object, and who changed it last; repeatable",
    )
    parser.add_argument(
        "--digest",
        type=pattern("[0-9a-f]{16}", "a digest of 16 hexadecimal digits"),
        metavar="HEX",
        help="the digest that the run must have",
    )
    parser.add_argument("--no-check", action="store_true", help="leave the checkers out")
    parser.add_argument(
        "--trace", metavar="FILE", help="write the run as a trace for ui.perfetto.dev (- for standard output)"
    )
    parser.add_argument(
        "--pytest", metavar="FILE", help="write a pytest file that runs it again (- for standard output)"
    )
    add_force(parser)
    add_hang(parser)
    add_json(parser)
    parser.set_defaults(main=main)


def main(args: argparse.Namespace) -> int:
    places = _places(args)
    schedule, program = line_and_program(args)
    outcome = follow(program, parse_for(program, schedule), check=not args.no_check, hang_s=hang_of(args))
    place = place_of_line(args, program)
    outcome = located(outcome, place)
    if args.digest and args.digest != outcome.digest:
        raise ReplayDiverged(f"its digest is {outcome.digest}, not {args.digest}")
    texts = {}
    if args.trace is not None:
        texts["--trace"] = perfetto_trace(outcome)
    if args.pytest is not None:
        module = module_of(place, program)
        texts["--pytest"] = pytest_file(outcome, module=module, check=not args.no_check)
    for option, text in texts.items():
        if option in places:
            places[option].write(text.encode())
    if len(texts) > len(places):
        print(next(text for option, text in texts.items() if option not in places), end="")
    elif args.json:
        print_json(_as_dict(schedule, outcome))
    else:
        print("\n".join(_lines(args, program, schedule, outcome)))
    if outcome.failure is None and outcome.misfit:
        raise ReplayDiverged(outcome.misfit)
    return 1 if outcome.failure else 0


def _places(args: argparse.Namespace) -> dict[str, OutputFile]:
    """The files to write, by option; an option that stands for standard output has none.

    Raises: UsageError if one may not be written, or two outputs would go to one place.
    """
    named = {"--trace": args.trace, "--pytest": args.pytest}
    if ("-" in named.values() and args.json) or [*named.values()] == ["-", "-"]:
        raise UsageError("only one of --json, --trace - and --pytest - can go to standard output")
    found = {
        option: output_file(name, force=args.force)
        for option, name in named.items()
        if name not in (None, "-")
    }
    if len(found) == 2 and same_file(*found.values()):
        raise UsageError("--trace and --pytest cannot both go to the same file")
    return found


def _as_dict(schedule: Schedule, outcome: Outcome) -> dict[str, object]:
    return {
        "program": outcome.program,
        "schedule": str(schedule),
        "digest": outcome.digest,
        "steps": outcome.steps,
        "rolling": outcome.rolling,
        "misfit": outcome.misfit,
        "failure": failure_dict(outcome.failure, schedule.options) if outcome.failure else None,
    }


def _lines(args: argparse.Namespace, program: Program, schedule: Schedule, outcome: Outcome) -> list[str]:
    """The run in words: what was asked for, else its failure, else its story."""
    story = outcome.story
    if story is not None and (args.to is not None or args.watch):
        if args.to is not None:
            story = replace(story, rows=story.rows[: args.to + 1])
        return watch_lines(story, args.watch) or story_lines(story, everything=args.all)
    if outcome.failure is not None:
        note = [f"\nnote: {outcome.misfit}"] if outcome.misfit else []
        known = known_lines(program, outcome.failure, schedule.options)
        if not known:
            among = suspects(
                *(program, outcome.failure, schedule.options), check=not args.no_check, hang_s=hang_of(args)
            )
            known = suspect_lines(program, outcome.failure, schedule.options, among)
        return [outcome.failure.report(everything=args.all), *known, *note]
    return [clean_text(outcome, everything=args.all)]
