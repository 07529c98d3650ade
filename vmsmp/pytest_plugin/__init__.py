"""The pytest plugin: fixtures that search schedules, and a watchdog that says who hangs on what.

`explore` is `vmsmp.explore` with defaults from the markers and the command line and a seed of its
own for every test; a failure found fails the test with its story and the command that replays it.
A test that asks for `machine` is itself the program; one that asks for `schedule` is made into
several, each with a schedule of its own; what they find is kept by those that ask for `vmsmp_store`.
Where pytest-timeout is installed its timer is ours: a hang in a machine is an ordinary failure that
shows what each CPU holds and wants, and the next test runs.

pytest loads this package at every start of every project that has vmsmp installed, so it imports
nothing else of vmsmp before a test needs it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from vmsmp.pytest_plugin.blobs import decorate
from vmsmp.pytest_plugin.crash import Crashes
from vmsmp.pytest_plugin.last_failed import LastFailed, keep_failed
from vmsmp.pytest_plugin.marks import MARKERS, seeds_of
from vmsmp.pytest_plugin.pending import Pending
from vmsmp.pytest_plugin.reports import (
    SEARCHING,
    command,
    pytest_runtest_call,
    pytest_runtest_makereport,
)
from vmsmp.pytest_plugin.settings import (
    DEFAULT_SCHED,
    SETTINGS,
    Settings,
    cache_of,
    free_workers,
    gil_word,
    pytest_addoption,
    read_mode,
    read_settings,
)
from vmsmp.pytest_plugin.summary import FailedSchedules

if TYPE_CHECKING:
    from vmsmp.pytest_plugin.explorer import Explorer
    from vmsmp.pytest_plugin.session_store import SessionStore

__all__ = [
    "explore",
    "machine",
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_configure_node",
    "pytest_generate_tests",
    "pytest_pyfunc_call",
    "pytest_report_header",
    "pytest_runtest_call",
    "pytest_runtest_makereport",
    "pytest_timeout_set_timer",
    "pytest_xdist_auto_num_workers",
    "schedule",
    "vmsmp_store",
]


def pytest_configure(config: pytest.Config) -> None:
    _load_as_compiled(config)
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    handed = getattr(config, "workerinput", {}).get("vmsmp")
    if handed is not None:
        config.stash[SETTINGS] = Settings(**handed)
        return
    config.stash[SETTINGS] = read_settings(config)
    config.pluginmanager.register(FailedSchedules(), "vmsmp-summary")
    config.pluginmanager.register(Crashes(config), "vmsmp-crashes")
    if cache_of(config) is not None:
        config.pluginmanager.register(LastFailed(config), "vmsmp-lastfailed")


def _load_as_compiled(config: pytest.Config) -> None:
    """Have vmsmp's own modules loaded from their bytecode, as without pytest.

    pytest rewrites the assertions of every distribution that brings a plugin along.  Where no bytecode may be
    written (PYTHONDONTWRITEBYTECODE), each session would compile all of vmsmp again, which takes it longer
    than most tests.  pytest has no option for that.
    """
    hook = getattr(config.pluginmanager, "rewrite_hook", None)
    marked = getattr(hook, "_must_rewrite", None)
    if isinstance(marked, set):
        marked.discard("vmsmp")


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
    if settings.mode == "free":
        text += ", free engine"
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


@pytest.fixture
def schedule(request: pytest.FixtureRequest) -> Explorer:
    """One schedule of this test: `schedule(program)` runs the program along it; `schedule.seed` is its seed.

    The test is made into several, as the marker `schedules(n)` says, each with a seed of its own.
    """
    from vmsmp.pytest_plugin.explorer import Explorer

    return Explorer(request.node, request.param)


@pytest.fixture
def machine() -> Pending:
    """The machine of which this test is the program: it runs as CPU 0, anew for every schedule."""
    return Pending()


@pytest.fixture(scope="session")
def vmsmp_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SessionStore]:
    """A store of the session, which keeps what the tests find that ask for it; `.path` is its file."""
    from vmsmp.pytest_plugin.session_store import session_store

    with session_store(tmp_path_factory.mktemp("vmsmp")) as store:
        yield store


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test that asks for our fixture `schedule` into several."""
    defined = metafunc._arg2fixturedefs.get("schedule", ())
    marks = metafunc.definition.iter_markers("parametrize")
    if (
        not defined
        or defined[-1].func.__module__ != __name__
        or any("schedule" in str(m.args[0]) for m in marks)
    ):
        return
    seeds = list(seeds_of(metafunc, metafunc.config.stash[SETTINGS].seed))
    metafunc.parametrize("schedule", seeds, ids=[f"{seed:08x}" for seed in seeds], indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is itself the program."""
    __tracebackhide__ = True
    if not isinstance(pyfuncitem.funcargs.get("machine"), Pending):
        return None
    if "machine" not in pyfuncitem._fixtureinfo.argnames:
        return None
    from vmsmp.pytest_plugin.own_machine import run_as_program

    run_as_program(pyfuncitem)
    return True


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Fewer workers for `-n auto` in the free engine, where each test has several cores of its own."""
    return free_workers() if read_mode(config) == "free" else None


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
    """Whether the test may run a program: it asks for a fixture of ours, or its module has imported us."""
    if not SEARCHING.isdisjoint(getattr(item, "fixturenames", ())):
        return True
    ours = sys.modules["vmsmp"]
    return any(value is ours for value in vars(getattr(item, "module", None) or object).values())


def _load_engines() -> None:
    """Load all that the package, and the fixture, load when first used."""
    import vmsmp

    for name in vmsmp.__all__:
        getattr(vmsmp, name)
    importlib.import_module("vmsmp.pytest_plugin.explorer")
