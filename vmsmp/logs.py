"""loguru for the control plane: campaigns log, CPUs never do.

The package logs nothing until somebody configures it.  A CPU's loop must not log: a host lock in
there is a false order between CPUs in the free engine and may deadlock the controlled one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vmsmp.errors import UsageError, quoted

if TYPE_CHECKING:
    from loguru import Logger


#: What every line of a campaign's log has in it.
LOG_MARK: Final = "vmsmp.stress/1"


def _complain(words: str) -> None:
    sys.stderr.write(f"vmsmp: {words}\n")


def configure(
    sink: Path | None, *, level: str = "INFO", complain: Callable[[str], None] = _complain
) -> Logger:
    """Log to `sink`, one JSON object a line, or to nowhere if it is None.

    A file that cannot be written any more costs one complaint, and nothing is logged from there on.
    Raises: UsageError if it cannot be opened.
    """
    from loguru import logger

    logger.remove()
    if sink is not None:
        try:
            file = _LogFile(sink, complain)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(f"cannot log to {quoted(sink, 300)}: {reason}") from None
        logger.add(file, level=level, serialize=True, format="{message}")
    return logger


class _LogFile:
    """A file to append to, as loguru wants it."""

    def __init__(self, path: Path, complain: Callable[[str], None]) -> None:
        self._path = path
        self._complain = complain
        self._file = path.open("ab", buffering=0)

    def write(self, message: str) -> None:
        """Append the whole message, or give up with one complaint."""
        left = message.encode(errors="backslashreplace")
        while left and not self._file.closed:
            try:
                left = left[self._file.write(left) or 0 :]
            except OSError as error:
                self.stop()
                self._complain(f"cannot log to {quoted(self._path, 300)} any more: {error.strerror}")

    def stop(self) -> None:
        """Close it; loguru calls this, too."""
        try:
            self._file.close()
        except OSError:
            pass  # said already, or nothing is lost
