"""`vmsmp doctor`: what this machine and interpreter mean for runs, and what makes runs worse."""

from __future__ import annotations

import argparse
import os
import platform
import sys

from vmsmp import __version__
from vmsmp.cli.arguments import Subparsers, add_json, print_json
from vmsmp.engine.workers import HAVE_EVENTFD, current_core, gil_enabled


def register(commands: Subparsers) -> None:
    parser = commands.add_parser(
        "doctor",
        help="look at this machine",
        description="Say how well runs do on this machine, and what slows them down.",
    )
    add_json(parser)
    parser.set_defaults(main=main)


def main(args: argparse.Namespace) -> int:
    facts, advice = diagnose()
    if args.json:
        print_json({"facts": facts, "advice": advice})
        return 0
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}}  {value}")
    print()
    for line in advice or ["nothing stands in the way"]:
        print(f"- {line}")
    return 0


def diagnose() -> tuple[dict[str, str], list[str]]:
    """Facts by name, and what could be better."""
    return _facts(), [words for holds, words in _hindrances() if holds]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _facts() -> dict[str, str]:
    core = current_core()
    return {
        "vmsmp": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "GIL": "on" if gil_enabled() else "off: the free engine is truly parallel",
        "cores": str(_cores()),
        "pinning": "not possible" if core is None else f"to core {core} while the controlled engine runs",
        "hand-off": "eventfd" if HAVE_EVENTFD else "locks",
        "switch interval": f"{sys.getswitchinterval() * 1000:g} ms",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def _hindrances() -> list[tuple[bool, str]]:
    """Everything that makes runs worse, and whether it holds here."""
    gil = gil_enabled()
    return [
        (gil, "the GIL is on: the free engine is preemptive only; python3.14t (or 3.13t) makes it parallel"),
        (
            gil and "t" in getattr(sys, "abiflags", ""),
            "this is a free-threaded build with the GIL on: some imported module asked for it",
        ),
        (
            "greenlet" in sys.modules,
            "greenlet is loaded: it turns the GIL on again on free-threaded builds",
        ),
        (
            current_core() is None,
            "threads cannot be pinned here: controlled runs are about ten times slower",
        ),
        (not HAVE_EVENTFD, "no eventfd here: hand-offs go through locks and cost twice as much"),
        (_cores() < 2, "one core only: the free engine cannot run CPUs at the same time"),
        (
            bool(sys.flags.dev_mode or os.environ.get("PYTHONFAULTHANDLER")),
            "faulthandler is on (-X dev or PYTHONFAULTHANDLER): its watchdog disturbs hang reports",
        ),
        (
            sys.gettrace() is not None or sys.getprofile() is not None,
            "a tracer or profiler is active: runs are many times slower",
        ),
        (bool(sys.flags.optimize), "asserts are off (-O): a program's own asserts find nothing"),
    ]
