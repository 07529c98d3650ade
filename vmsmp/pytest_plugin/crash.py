"""What a worker of xdist was searching when it died.

Nothing can be asked of a process that is gone, so a worker keeps a note of its search in pytest's cache while
it lasts.  The process that owns the terminal adds the note of a worker that crashed to its report.
"""

from __future__ import annotations

import shlex
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Self

import pytest

from vmsmp.pytest_plugin.settings import SETTINGS, cache_of, plain

FOLDER: Final = "vmsmp-running"


class Note:
    """The note of one search while it lasts; a session without workers, or without a cache, keeps none."""

    def __init__(self, item: pytest.Item, search: str) -> None:
        self.place = _place(item.config, item.nodeid) if hasattr(item.config, "workerinput") else None
        self.search = search

    def write(self, executions: int) -> None:
        """Say how far the search is."""
        if self.place is not None:
            self.place.write_text(f"{self.search}; {executions:,} schedules were done", encoding="utf-8")

    def __enter__(self) -> Self:
        self.write(0)
        return self

    def __exit__(self, *_: object) -> None:
        if self.place is not None:
            self.place.unlink(missing_ok=True)


class Crashes:
    """Tells what a worker was at when it died; lives in the process that owns the terminal."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: Any) -> None:
        place = _place(self.config, crashitem)
        if place is None or not place.exists():
            return
        nodeid = plain(crashitem, self.config)
        again = f"again: pytest {shlex.quote(nodeid)} --vmsmp-seed {self.config.stash[SETTINGS].seed:#x}"
        text = f"the worker died in a search: {place.read_text(encoding='utf-8')}\n{again}"
        report.sections.append(("vmsmp search", text))
        place.unlink()


def _place(config: pytest.Config, nodeid: str) -> Path | None:
    """Where the note of a test is kept."""
    cache = cache_of(config)
    if cache is None:
        return None
    return cache.mkdir(FOLDER) / blake2b(plain(nodeid, config).encode(), digest_size=8).hexdigest()
