"""--vmsmp-lf: the schedules that failed are kept between two sessions."""

from __future__ import annotations

import pytest

from vmsmp.pytest_plugin.settings import CACHE_KEY, SETTINGS, cache_of, plain, stored_failures


class LastFailed:
    """Keeps the failed schedules by test; lives in the process that owns the terminal."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.lines = stored_failures(config)
        self.changed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call":
            return
        nodeid = plain(report.nodeid, self.config)
        lines = [str(value) for name, value in report.user_properties if name == "vmsmp.schedule"]
        if report.passed and nodeid in self.lines:
            del self.lines[nodeid]
            self.changed = True
        elif report.failed and lines:
            self.lines[nodeid] = lines
            self.changed = True

    def pytest_sessionfinish(self) -> None:
        cache = cache_of(self.config)
        if self.changed and cache is not None:
            cache.set(CACHE_KEY, self.lines)


def keep_failed(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With --vmsmp-lf, keep only the tests that have a failed schedule."""
    failed = config.stash[SETTINGS].failed
    if not failed:
        return
    kept = [item for item in items if plain(item.nodeid, config) in failed]
    if kept and len(kept) < len(items):
        gone = [item for item in items if item not in kept]
        items[:] = kept
        config.hook.pytest_deselected(items=gone)
