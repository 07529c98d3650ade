"""`vmsmp stress`: all scenarios, both engines, both depths, all cores."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from vmsmp.campaign.slice import Report
from vmsmp.campaign.stress import Campaign, run_campaign
from vmsmp.cli.arguments import Subparsers, add_json, add_options, number, print_json
from vmsmp.cli.console import Progress
from vmsmp.logs import configure
from vmsmp.report.campaign import campaign_dict, campaign_text


def register(commands: Subparsers) -> None:
    parser = commands.add_parser(
        "stress",
        help="all scenarios, both engines, all cores",
        description="Put every scenario under stress, in both engines and at both depths of the locks, as "
        "the kernel is and with its known findings repaired.",
        epilog="Exit code 0: nothing new failed; 1: something did; 4: interrupted, results so far shown.",
    )
    parser.add_argument(
        "--minutes", type=number(float, 0.05, 10**6), default=1.0, metavar="M", help="how long (default 1)"
    )
    parser.add_argument(
        "--workers", type=number(int, 1, 256), metavar="N", help="processes (default: one a core)"
    )
    parser.add_argument(
        "--scenarios", default="*", metavar="GLOB", help="only scenarios whose name matches (default: all)"
    )
    parser.add_argument(
        "--seed",
        type=number(int, 0, 2**62),
        default=0,
        metavar="N",
        help="seed of the first round (default 0)",
    )
    add_options(parser, ("repairs", "mutants"))
    parser.add_argument("--log", metavar="FILE", help="write one JSON object a slice to FILE")
    add_json(parser)
    parser.set_defaults(main=main)


def main(args: argparse.Namespace) -> int:
    show = Progress(quiet=args.json)
    campaign = run_campaign(
        args.scenarios,
        seconds=args.minutes * 60.0,
        workers=args.workers or len(os.sched_getaffinity(0)),
        seed=args.seed,
        mutants=args.mutants,
        repairs=args.repairs,
        progress=lambda campaign: show.say(_progress(campaign, args.minutes * 60.0)),
        on_report=_logging(Path(args.log)) if args.log else lambda _report: None,
    )
    show.clear()
    if args.json:
        print_json(campaign_dict(campaign))
    else:
        print(campaign_text(campaign, seed=args.seed, minutes=args.minutes))
    if campaign.new:
        return 1
    if campaign.interrupted:
        return 4
    return 3 if campaign.errors else 0


def _progress(campaign: Campaign, seconds: float) -> str:
    schedules, rounds = campaign.executions
    return (
        f"{campaign.seconds:4.0f} of {seconds:.0f} s: {schedules:,} schedules, {rounds:,} free rounds, "
        f"{len(campaign.new)} new failures, {len(campaign.known)} known"
    )


def _logging(path: Path) -> Callable[[Report], None]:
    """Write a line for each slice to that file."""
    log = configure(path)

    def on_report(report: Report) -> None:
        log.bind(scenario=report.slice.scenario, way=str(report.slice.way), seed=report.slice.seed).info(
            "{} runs, {} operations, {} failures {}",
            report.executions,
            report.operations,
            len(report.failures),
            report.error,
        )

    return on_report
