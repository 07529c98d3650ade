"""Standard streams that cannot harm a command: closed, full, or with a reader that has gone away.

What cannot be written is dropped.  A command ends with the exit code of its verdict all the same.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

#: The longest line that is read at a prompt.
LONGEST_LINE = 65_536


class Shielded:
    """A text stream to write to; `error` is why it is not written to any more, if it is not."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.error: Exception | None = None

    def write(self, text: str) -> int:
        """Write `text`, with escapes for what the stream's encoding lacks."""
        if self.stream is not None and self.error is None:
            try:
                self._write(text)
            except (OSError, ValueError) as error:  # ValueError: the stream was closed
                self._give_up(error)
        return len(text)

    def _write(self, text: str) -> None:
        try:
            self.stream.write(text)
        except UnicodeEncodeError as error:
            self.stream.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))

    def flush(self) -> None:
        if self.stream is not None and self.error is None:
            try:
                self.stream.flush()
            except (OSError, ValueError) as error:
                self._give_up(error)

    def isatty(self) -> bool:
        return bool(self.stream is not None and not self.stream.closed and self.stream.isatty())

    def _give_up(self, error: Exception) -> None:
        """Let what the stream still holds go to the null device: the interpreter flushes it at its end."""
        self.error = error
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.stream.fileno())
            os.close(null)
        except (OSError, ValueError):
            pass  # it stands for no file, or for one that is closed

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def shielded() -> Iterator[None]:
    """Shield both output streams; say on standard error if standard output could not be written.

    A reader that has gone away is no error: it has seen what it wanted.
    """
    _fill_closed()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = out, err = Shielded(before[0]), Shielded(before[1])
    try:
        yield
    finally:
        out.flush()
        if out.error is not None and not isinstance(out.error, BrokenPipeError):
            reason = getattr(out.error, "strerror", None) or out.error
            err.write(f"vmsmp: cannot write to standard output: {reason}\n")
        err.flush()
        sys.stdout, sys.stderr = before


def _fill_closed() -> None:
    """Put the null device where a standard stream is closed, or the next file would have its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number is this one


def typed_line() -> str:
    """A line of standard input, "" at its end; one that cannot be read is at its end."""
    try:
        return sys.stdin.readline(LONGEST_LINE) if sys.stdin is not None else ""
    except (OSError, ValueError):
        return ""


def asks() -> bool:
    """Whether somebody types at a terminal."""
    return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()
