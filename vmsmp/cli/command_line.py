"""The parser of the whole command line, and what every command has around it."""

from __future__ import annotations

import sys
import traceback

from vmsmp import __version__
from vmsmp.cli import (
    FAILED,
    INTERNAL,
    INTERRUPTED,
    USAGE,
    bench,
    ddb,
    doctor,
    listing,
    merge,
    minimize,
    mutants,
    replay,
    report,
    run,
    stress,
    textbook,
)
from vmsmp.cli.arguments import Parser, one_line
from vmsmp.cli.interrupts import Interrupts
from vmsmp.cli.streams import shielded
from vmsmp.errors import HostError, HostHang, ReplayDiverged, UsageError

COMMANDS = (listing, run, replay, minimize, ddb, stress, report, merge, mutants, textbook, bench, doctor)


def parser() -> Parser:
    """The parser of the whole command line."""
    top = Parser(
        prog="vmsmp",
        description="Stress and search the locks of a model kernel, and replay what was found.",
        epilog="Begin with `vmsmp list`, then `vmsmp run NAME`.  Exit codes: 0 clean; 1 a failure was found, "
        "or a run hangs in the host; 2 usage; 3 internal error or a replay that diverged; 4 interrupted, "
        "with the results kept.  Every option --x-y can be set by the environment variable VMSMP_X_Y.",
    )
    top.add_argument("--version", action="version", version=f"vmsmp {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    for module in COMMANDS:
        module.register(commands)
    return top


def run_command(argv: list[str] | None, interrupts: Interrupts) -> int:
    """Run one command and return its exit code, whatever becomes of the standard streams and Ctrl-C."""
    with shielded():
        try:
            code = _obey(argv, interrupts)
            sys.stdout.flush()
        except KeyboardInterrupt:
            interrupts.leave_with(INTERRUPTED)
            return _complain("interrupted", INTERRUPTED)
        interrupts.leave_with(code)
        return code


def _obey(argv: list[str] | None, interrupts: Interrupts) -> int:
    """Run one command; what is raised becomes a line and an exit code."""
    try:
        args = parser().parse_args(argv)
        interrupts.begin()
        code: int = args.main(args)
    except UsageError as error:
        return _complain(str(error), USAGE)
    except ReplayDiverged as error:
        return _complain(f"the replay diverged: {error}", INTERNAL)
    except HostError as error:
        return _complain(str(error), INTERNAL)
    except HostHang as error:
        return _complain(f"the run hangs: {error}", FAILED)
    except Exception:
        traceback.print_exc()
        return _complain("internal error; please file a bug with the lines above", INTERNAL)
    return code


def _complain(words: str, code: int) -> int:
    print(f"vmsmp: {one_line(words)}", file=sys.stderr)
    return code
