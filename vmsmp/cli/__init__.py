"""The command line: one file a sub-command, each with `register` and `main`.

Exit codes: 0 clean, 1 a failure was found or a run hangs in the host, 2 usage, 3 internal error or a replay
that diverged, 4 interrupted with results kept, 130 interrupted before anything ran.  They hold whatever
becomes of the standard streams.

This module loads next to nothing, so that Ctrl-C meets a handler of ours almost from the first moment.
"""

from __future__ import annotations

CLEAN, FAILED, USAGE, INTERNAL, INTERRUPTED = range(5)
NOTHING_RAN = 130


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code.

    Without `argv` the words are the process's own, and so are its streams and its signals from here on.
    """
    began = False
    try:
        from vmsmp.cli.interrupts import Interrupts

        with Interrupts(for_good=argv is None) as interrupts:
            from vmsmp.cli.command_line import run_command

            began = True
            return run_command(argv, interrupts)
    except KeyboardInterrupt:
        return INTERRUPTED if began else NOTHING_RAN
