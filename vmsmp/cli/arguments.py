"""What the sub-commands' arguments share: errors of one line, and a VMSMP_* variable for every option."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from vmsmp.campaign.options import Program, options_for
from vmsmp.engine.free import HANG_S as FREE_HANG_S
from vmsmp.engine.hang import HANG_S
from vmsmp.engine.options import OPTION_KINDS, Choice, Flag, Names, Number, OptionKind, Options
from vmsmp.errors import quoted, shorten

Subparsers = Any  # argparse's own type has no public name

#: Characters of the longest complaint.
LONGEST = 1000
#: Seconds of the longest bound of `--hang`.
LONGEST_HANG_S = 10**6


class Parser(argparse.ArgumentParser):
    """argparse with one-line errors and VMSMP_* defaults."""

    def add_argument(self, *names: str, **kwargs: Any) -> argparse.Action:
        action = super().add_argument(*names, **kwargs)
        for name in names:
            if name.startswith("--"):
                variable = "VMSMP_" + name[2:].upper().replace("-", "_")
                value = os.environ.get(variable)
                if value and action.dest not in ("help", "version"):
                    _mirror(action, variable, value)
        return action

    def error(self, message: str) -> NoReturn:
        """One line and exit code 2."""
        print(f"{self.prog}: {one_line(message)} (--help tells more)", file=sys.stderr)
        raise SystemExit(2)


def one_line(message: str) -> str:
    """A message as one line of bearable length; what is cut is in its middle, since hints come last."""
    line = " ".join(message.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"


def _mirror(action: argparse.Action, variable: str, value: str) -> None:
    """Make what the environment says the default.

    argparse converts, and so checks, a default that is a string only if its command is the one that runs.
    """
    if isinstance(action.default, list):
        action.default = [word for word in value.split(",") if word]
        return
    kind: Callable[[str], Any] = action.type or str  # type: ignore[assignment]  # no name of a type here
    if isinstance(action.const, bool):
        kind = _switch
    elif action.choices is not None:
        kind = _choice(tuple(map(str, action.choices)))
    action.type = _from(variable, value, kind)
    action.default = value


def _from(variable: str, value: str, kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """An argparse type: as `kind`, but a complaint about that value names the variable it came from."""

    def convert(text: str) -> Any:
        try:
            return kind(text)
        except argparse.ArgumentTypeError as error:
            where = f" (from {variable})" if text is value else ""
            raise argparse.ArgumentTypeError(f"{error}{where}") from None

    return convert


def _switch(text: str) -> bool:
    """An argparse type: what a variable says of an option without a value."""
    for words, on in (("1", "yes", "true", "on"), True), (("0", "no", "false", "off"), False):
        if text.lower() in words:
            return on
    raise argparse.ArgumentTypeError(f"{quoted(text)} is neither 1 nor 0")


def _choice(choices: tuple[str, ...]) -> Callable[[str], str]:
    """An argparse type: one of the choices, checked for a value from the environment, too."""

    def convert(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"{quoted(text)} is none of {', '.join(choices)}")
        return text

    return convert


def _plain(bound: float) -> str:
    """A bound as people write it."""
    return f"{int(bound):,}" if float(bound).is_integer() else f"{bound:g}"


def number(kind: type, low: float, high: float) -> Callable[[str], Any]:
    """An argparse type: a number from `low` to `high`; integers may be hexadecimal."""

    def convert(text: str) -> Any:
        try:
            value = int(text, 0) if kind is int else float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{quoted(text)} is not a number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{shorten(text)} is not from {_plain(low)} to {_plain(high)}")
        return value

    return convert


def pattern(form: str, what: str) -> Callable[[str], str]:
    """An argparse type: a text that matches the pattern `form`, which is `what`."""

    def convert(text: str) -> str:
        if not re.fullmatch(form, text):
            raise argparse.ArgumentTypeError(f"{quoted(text)} is not {what}")
        return text

    return convert


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


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
            limits = number(int, kind.low, kind.high)
            parser.add_argument(option, type=limits, metavar="N", help=kind.help)
        case Names():
            parser.add_argument(
                f"--{kind.word}", dest=name, action="append", default=[], metavar=kind.metavar, help=kind.help
            )


def add_hang(parser: argparse.ArgumentParser) -> None:
    """When a run hangs in the host; `hang_of` has what was said."""
    parser.add_argument(
        "--hang",
        type=number(float, 0, LONGEST_HANG_S),
        metavar="S",
        help="seconds of processor time after which a CPU that arrives at no step hangs "
        f"(default {HANG_S:g}; in the free engine seconds in which none gets on, default {FREE_HANG_S:g}); "
        "0: it may take as long as it likes",
    )


def hang_of(args: argparse.Namespace, usual: float = HANG_S) -> float:
    """The seconds of `--hang`, or those of an engine where nothing was said."""
    return usual if args.hang is None else args.hang


def options_of(args: argparse.Namespace, program: Program) -> Options:
    """The options that the arguments and the scenario come to."""
    return options_for(program, **{name: getattr(args, name) for name in OPTION_KINDS})


def print_json(value: object) -> None:
    print(json.dumps(value, indent=2, sort_keys=True))
