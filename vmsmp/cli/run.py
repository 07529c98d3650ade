"""`vmsmp run`: search one scenario."""

from __future__ import annotations

import argparse

from vmsmp.campaign.free_run import FreeRounds, free_rounds
from vmsmp.campaign.outcome import Failure, Result
from vmsmp.campaign.search import explore
from vmsmp.cli.arguments import Subparsers, add_json, add_options, number, options_of, print_json
from vmsmp.cli.console import Progress
from vmsmp.engine.schedule import Schedule
from vmsmp.findings import explain
from vmsmp.library import Scenario, find_scenario
from vmsmp.report.summary import free_text, result_text
from vmsmp.sched.names import CHOICES, make_scheduler

#: Preemptions from which on a schedule is worth shortening.
LONG = 4


def register(commands: Subparsers) -> None:
    parser = commands.add_parser(
        "run",
        help="search one scenario",
        description="Search the schedules of one scenario, or run it freely, and report what fails.",
        epilog="Exit code 0: nothing failed; 1: a failure was found; 4: interrupted.",
    )
    parser.add_argument("scenario", help="its name; `vmsmp list` shows them")
    parser.add_argument("--engine", choices=("controlled", "free"), default="controlled")
    parser.add_argument(
        "--sched",
        default="portfolio",
        metavar="S",
        help="; ".join(f"{choice.form}: {choice.about}" for choice in CHOICES),
    )
    parser.add_argument("--seed", type=number(int, 0, 2**63), default=0, metavar="N")
    parser.add_argument(
        "--schedules", type=number(int, 1, 10**12), metavar="N", help="how many (default 1000)"
    )
    parser.add_argument("--time", type=number(float, 0.1, 10**7), metavar="S", help="stop after S seconds")
    parser.add_argument(
        "--max-steps",
        type=number(int, 10, 10**9),
        default=100_000,
        metavar="N",
        help="steps and hand-offs after which a run counts as endless (default: 100000)",
    )
    parser.add_argument("--all", action="store_true", help="go on after a failure, one of each kind")
    parser.add_argument("--no-check", action="store_true", help="leave the checkers out")
    add_options(parser)
    add_json(parser)
    parser.set_defaults(main=main)


def main(args: argparse.Namespace) -> int:
    scenario = find_scenario(args.scenario)
    return _free(args, scenario) if args.engine == "free" else _controlled(args, scenario)


def _exit_code(failures: list[Failure], interrupted: bool) -> int:
    if failures:
        return 1
    return 4 if interrupted else 0


def _controlled(args: argparse.Namespace, scenario: Scenario) -> int:
    bounded = args.time is not None or make_scheduler(args.sched, args.seed).systematic
    schedules = args.schedules or (10**12 if bounded else 1000)
    progress = Progress(quiet=args.json)

    def word(so_far: Result) -> None:
        rate = so_far.executions / so_far.seconds
        progress.say(
            f"{so_far.program}: {so_far.executions:,} schedules, {rate:,.0f} a second, "
            f"{sum(so_far.counts.values())} failed"
        )

    options = options_of(args, scenario)
    result = explore(
        scenario,
        sched=args.sched,
        schedules=schedules,
        seed=args.seed,
        cpus=options.cpus,
        rounds=options.rounds,
        locks=options.locks,
        timeouts=options.timeouts,
        spurious=options.spurious,
        repairs=options.repairs,
        mutants=options.mutants,
        races=options.races,
        stop="never" if args.all else "first",
        max_steps=args.max_steps,
        check=not args.no_check,
        time_s=args.time,
        progress=word,
    )
    progress.clear()
    if args.json:
        print_json(result.as_dict())
        return _exit_code(result.failures, result.interrupted)
    for failure in result.failures:
        print(failure.report())
        finding = explain(failure.signature, failure.program, options.repairs)
        if finding is not None:
            print(f"known finding {finding.name}: {finding.reason}")
            print(f"  what lies behind it: --repair {finding.repair}")
        elif len(Schedule.parse(failure.schedule)) > LONG:
            print(f"shorten: vmsmp minimize '{failure.schedule}'")
        print()
    print(result_text(result))
    return _exit_code(result.failures, result.interrupted)


def _free(args: argparse.Namespace, scenario: Scenario) -> int:
    progress = Progress(quiet=args.json)

    def word(so_far: FreeRounds) -> None:
        progress.say(f"{so_far.program}: {so_far.rounds:,} free rounds, {so_far.operations:,} operations")

    rounds = free_rounds(
        scenario,
        time_s=args.time or 10.0,
        options=options_of(args, scenario),
        seed=args.seed,
        check=not args.no_check,
        progress=word,
    )
    progress.clear()
    if args.json:
        print_json(rounds.as_dict())
    else:
        for failure in rounds.failures:
            print(failure.report(), end="\n\n")
        print(free_text(rounds))
    return _exit_code(rounds.failures, rounds.interrupted)
