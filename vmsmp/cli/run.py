"""`vmsmp run`: search one scenario."""

from __future__ import annotations

import argparse
from dataclasses import replace

from vmsmp.campaign.cause import suspects
from vmsmp.campaign.free_run import FreeRounds, free_rounds
from vmsmp.campaign.options import Program
from vmsmp.campaign.outcome import Failure, Result, replaying
from vmsmp.campaign.search import SCHEDULES, first_run, search
from vmsmp.cli.arguments import (
    Subparsers,
    add_hang,
    add_json,
    add_options,
    hang_of,
    number,
    options_of,
    print_json,
)
from vmsmp.cli.console import Progress
from vmsmp.cli.programs import add_places, beside, named_program, place_of
from vmsmp.engine.free import HANG_S as FREE_HANG_S
from vmsmp.engine.options import Options
from vmsmp.engine.schedule import Schedule
from vmsmp.errors import UsageError
from vmsmp.program_files import FORM
from vmsmp.project import project_here
from vmsmp.report.known import failure_dict, known_lines, suspect_lines
from vmsmp.report.summary import free_text, result_text
from vmsmp.report.text import clean_text
from vmsmp.sched.names import CHOICES, make_scheduler

#: Preemptions from which on a schedule is worth shortening.
LONG = 4
#: How to search where nobody says how.
SCHED = "portfolio"
#: The options that the free engine cannot honour.
CONTROLLED = ("sched", "schedules", "races", "timeouts", "max_steps", "story")
#: Seconds of free runs where nobody says how many.
FREE_S = 10.0


def register(commands: Subparsers) -> None:
    parser = commands.add_parser(
        "run",
        help="search one scenario, or a program of your own",
        description="Search the schedules of a scenario or program, or run it freely, and report what fails.",
        epilog="Exit code 0: nothing failed; 1: a failure was found, known or not; 4: interrupted.",
    )
    parser.add_argument(
        "scenario",
        metavar=f"SCENARIO|{FORM}",
        help="a scenario's name (`vmsmp list` shows them), or a file with a program: a function of a machine",
    )
    parser.add_argument(
        "--engine",
        choices=("controlled", "free"),
        default="controlled",
        help="who schedules the CPUs: vmsmp, so that a failure can be replayed (the default), or the host",
    )
    add_places(parser)
    _add_search(parser)
    add_options(parser)
    add_hang(parser)
    add_json(parser)
    parser.set_defaults(main=main)


def _add_search(parser: argparse.ArgumentParser) -> None:
    """How to search, and for how long."""
    parser.add_argument(
        "--sched",
        metavar="S",
        help=f"how to search (default {SCHED}); "
        + "; ".join(f"{choice.form}: {choice.about}" for choice in CHOICES),
    )
    parser.add_argument(
        "--seed", type=number(int, 0, 2**63), metavar="N", help="seed of the search (default 0)"
    )
    parser.add_argument(
        "--schedules",
        type=number(int, 1, 10**12),
        metavar="N",
        help=f"how many at most (default {SCHEDULES}, or no limit with --time or a systematic search)",
    )
    parser.add_argument(
        "--time",
        type=number(float, 0.1, 10**7),
        metavar="S",
        help=f"stop after S seconds (of a free run: default {FREE_S:g})",
    )
    parser.add_argument("--all", action="store_true", help="go on after a failure, one of each kind")
    parser.add_argument("--no-check", action="store_true", help="leave the checkers out")
    parser.add_argument(
        "--story", action="store_true", help="if nothing fails, tell the story of the first run"
    )


def main(args: argparse.Namespace) -> int:
    program = named_program(args.scenario, args.scenarios)
    project = project_here()
    if args.seed is None:
        args.seed = project.seed or 0
    place = place_of(program, args.scenario)
    if args.engine == "free":
        _refuse_search(args)
        return _free(args, program, place)
    if args.sched is None:
        args.sched = project.sched or SCHED
    args.schedules = args.schedules or (project.schedules if args.time is None else None)
    return _controlled(args, program, place)


def _refuse_search(args: argparse.Namespace) -> None:
    """Raises: UsageError for an option that says how to search, as nobody decides the order of a free run."""
    given = [name for name in CONTROLLED if getattr(args, name) not in (None, False)]
    if given:
        raise UsageError(
            f"--{given[0].replace('_', '-')} is for --engine controlled: in the free one the host decides"
        )


def _exit_code(failures: list[Failure], interrupted: bool) -> int:
    if failures:
        return 1
    return 4 if interrupted else 0


def _controlled(args: argparse.Namespace, program: Program, place: str) -> int:
    bounded = args.time is not None or make_scheduler(args.sched, args.seed).systematic
    progress = Progress(quiet=args.json)

    def say(so_far: Result) -> None:
        rate = so_far.executions / so_far.seconds
        progress.say(
            f"{so_far.program}: {so_far.executions:,} schedules, {rate:,.0f} a second, "
            f"{sum(so_far.counts.values())} failed"
        )

    result = search(
        program,
        options_of(args, program),
        sched=args.sched,
        schedules=args.schedules or (10**12 if bounded else SCHEDULES),
        seed=args.seed,
        stop="never" if args.all else "first",
        check=not args.no_check,
        time_s=args.time,
        progress=say,
        hang_s=hang_of(args),
    )
    progress.clear()
    if args.json:
        failures = [failure_dict(failure, result.options) for failure in result.failures]
        print_json({**result.as_dict(), "failures": failures})
    else:
        for failure in result.failures:
            _tell(args, program, replace(failure, place=place), result.options)
        if args.story and result.ok and not result.interrupted:
            _tell_clean(args, program, result.options, place)
        print(result_text(result, place))
    return _exit_code(result.failures, result.interrupted)


def _tell(args: argparse.Namespace, program: Program, failure: Failure, options: Options) -> None:
    """A failure's report, and what to do next."""
    print(failure.report())
    known = known_lines(program, failure, options)
    if not known:
        if len(Schedule.parse(failure.schedule)) > LONG:
            print(f"shorten: vmsmp minimize '{failure.schedule}'{beside(failure.place)}")
        among = suspects(program, failure, options, check=not args.no_check, hang_s=hang_of(args))
        known = suspect_lines(program, failure, options, among)
    print(*known, "", sep="\n")


def _tell_clean(args: argparse.Namespace, program: Program, options: Options, place: str) -> None:
    """The story of the search's first run, and the line that shows it again."""
    outcome = first_run(
        program,
        options,
        sched=args.sched,
        seed=args.seed,
        check=not args.no_check,
        hang_s=hang_of(args),
    )
    print(clean_text(outcome))
    line = f"{outcome.schedule}:{outcome.digest}"
    again = replaying(outcome.program, line, listed=True, check=not args.no_check, place=place)
    print(f"replay: {again}\n")


def _free(args: argparse.Namespace, program: Program, place: str) -> int:
    progress = Progress(quiet=args.json)
    options = options_of(args, program)

    def say(so_far: FreeRounds) -> None:
        progress.say(f"{so_far.program}: {so_far.rounds:,} free rounds, {so_far.operations:,} operations")

    rounds = free_rounds(
        program,
        time_s=args.time or FREE_S,
        options=options,
        seed=args.seed,
        check=not args.no_check,
        stop_at=10**9 if args.all else 1,
        progress=say,
        hang_s=hang_of(args, FREE_HANG_S),
    )
    progress.clear()
    if args.json:
        failures = [failure_dict(failure, options) for failure in rounds.failures]
        print_json({**rounds.as_dict(), "failures": failures})
    else:
        for failure in rounds.failures:
            placed = replace(failure, place=place)
            print(placed.report(), *known_lines(program, placed, options), "", sep="\n")
        print(free_text(rounds, place))
    return _exit_code(rounds.failures, rounds.interrupted)
