"""`vmsmp run`: search one scenario."""

from __future__ import annotations

import argparse

from vmsmp.campaign.findings import explain
from vmsmp.campaign.free_run import FreeRounds, free_rounds
from vmsmp.campaign.outcome import Failure, Result, replaying
from vmsmp.campaign.search import SCHEDULES, first_run, search
from vmsmp.cli.arguments import Subparsers, add_json, add_options, number, options_of, print_json
from vmsmp.cli.console import Progress
from vmsmp.engine.options import Options
from vmsmp.engine.schedule import Schedule
from vmsmp.library import Scenario, find_scenario
from vmsmp.report.summary import free_text, result_text
from vmsmp.report.text import clean_text
from vmsmp.sched.names import CHOICES, make_scheduler

#: Preemptions from which on a schedule is worth shortening.
LONG = 4
#: Seconds of free runs where nobody says how many.
FREE_S = 10.0


def register(commands: Subparsers) -> None:
    parser = commands.add_parser(
        "run",
        help="search one scenario",
        description="Search the schedules of one scenario, or run it freely, and report what fails.",
        epilog="Exit code 0: nothing failed; 1: a failure was found; 4: interrupted.",
    )
    parser.add_argument("scenario", help="its name; `vmsmp list` shows them")
    parser.add_argument(
        "--engine",
        choices=("controlled", "free"),
        default="controlled",
        help="who schedules the CPUs: vmsmp, so that a failure can be replayed (the default), or the host",
    )
    _add_search(parser)
    add_options(parser)
    add_json(parser)
    parser.set_defaults(main=main)


def _add_search(parser: argparse.ArgumentParser) -> None:
    """How to search, and for how long."""
    parser.add_argument(
        "--sched",
        default="portfolio",
        metavar="S",
        help="; ".join(f"{choice.form}: {choice.about}" for choice in CHOICES),
    )
    parser.add_argument(
        "--seed", type=number(int, 0, 2**63), default=0, metavar="N", help="seed of the search (default 0)"
    )
    parser.add_argument(
        "--schedules", type=number(int, 1, 10**12), metavar="N", help=f"how many (default {SCHEDULES})"
    )
    parser.add_argument("--time", type=number(float, 0.1, 10**7), metavar="S", help="stop after S seconds")
    parser.add_argument("--all", action="store_true", help="go on after a failure, one of each kind")
    parser.add_argument("--no-check", action="store_true", help="leave the checkers out")
    parser.add_argument(
        "--story", action="store_true", help="if nothing fails, tell the story of the first run"
    )


def main(args: argparse.Namespace) -> int:
    scenario = find_scenario(args.scenario)
    return _free(args, scenario) if args.engine == "free" else _controlled(args, scenario)


def _exit_code(failures: list[Failure], interrupted: bool) -> int:
    if failures:
        return 1
    return 4 if interrupted else 0


def _controlled(args: argparse.Namespace, scenario: Scenario) -> int:
    bounded = args.time is not None or make_scheduler(args.sched, args.seed).systematic
    progress = Progress(quiet=args.json)

    def say(so_far: Result) -> None:
        rate = so_far.executions / so_far.seconds
        progress.say(
            f"{so_far.program}: {so_far.executions:,} schedules, {rate:,.0f} a second, "
            f"{sum(so_far.counts.values())} failed"
        )

    result = search(
        scenario,
        options_of(args, scenario),
        sched=args.sched,
        schedules=args.schedules or (10**12 if bounded else SCHEDULES),
        seed=args.seed,
        stop="never" if args.all else "first",
        check=not args.no_check,
        time_s=args.time,
        progress=say,
    )
    progress.clear()
    if args.json:
        print_json(result.as_dict())
    else:
        for failure in result.failures:
            _tell(failure, result.options)
        if args.story and result.ok and not result.interrupted:
            _tell_clean(args, scenario, result.options)
        print(result_text(result))
    return _exit_code(result.failures, result.interrupted)


def _tell(failure: Failure, options: Options) -> None:
    """A failure's report, and what to do next."""
    print(failure.report())
    finding = explain(failure, options.repairs)
    if finding is not None:
        print(f"known finding {finding.name}: {finding.reason}")
        print(f"  what lies behind it: --repair {finding.repair}")
    elif len(Schedule.parse(failure.schedule)) > LONG:
        print(f"shorten: vmsmp minimize '{failure.schedule}'")
    print()


def _tell_clean(args: argparse.Namespace, scenario: Scenario, options: Options) -> None:
    """The story of the search's first run, and the line that shows it again."""
    outcome = first_run(scenario, options, sched=args.sched, seed=args.seed, check=not args.no_check)
    print(clean_text(outcome))
    line = f"{outcome.schedule}:{outcome.digest}"
    print(f"replay: {replaying(outcome.program, line, listed=True, check=not args.no_check)}\n")


def _free(args: argparse.Namespace, scenario: Scenario) -> int:
    progress = Progress(quiet=args.json)

    def say(so_far: FreeRounds) -> None:
        progress.say(f"{so_far.program}: {so_far.rounds:,} free rounds, {so_far.operations:,} operations")

    rounds = free_rounds(
        scenario,
        time_s=args.time or FREE_S,
        options=options_of(args, scenario),
        seed=args.seed,
        check=not args.no_check,
        progress=say,
    )
    progress.clear()
    if args.json:
        print_json(rounds.as_dict())
    else:
        for failure in rounds.failures:
            print(failure.report(), end="\n\n")
        print(free_text(rounds))
    return _exit_code(rounds.failures, rounds.interrupted)
