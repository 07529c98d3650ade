"""What the sub-commands' arguments have in common: bad input is one line, the environment mirrors."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from vmsmp.campaign.search import Program
from vmsmp.engine.options import Options

Subparsers = Any  # argparse's own type has no public name


class Parser(argparse.ArgumentParser):
    """argparse with one-line errors and VMSMP_* defaults."""

    def add_argument(self, *names: str, **kwargs: Any) -> argparse.Action:
        action = super().add_argument(*names, **kwargs)
        for name in names:
            if name.startswith("--"):
                value = os.environ.get("VMSMP_" + name[2:].upper().replace("-", "_"))
                if value is not None and action.dest not in ("help", "version"):
                    self._mirror(action, name, value)
        return action

    def _mirror(self, action: argparse.Action, name: str, value: str) -> None:
        if isinstance(action.const, bool):
            action.default = value.lower() not in ("", "0", "no", "false")
        elif isinstance(action.default, list):
            action.default = [word for word in value.split(",") if word]
        else:
            if action.choices is not None:
                action.type = _choice(tuple(map(str, action.choices)))
            action.default = value  # argparse converts a default that is a string, when it is needed

    def error(self, message: str) -> NoReturn:
        """One line and exit code 2."""
        print(f"{self.prog}: {message} (--help tells more)", file=sys.stderr)
        raise SystemExit(2)


def _choice(choices: tuple[str, ...]) -> Callable[[str], str]:
    """An argparse type: one of the choices, also where the environment says it."""

    def convert(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(choices)}")
        return text

    return convert


def number(kind: type, low: float, high: float) -> Callable[[str], Any]:
    """An argparse type: a number from `low` to `high`; integers may be hexadecimal."""

    def convert(text: str) -> Any:
        try:
            value = int(text, 0) if kind is int else float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not from {low:g} to {high:g}")
        return value

    return convert


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that decide a run and stand in its schedule line."""
    parser.add_argument(
        "--locks", choices=("exact", "atomic"), help="depth of the locks (default: the scenario's own)"
    )
    parser.add_argument(
        "--timeouts",
        choices=("idle", "any"),
        help="when a timeout may fire: when nothing else runs, or whenever the scheduler says",
    )
    parser.add_argument("--spurious", action="store_true", default=None, help="sleeps may end for no reason")
    parser.add_argument("--races", action="store_true", help="data races over plain cells are failures, too")
    parser.add_argument(
        "--cpus", type=number(int, 1, 63), metavar="N", help="CPUs that work (default: the scenario's own)"
    )
    parser.add_argument(
        "--rounds",
        type=number(int, 1, 999_999),
        metavar="N",
        help="turns that the scenario's loops take at most (default: its own)",
    )
    parser.add_argument(
        "--repair", action="append", default=[], metavar="NAME", help="repair a known finding; repeatable"
    )
    parser.add_argument(
        "--mutant", action="append", default=[], metavar="ID", help="plant a catalogued bug; repeatable"
    )


def options_of(args: argparse.Namespace, program: Program) -> Options:
    """The options that the arguments and the scenario come to."""
    from vmsmp.campaign.search import options_for

    return options_for(
        program,
        locks=args.locks,
        timeouts=args.timeouts,
        spurious=args.spurious,
        cpus=args.cpus,
        rounds=args.rounds,
        repairs=args.repair,
        mutants=args.mutant,
        races=args.races,
    )


def print_json(value: object) -> None:
    print(json.dumps(value, indent=2, sort_keys=True))
