"""What the sub-commands' arguments share: errors of one line, and a VMSMP_* variable for every option."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from vmsmp.campaign.options import Program, options_for
from vmsmp.engine.options import OPTION_KINDS, Choice, Flag, Names, Number, OptionKind, Options

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
    """An argparse type: one of the choices, checked for a value from the environment, too."""

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


def add_options(parser: argparse.ArgumentParser, names: Iterable[str] = OPTION_KINDS) -> None:
    """The options that decide a run and stand in its schedule line: all, or those of these names."""
    for name in names:
        _add_option(parser, name, OPTION_KINDS[name])


def _add_option(parser: argparse.ArgumentParser, name: str, kind: OptionKind) -> None:
    option = "--" + name.replace("_", "-")
    match kind:
        case Choice():
            parser.add_argument(option, choices=(kind.usual, kind.other), help=kind.help)
        case Flag():
            parser.add_argument(option, action="store_true", default=None, help=kind.help)
        case Number():
            most = kind.high or 10**kind.digits - 1
            parser.add_argument(option, type=number(int, kind.low, most), metavar="N", help=kind.help)
        case Names():
            parser.add_argument(
                f"--{kind.word}", dest=name, action="append", default=[], metavar=kind.metavar, help=kind.help
            )


def options_of(args: argparse.Namespace, program: Program) -> Options:
    """The options that the arguments and the scenario come to."""
    return options_for(program, **{name: getattr(args, name) for name in OPTION_KINDS})


def print_json(value: object) -> None:
    print(json.dumps(value, indent=2, sort_keys=True))
