"""Booting a large machine without walks of the garbage collector over it."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Machines from this size on are built with the garbage collector paused.
LARGE = 10_000


@contextmanager
def _collector_paused(pages: int) -> Iterator[None]:
    """Make the objects of a large machine without walks over them, and call them old at once."""
    if pages < LARGE or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.unfreeze()  # from the permanent generation to the oldest
        gc.enable()
