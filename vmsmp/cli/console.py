"""A line of progress: rewritten in place on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import shutil
import sys
import time

#: Seconds between two lines where output is not a terminal.
PLAIN_EVERY_S = 10.0


class Progress:
    """Shows how far long work has come, on standard error, so that output can be piped."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._tty = sys.stderr.isatty()
        self._quiet = quiet
        self._said = time.monotonic()
        self._shown = False

    def say(self, text: str) -> None:
        """Show this text in place of the last; cheap to call often."""
        if self._quiet:
            return
        if self._tty:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r{text[:width]:<{width}}", end="", file=sys.stderr, flush=True)
            self._shown = True
        elif time.monotonic() - self._said >= PLAIN_EVERY_S:
            self._said = time.monotonic()
            print(text, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away before real output."""
        if self._shown:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r{'':<{width}}\r", end="", file=sys.stderr, flush=True)
            self._shown = False
