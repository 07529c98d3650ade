"""loguru for the control plane: campaigns log, CPUs never do.

The package logs nothing until somebody configures it.  A CPU's loop must not log: a host lock in
there is a false order between CPUs in the free engine and may deadlock the controlled one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vmsmp.errors import UsageError

if TYPE_CHECKING:
    from loguru import Logger


def configure(sink: Path | None, *, level: str = "INFO") -> Logger:
    """Log to `sink`, one JSON object a line, or to nowhere if it is None.

    Raises: UsageError if it cannot be written.
    """
    from loguru import logger

    logger.remove()
    if sink is not None:
        try:
            logger.add(sink, level=level, serialize=True, format="{message}")
        except OSError as error:
            raise UsageError(f"cannot log to {str(sink)!r}: {error.strerror}") from None
    return logger
