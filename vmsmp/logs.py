"""loguru for the control plane: campaigns log, CPUs never do.

The package logs nothing until somebody configures it.  A CPU's loop must not log: a host lock in
there is a false order between CPUs in the free engine and may deadlock the controlled one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loguru import Logger


def configure(sink: Path | None, *, level: str = "INFO") -> Logger:
    """Log to `sink`, one JSON object a line, or to nowhere if it is None."""
    from loguru import logger

    logger.remove()
    if sink is not None:
        logger.add(sink, level=level, serialize=True, format="{message}")
    return logger
