"""`vmsmp bench`: figures as ratios to this machine's own limits, measured in the same run."""

from __future__ import annotations

import argparse
import platform
from dataclasses import asdict

from vmsmp.campaign.measure import Figure, controlled_figures, free_figures
from vmsmp.cli.arguments import Subparsers, add_json, number, print_json
from vmsmp.engine.crew import gil_enabled
from vmsmp.report.table import table


def register(commands: Subparsers) -> None:
    parser = commands.add_parser(
        "bench",
        help="measure the engines",
        description="Measure the engines against this machine's own limits.  Compare ratios, not rates.",
    )
    parser.add_argument(
        "--seconds",
        type=number(float, 1, 3600),
        default=20.0,
        metavar="S",
        help="about how long (default 20)",
    )
    add_json(parser)
    parser.set_defaults(main=main)


def main(args: argparse.Namespace) -> int:
    gil = gil_enabled()
    figures = controlled_figures(args.seconds / 2) + free_figures(args.seconds / 2)
    if args.json:
        print_json({"python": platform.python_version(), "gil": gil, "figures": [asdict(f) for f in figures]})
        return 0
    print(f"Python {platform.python_version()}, GIL {'on' if gil else 'off'}")
    rows = [[f.name, f"{f.rate:,.0f} {f.unit}", _ratio(f.ratio), _goal(f, gil), f.note] for f in figures]
    print("\n".join(table(["figure", "rate", "ratio", "goal", ""], rows, right={1, 2})))
    print("\nratio: to the bare loop for the controlled engine, to one CPU for the free one")
    return 0


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def _goal(figure: Figure, gil: bool) -> str:
    if figure.goal is None or figure.ratio is None:
        return ""
    if gil and figure.name.startswith("free"):
        return f">= {figure.goal:g} without the GIL"
    return f">= {figure.goal:g} {'met' if figure.ratio >= figure.goal else 'MISSED'}"
