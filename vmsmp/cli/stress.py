"""`vmsmp stress`: all scenarios, both engines, both depths, all cores."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from vmsmp.campaign.batch import Report
from vmsmp.campaign.profile import PROFILES, USUAL
from vmsmp.campaign.stress import Means, run_campaign
from vmsmp.campaign.tally import Campaign
from vmsmp.campaign.way import Scarcity
from vmsmp.cli.arguments import Subparsers, add_hang, add_json, add_options, number, pattern, print_json
from vmsmp.cli.console import Progress
from vmsmp.cli.files import add_force, output_file
from vmsmp.cli.interrupts import endings_as_ctrl_c
from vmsmp.engine.limits import MOST_FREE
from vmsmp.logs import LOG_MARK, configure
from vmsmp.report.campaign import campaign_dict, campaign_text

_FILE = pattern("(?s).+", "a file")


def register(commands: Subparsers) -> None:
    parser = commands.add_parser(
        "stress",
        help="all scenarios, both engines, all cores",
        description="Put every scenario under stress, in both engines and at both depths of the locks, as "
        "the kernel is and with its known findings repaired.",
        epilog="A failure that stress/known.toml does not explain is new, unless the repairs prove on the "
        "spot that a known finding causes it. What is not decided when the time is up has 30 seconds more, "
        "and is new then. Exit code 0: nothing new failed; 1: something did; 3: a batch could not be run; "
        "4: interrupted, results so far shown.",
    )
    parser.add_argument(
        "--minutes",
        type=number(float, 0.05, 10**6),
        metavar="M",
        help=f"how long, at most (default {USUAL:g}, or what the profile says)",
    )
    parser.add_argument(
        "--schedules",
        type=number(int, 1, 10**12),
        metavar="N",
        help="how many schedules of the controlled engine, at most (default: what the time allows)",
    )
    parser.add_argument(
        "--profile",
        choices=tuple(PROFILES),
        help="how long by the occasion: "
        + ", ".join(f"{name} {minutes:,.0f} minutes" for name, minutes in PROFILES.items()),
    )
    parser.add_argument(
        "--store",
        type=_FILE,
        metavar="FILE",
        help="keep everything in this SQLite file; a campaign on a file that is there replays what was found "
        "before and goes on behind what was run before",
    )
    parser.add_argument(
        "--workers", type=number(int, 1, 256), metavar="N", help="processes (default: one a core)"
    )
    parser.add_argument(
        "--freethreaded",
        type=_FILE,
        metavar="PYTHON",
        help="a free-threaded interpreter for the free engine, where this one has a GIL",
    )
    parser.add_argument(
        "--cluster",
        type=pattern("(?s).+", "an address"),
        metavar="ADDRESS",
        help="have the batches run by a cluster of dask.distributed, whose scheduler is there; its machines "
        "need the same code (extra `cluster`)",
    )
    parser.add_argument(
        "--scenarios",
        default="*",
        metavar="GLOB",
        help="only scenarios whose name matches, or those in a file or folder of your own (default: all)",
    )
    parser.add_argument(
        "--seed",
        type=number(int, 0, 2**62),
        default=0,
        metavar="N",
        help="seed of the first round (default 0)",
    )
    parser.add_argument(
        "--pages",
        type=number(int, 0, MOST_FREE),
        metavar="N",
        help="sweep how many pages are free as the CPUs start: in the first round 0, then 1, 2, 4 and so on "
        "up to N; only scenarios that cope with it, and with known findings repaired",
    )
    add_options(parser, ("pressure", "repairs", "mutants"))
    add_hang(parser)
    parser.add_argument("--log", type=_FILE, metavar="FILE", help="append one JSON object a batch")
    add_force(parser, "append to")
    parser.add_argument("--verbose", action="store_true", help="name every scenario in the summary")
    add_json(parser)
    parser.set_defaults(main=main)


def main(args: argparse.Namespace) -> int:
    show = Progress(quiet=args.json)
    minutes = _minutes(args)
    means = Means(
        args.workers or len(os.sched_getaffinity(0)),
        store=None if args.store is None else Path(args.store),
        freethreaded=args.freethreaded,
        cluster=args.cluster,
        profile=args.profile or "",
        arguments=_arguments(args),
    )
    with endings_as_ctrl_c():
        campaign = run_campaign(
            args.scenarios,
            means,
            seconds=None if minutes is None else minutes * 60.0,
            schedules=args.schedules,
            seed=args.seed,
            mutants=args.mutants,
            repairs=args.repairs,
            scarcity=Scarcity(args.pages, bool(args.pressure)),
            hang_s=args.hang,
            progress=lambda campaign: show.say(_progress(campaign, minutes)),
            on_report=_logging(args) if args.log else lambda _report: None,
        )
    show.clear()
    if args.json:
        print_json(campaign_dict(campaign))
    else:
        print(campaign_text(campaign, seed=args.seed, minutes=minutes or USUAL, verbose=args.verbose))
    if campaign.new:
        return 1
    if campaign.interrupted:
        return 4
    return 3 if campaign.errors else 0


def _minutes(args: argparse.Namespace) -> float | None:
    """How long it may take; None: as long as its schedules take."""
    if args.minutes is not None:
        return float(args.minutes)
    if args.profile is not None:
        return PROFILES[args.profile]
    return None if args.schedules is not None else USUAL


def _arguments(args: argparse.Namespace) -> tuple[str, ...]:
    """What decides what a campaign runs, as words of the command line."""
    words = ["--scenarios", args.scenarios, "--seed", str(args.seed)]
    words += [] if args.minutes is None else ["--minutes", f"{args.minutes:g}"]
    words += [] if args.schedules is None else ["--schedules", str(args.schedules)]
    words += Scarcity(args.pages, bool(args.pressure)).words
    words += [word for name in args.repairs for word in ("--repair", name)]
    words += [word for name in args.mutants for word in ("--mutant", name)]
    return tuple(words)


def _progress(campaign: Campaign, minutes: float | None) -> str:
    schedules, rounds = campaign.executions
    bound = "" if minutes is None else f" of {minutes * 60.0:.0f}"
    return (
        f"{campaign.seconds:4.0f}{bound} s: {schedules:,} schedules, {rounds:,} free rounds, "
        f"{len(campaign.new)} new failures, {len(campaign.known)} known"
        + (f", {campaign.undecided} undecided" if campaign.undecided else "")
    )


def _logging(args: argparse.Namespace) -> Callable[[Report], None]:
    """Write a line for each batch to the log.

    Raises: UsageError if it may not be written.
    """
    place = output_file(args.log, force=args.force, marks=(LOG_MARK.encode(),))
    log = configure(place.path).bind(format=LOG_MARK)

    def on_report(report: Report) -> None:
        batch = report.batch
        log.bind(scenario=batch.scenario, way=str(batch.way), seed=batch.seed).info(
            "{} runs, {} operations, {} failures {}",
            report.executions,
            report.operations,
            len(report.failures),
            report.error,
        )

    return on_report
