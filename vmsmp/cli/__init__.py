"""The command line: one file a sub-command, each with `register` and `main`.

Exit codes: 0 clean, 1 a failure was found, 2 usage, 3 internal error, a replay that diverged or a run
that hangs in the host, 4 interrupted with results kept.
"""

from __future__ import annotations

import os
import sys
import traceback

from vmsmp import __version__
from vmsmp.cli import bench, ddb, doctor, listing, minimize, mutants, replay, run, stress
from vmsmp.cli.arguments import Parser
from vmsmp.errors import HostHang, ReplayDiverged, UsageError

CLEAN, FAILED, USAGE, INTERNAL, INTERRUPTED = range(5)
COMMANDS = (listing, run, replay, minimize, ddb, stress, mutants, bench, doctor)


def parser() -> Parser:
    """The parser of the whole command line."""
    top = Parser(
        prog="vmsmp",
        description="Stress and search the locks of a model kernel, and replay what was found.",
        epilog="Every option --x-y can be set by the environment variable VMSMP_X_Y.",
    )
    top.add_argument("--version", action="version", version=f"vmsmp {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    for module in COMMANDS:
        module.register(commands)
    return top


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        args = parser().parse_args(argv)
        code: int = args.main(args)
        sys.stdout.flush()
    except UsageError as error:
        return _complain(f"{error}", USAGE)
    except ReplayDiverged as error:
        return _complain(f"the replay diverged: {error}", INTERNAL)
    except HostHang as error:
        return _complain(f"the run hangs: {error}", INTERNAL)
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)
    except BrokenPipeError:  # the reader has gone away, which is no error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLEAN
    except Exception:
        traceback.print_exc()
        return _complain("internal error; please file a bug with the lines above", INTERNAL)
    return code


def _complain(words: str, code: int) -> int:
    print(f"vmsmp: {words}", file=sys.stderr)
    return code
