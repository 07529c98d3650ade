"""The pytest plugin: a fixture that searches schedules, and a watchdog that says who hangs on what.

`explore` is `vmsmp.explore` with defaults from the marker and the command line and a seed of its
own for every test; a failure found fails the test with its story and the command that replays it.
Where pytest-timeout is installed its timer is ours: a hang in a machine is an ordinary failure that
shows what each CPU holds and wants, and the next test runs.

pytest loads this package at every start of every project that has vmsmp installed, so it imports
nothing else of vmsmp before a test needs it.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from vmsmp.pytest_plugin.blobs import decorate
from vmsmp.pytest_plugin.crash import Crashes
from vmsmp.pytest_plugin.last_failed import LastFailed, keep_failed
from vmsmp.pytest_plugin.reports import command, pytest_runtest_call, pytest_runtest_makereport
from vmsmp.pytest_plugin.settings import (
    DEFAULT_SCHED,
    SETTINGS,
    Settings,
    cache_of,
    gil_word,
    pytest_addoption,
    read_settings,
)
from vmsmp.pytest_plugin.summary import FailedSchedules

if TYPE_CHECKING:
    from vmsmp.pytest_plugin.explorer import Explorer

__all__ = [
    "explore",
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_configure_node",
    "pytest_report_header",
    "pytest_runtest_call",
    "pytest_runtest_makereport",
    "pytest_timeout_set_timer",
]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "vmsmp(scenario=None, **options): what the fixture `explore` runs by default, a scenario by "
        "name, and with which options of vmsmp.explore (sched, schedules, seed, locks, ...)",
    )
    handed = getattr(config, "workerinput", {}).get("vmsmp")
    if handed is not None:
        config.stash[SETTINGS] = Settings(**handed)
        return
    config.stash[SETTINGS] = read_settings(config)
    config.pluginmanager.register(FailedSchedules(), "vmsmp-summary")
    config.pluginmanager.register(Crashes(config), "vmsmp-crashes")
    if cache_of(config) is not None:
        config.pluginmanager.register(LastFailed(config), "vmsmp-lastfailed")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    keep_failed(config, items)
    decorate(config, items)


def pytest_report_header(config: pytest.Config) -> str:
    settings = config.stash[SETTINGS]
    text = (
        f"vmsmp: base seed {settings.seed:#x} (--vmsmp-seed), GIL {gil_word()}, "
        f"sched {settings.sched or DEFAULT_SCHED}"
    )
    if settings.replay is not None:
        text += f", replays '{settings.replay}'"
    if settings.failed is not None:
        lines = sum(map(len, settings.failed.values()))
        text += f", reruns {lines} failed schedules" if lines else ", no schedule failed last time"
    return text


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Hand the settings to an xdist worker, so that all have the same."""
    node.workerinput["vmsmp"] = asdict(node.config.stash[SETTINGS])


@pytest.fixture
def explore(request: pytest.FixtureRequest) -> Explorer:
    """`vmsmp.explore` for this test: a failure found fails it, unless the test judges the result."""
    from vmsmp.pytest_plugin.explorer import Explorer

    return Explorer(request.node)


@pytest.hookimpl(optionalhook=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> bool:
    """Watch the test in pytest-timeout's stead."""
    if _uses_vmsmp(item):
        _load_engines()  # on our time, not on the test's
    from vmsmp.pytest_plugin.watchdog import Watchdog

    seed = item.config.stash[SETTINGS].seed
    watchdog = Watchdog(item, settings, f"{command(item)} --vmsmp-seed {seed:#x}")
    item.cancel_timeout = watchdog.cancel  # type: ignore[attr-defined]  # pytest-timeout calls it
    watchdog.thread.start()
    return True


def _uses_vmsmp(item: pytest.Item) -> bool:
    """Whether the test may run a program: it asks for `explore`, or its module has imported us."""
    if "explore" in getattr(item, "fixturenames", ()):
        return True
    ours = sys.modules["vmsmp"]
    return any(value is ours for value in vars(getattr(item, "module", None) or object).values())


def _load_engines() -> None:
    """Load all that the package loads when first used."""
    import vmsmp

    for name in vmsmp.__all__:
        getattr(vmsmp, name)
