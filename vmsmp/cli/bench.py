"""`vmsmp bench`: figures as ratios to this machine's own limits, measured in the same run."""

from __future__ import annotations

import argparse
import importlib.util
import platform
from dataclasses import asdict
from pathlib import Path

from vmsmp.campaign.code import code_name
from vmsmp.campaign.measure.controlled import controlled_figures
from vmsmp.campaign.measure.faults import fault_figures
from vmsmp.campaign.measure.figure import Figure, ledger
from vmsmp.campaign.measure.free import free_figures
from vmsmp.campaign.measure.maps import map_figures
from vmsmp.campaign.measure.mmu import mmu_figures
from vmsmp.campaign.measure.objects import object_figures
from vmsmp.campaign.measure.pages import Throughput, colour_curve, page_figures, size_figures
from vmsmp.campaign.store.measured import Colours, keep_colours
from vmsmp.campaign.store.schema import StoreError
from vmsmp.campaign.store.write import Store
from vmsmp.cli.arguments import Subparsers, add_json, number, pattern, print_json
from vmsmp.cli.files import OutputFile, add_force, output_file
from vmsmp.engine.workers import gil_enabled
from vmsmp.errors import HostError, UsageError
from vmsmp.report.plot import plot_colours
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
        help="seconds of measuring, shared by all rates (default 20); what is measured once, such as the "
        "boot of a million pages, takes some ten more",
    )
    parser.add_argument(
        "--plot",
        metavar="FILE",
        help="also measure page throughput against queue colours, and write the curve as SVG",
    )
    parser.add_argument(
        "--store",
        type=pattern("(?s).+", "a file"),
        metavar="FILE",
        help="also measure page throughput against queue colours, and keep the curve in this store",
    )
    add_force(parser)
    add_json(parser)
    parser.set_defaults(main=main)


def main(args: argparse.Namespace) -> int:
    gil = gil_enabled()
    place = _place(args) if args.plot is not None else None
    if args.store is not None:
        Store(Path(args.store), code_name()).close()  # before the measuring, since it may be none
    figures = controlled_figures(args.seconds / 3) + free_figures(args.seconds / 3)
    figures += page_figures(args.seconds / 3) + size_figures() + object_figures()
    figures += map_figures() + mmu_figures() + fault_figures()
    curve = colour_curve(args.seconds / 6) if place is not None or args.store is not None else []
    if place is not None:
        _plot(place, curve, args.seconds / 6, gil)
    if args.store is not None:
        _keep(Path(args.store), curve, gil)
    if args.json:
        found = {"python": platform.python_version(), "gil": gil, "figures": [asdict(f) for f in figures]}
        found["colours"] = [{"colours": colours, **asdict(t)} for colours, t in curve]
        print_json(found)
        return 0
    print("\n".join(_text(figures, gil)))
    if curve:
        print("\n".join(_curve(curve, args)))
    return 0


def _text(figures: list[Figure], gil: bool) -> list[str]:
    """All figures as a table, and where a step's time goes."""
    rows = [[f.name, f"{f.rate:,.0f} {f.unit}", _ratio(f.ratio), _goal(f, gil), f.note] for f in figures]
    lines = [
        f"Python {platform.python_version()}, GIL {'on' if gil else 'off'}",
        *table(["figure", "rate", "ratio", "goal", ""], rows, right={1, 2}),
        "",
        "ratio: to the bare loop for the controlled engine, to one CPU for the free one, to a small machine",
    ]
    spent = ledger(figures)
    if spent:
        lines += ["", "where a step's time goes:", *(f"  {line}" for line in spent)]
    return lines


def _curve(curve: list[tuple[int, Throughput]], args: argparse.Namespace) -> list[str]:
    """Page throughput against colours as a table, and where that is now."""
    files = [f"{what}: {name}" for what, name in (("plot", args.plot), ("store", args.store)) if name]
    rows = [[str(colours), f"{t.rate:,.0f}", f"{t.contested:.1%}"] for colours, t in curve]
    return ["", *table(["colours", "alloc+free/s", "contested"], rows, right={0, 1, 2}), *files]


def _place(args: argparse.Namespace) -> OutputFile:
    """Where the plot goes.

    Raises: UsageError now, before the measuring, if it could not be written after it.
    """
    place = output_file(args.plot, force=args.force)
    if importlib.util.find_spec("pygal") is None:
        raise UsageError("--plot needs pygal: pip install 'vmsmp[report]'")
    return place


def _plot(place: OutputFile, two: list[tuple[int, Throughput]], seconds: float, gil: bool) -> None:
    """Write the curve of two CPUs, with one CPU's beside it, which is measured for it."""
    one = colour_curve(seconds, cpus=1)
    title = (
        f"Page throughput by colours, Python {platform.python_version()}{'' if gil else ' without the GIL'}"
    )
    place.write(plot_colours({"2 CPUs": two, "1 CPU": one}, title))


def _keep(path: Path, curve: list[tuple[int, Throughput]], gil: bool) -> None:
    """Keep the curve in a store.

    Raises: UsageError for what is none; HostError if it cannot be written.
    """
    found = [Colours(colours, throughput.rate, throughput.contested) for colours, throughput in curve]
    try:
        with Store(path, code_name()) as store:
            keep_colours(store, platform.python_version(), found, parallel=not gil)
    except StoreError as error:
        raise HostError(str(error)) from None


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def _goal(figure: Figure, gil: bool) -> str:
    if figure.goal is None or figure.ratio is None:
        return ""
    if gil and figure.name.startswith("free"):
        return f">= {figure.goal:g} without the GIL"
    return f">= {figure.goal:g} {'met' if figure.ratio >= figure.goal else 'MISSED'}"
