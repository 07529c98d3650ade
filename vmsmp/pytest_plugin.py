"""The pytest plugin: a fixture that searches schedules, and a watchdog that says who hangs on what.

`explore` is `vmsmp.explore` with defaults from the marker and the command line and a seed of its
own for every test; a failure found fails the test with its story and the command that replays it.
Where pytest-timeout is installed its timer is ours: a hang in a machine is an ordinary failure that
shows what each CPU holds and wants, and the next test runs.

pytest loads this module at every start of every project that has vmsmp installed, so it imports
nothing of vmsmp before a test needs it.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Generator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from vmsmp.campaign.outcome import Failure, Result, Unread
    from vmsmp.campaign.search import Program

#: What `explore` searches with if nobody says anything else; the header shows it.
DEFAULT_SCHED: Final = "portfolio"
#: Where the schedules that failed last are kept between two sessions.
CACHE_KEY: Final = "vmsmp/failed"


@dataclass(frozen=True)
class Settings:
    """What the command line and the environment say; the same on every xdist worker.

    `failed` is None without --vmsmp-lf, else the lines that failed last time by test.
    """

    seed: int = 0
    schedules: int | None = None
    sched: str | None = None
    replay: str | None = None
    failed: dict[str, list[str]] | None = None


@dataclass
class Found:
    """The failures that one test's searches found, and how many of them its report shows."""

    failures: list[Failure] = field(default_factory=list)
    told: int = 0
    #: Results that the test has been given to judge.
    given: list[Unread] = field(default_factory=list)


_SETTINGS: Final = pytest.StashKey[Settings]()
_FOUND: Final = pytest.StashKey[Found]()


# -- options ----------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("vmsmp", "vmsmp: search the schedules of concurrent programs")
    group.addoption(
        "--vmsmp-schedules", metavar="N", help="how many schedules `explore` runs [VMSMP_SCHEDULES]"
    )
    group.addoption(
        "--vmsmp-seed",
        metavar="S",
        help="base seed, 7 or 0x2a; every test derives its own from it [VMSMP_SEED]",
    )
    group.addoption("--vmsmp-sched", metavar="STR", help="scheduler, such as pct:3 or dfs:2 [VMSMP_SCHED]")
    group.addoption(
        "--vmsmp-replay",
        metavar="LINE",
        help="follow this schedule line instead of searching [VMSMP_REPLAY]",
    )
    group.addoption(
        "--vmsmp-lf",
        action="store_true",
        default=None,
        help="rerun only the schedules that failed last time (all tests if none did) [VMSMP_LF]",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "vmsmp(scenario=None, **options): what the fixture `explore` runs by default, a scenario by "
        "name, and with which options of vmsmp.explore (sched, schedules, seed, locks, ...)",
    )
    handed = getattr(config, "workerinput", {}).get("vmsmp")
    if handed is not None:
        config.stash[_SETTINGS] = Settings(**handed)
        return
    config.stash[_SETTINGS] = _settings(config)
    if _cache(config) is not None:
        config.pluginmanager.register(LastFailed(config), "vmsmp-lastfailed")


def _settings(config: pytest.Config) -> Settings:
    """Read and check what was asked for.  Raises: pytest.UsageError."""
    schedules = sched = replay = failed = None
    seed = 0
    if (given := _given(config, "schedules")) is not None:
        source, text = given
        schedules = _number(text)
        if not schedules:
            raise pytest.UsageError(f"{source} must be a number from 1, not {text!r}")
    if (given := _given(config, "seed")) is not None:
        source, text = given
        number = _number(text)
        if number is None:
            raise pytest.UsageError(f"{source} must be a number such as 7 or 0x2a, not {text!r}")
        seed = number
    if (given := _given(config, "sched")) is not None:
        from vmsmp.sched.base import make_scheduler

        source, sched = given
        _checked(source, lambda: make_scheduler(sched, 0))
    if (given := _given(config, "replay")) is not None:
        from vmsmp.engine.schedule import Schedule

        source, replay = given
        _checked(source, lambda: Schedule.parse(replay))
    if (given := _given(config, "lf")) is not None:
        source, text = given
        if text not in ("True", "0", "1"):
            raise pytest.UsageError(f"{source} must be 0 or 1, not {text!r}")
        if text != "0":
            if _cache(config) is None:
                raise pytest.UsageError(f"{source} needs pytest's cache: leave out -p no:cacheprovider")
            failed = _stored(config)
    return Settings(seed, schedules, sched, replay, failed)


def _given(config: pytest.Config, name: str) -> tuple[str, str] | None:
    """An option's text and where it comes from: the command line, else the environment."""
    value = config.getoption(f"vmsmp_{name}")
    if value is not None:
        return f"--vmsmp-{name}", str(value)
    variable = f"VMSMP_{name.upper()}"
    value = os.environ.get(variable)
    return (variable, value) if value else None


def _number(text: str) -> int | None:
    try:
        number = int(text, 0)
    except ValueError:
        return None
    return number if number >= 0 else None


def _checked(source: str, parse: Any) -> None:
    try:
        parse()
    except ValueError as error:
        raise pytest.UsageError(f"{source}: {error}") from None


def pytest_report_header(config: pytest.Config) -> str:
    settings = config.stash[_SETTINGS]
    text = (
        f"vmsmp: base seed {settings.seed:#x} (--vmsmp-seed), GIL {_gil()}, "
        f"sched {settings.sched or DEFAULT_SCHED}"
    )
    if settings.replay is not None:
        text += f", replays '{settings.replay}'"
    if settings.failed is not None:
        lines = sum(map(len, settings.failed.values()))
        text += f", reruns {lines} failed schedules" if lines else ", no schedule failed last time"
    return text


def _gil() -> str:
    return "on" if getattr(sys, "_is_gil_enabled", lambda: True)() else "off"


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Hand the settings to an xdist worker, so that all have the same."""
    node.workerinput["vmsmp"] = asdict(node.config.stash[_SETTINGS])


# -- what failed last time --------------------------------------------------------------------------


class LastFailed:
    """Keeps the failed schedules by test; lives in the process that owns the terminal."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.lines = _stored(config)
        self.changed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call":
            return
        nodeid = _plain(report.nodeid, self.config)
        lines = [str(value) for name, value in report.user_properties if name == "vmsmp.schedule"]
        if report.passed and nodeid in self.lines:
            del self.lines[nodeid]
            self.changed = True
        elif report.failed and lines:
            self.lines[nodeid] = lines
            self.changed = True

    def pytest_sessionfinish(self) -> None:
        cache = _cache(self.config)
        if self.changed and cache is not None:
            cache.set(CACHE_KEY, self.lines)


def _cache(config: pytest.Config) -> pytest.Cache | None:
    return getattr(config, "cache", None)


def _stored(config: pytest.Config) -> dict[str, list[str]]:
    cache = _cache(config)
    stored = cache.get(CACHE_KEY, {}) if cache is not None else {}
    return dict(stored) if isinstance(stored, dict) else {}


def _plain(nodeid: str, config: pytest.Config) -> str:
    """A test's name without the group that xdist's --dist loadgroup puts behind it."""
    grouped = config.getoption("loadgroup", False) or config.getoption("dist", "no") == "loadgroup"
    if grouped and nodeid.rfind("@") > nodeid.rfind("]"):
        return nodeid[: nodeid.rfind("@")]
    return nodeid


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    failed = config.stash[_SETTINGS].failed
    if not failed:
        return
    kept = [item for item in items if _plain(item.nodeid, config) in failed]
    if kept and len(kept) < len(items):
        gone = [item for item in items if item not in kept]
        items[:] = kept
        config.hook.pytest_deselected(items=gone)


# -- the fixture ------------------------------------------------------------------------------------


@pytest.fixture
def explore(request: pytest.FixtureRequest) -> Explorer:
    """`vmsmp.explore` for this test: a failure found fails it, unless the test judges the result."""
    return Explorer(request.node)


class Explorer:
    """A search with the defaults of one test.

    They come from the marker, then from the command line, then from `vmsmp.explore` itself; the
    seed from the base seed and the test's name.  With --vmsmp-replay or --vmsmp-lf it follows the
    given lines instead of searching.
    """

    def __init__(self, item: pytest.Item) -> None:
        self.item = item
        self.nodeid = _plain(item.nodeid, item.config)
        self.settings = item.config.stash[_SETTINGS]
        self.found = item.stash.setdefault(_FOUND, Found())

    def __call__(
        self, program: Program | None = None, *, must_pass: bool | None = None, **options: Any
    ) -> Result:
        """Search `program`, or the marker's scenario, with the options of `vmsmp.explore`.

        A failure fails the test: at once if `must_pass`, at its end if it never looked at the
        result's verdict, and not at all if `must_pass` is False or the test judged the result.
        """
        __tracebackhide__ = True
        import vmsmp

        scenario, defaults = self._defaults()
        if program is None:
            program = self._scenario(scenario)
        options = defaults | options
        _note(self.item, "vmsmp.seed", f"{options['seed']:#x}")
        _note(self.item, "vmsmp.sched", options.get("sched", DEFAULT_SCHED))
        _note(self.item, "vmsmp.gil", _gil())
        lines = self._lines(program)
        try:
            result = _follow(program, lines, options) if lines else vmsmp.explore(program, **options)
        except ValueError as error:
            if not isinstance(error, vmsmp.UsageError):
                raise
            pytest.fail(f"ValueError: {error}", pytrace=False)
        if result.interrupted:
            raise KeyboardInterrupt
        self._write_down(result)
        if must_pass and result.failure is not None:
            self.found.told = len(self.found.failures)
            told = [_told(self.item, failure) for failure in result.failures]
            pytest.fail("\n\n".join(told), pytrace=False)
        if must_pass is None and result.failures:
            from vmsmp.campaign.outcome import Unread

            result = Unread.of(result)
            self.found.given.append(result)
        return result

    def _defaults(self) -> tuple[str | None, dict[str, Any]]:
        """The marker's scenario and all options, as far as anybody says something."""
        import inspect
        from hashlib import blake2b

        import vmsmp

        marked: dict[str, Any] = {}
        for marker in reversed(list(self.item.iter_markers("vmsmp"))):  # the closest one last
            if marker.args:
                pytest.fail("the marker vmsmp takes its arguments by name", pytrace=False)
            marked |= marker.kwargs
        scenario = marked.pop("scenario", None)
        known = set(inspect.signature(vmsmp.explore).parameters) - {"program", "progress"}
        if strange := sorted(set(marked) - known):
            pytest.fail(
                f"the marker vmsmp has no {strange[0]!r}: use scenario, {', '.join(sorted(known))}",
                pytrace=False,
            )
        settings = self.settings
        name = f"{settings.seed}/{self.nodeid}".encode()
        said: dict[str, Any] = {"seed": int.from_bytes(blake2b(name, digest_size=4).digest(), "big")}
        said |= {
            key: value
            for key, value in (("sched", settings.sched), ("schedules", settings.schedules))
            if value is not None
        }
        return scenario, said | marked

    def _scenario(self, name: str | None) -> Program:
        __tracebackhide__ = True
        if name is None:
            raise TypeError("explore() needs a program, or a marker vmsmp(scenario=...)")
        from vmsmp.library import find_scenario

        try:
            return find_scenario(name)
        except ValueError as error:
            pytest.fail(f"ValueError: {error}", pytrace=False)

    def _lines(self, program: Program) -> list[str]:
        """The schedule lines to follow, none to search."""
        if self.settings.replay is not None:
            return [self.settings.replay]
        if not self.settings.failed:
            return []
        from vmsmp.engine.schedule import Schedule, program_name

        name = program_name(program)
        lines = self.settings.failed.get(self.nodeid, [])
        return [line for line in lines if Schedule.parse(line).program == name]

    def _write_down(self, result: Result) -> None:
        """What the result says, where reports and JUnit files look for it."""
        properties = dict(self.item.user_properties)
        before = properties.get("vmsmp.executions", 0)
        assert isinstance(before, int)
        _note(self.item, "vmsmp.executions", before + result.executions)
        for failure in result.failures:
            self.found.failures.append(failure)
            self.item.user_properties.append(("vmsmp.schedule", failure.schedule))
            self.item.user_properties.append(("vmsmp.signature", failure.signature))


def _follow(program: Program, lines: list[str], options: dict[str, Any]) -> Result:
    """Replay `lines` as if they were a search.  Raises: UsageError, as `vmsmp.replay` does."""
    from vmsmp.campaign.outcome import Result
    from vmsmp.campaign.search import parse_for, replay

    schedules = [parse_for(program, line) for line in lines]
    kept = {key: options[key] for key in ("check",) if key in options}
    result = Result(schedules[0].program, "replay", schedules[0])
    start = time.monotonic()
    for schedule in schedules:
        outcome = replay(program, schedule, **kept)
        result.executions += 1
        result.steps += outcome.steps
        result.longest = max(result.longest, outcome.steps)
        failure = outcome.failure
        if failure is not None:
            if failure.signature not in result.counts:
                result.failures.append(failure)
            result.counts[failure.signature] = result.counts.get(failure.signature, 0) + 1
    result.seconds = time.monotonic() - start
    return result


def _note(item: pytest.Item, name: str, value: object) -> None:
    """Set a property of the test's report, in place of an earlier value."""
    item.user_properties[:] = [p for p in item.user_properties if p[0] != name]
    item.user_properties.append((name, value))


# -- what a report says -----------------------------------------------------------------------------


def _told(item: pytest.Item, failure: Failure) -> str:
    """A failure's story, with the commands that show it again from here."""
    from vmsmp.campaign.outcome import replaying

    lines = failure.report().splitlines()
    if not failure.listed:  # only pytest knows the program
        own = f"replay: {replaying(failure.program, failure.schedule, listed=False)}"
        lines[:] = [f"schedule: {failure.schedule}" if line == own else line for line in lines]
    lines.append(f"replay: {_pytest(item)} --vmsmp-replay '{failure.schedule}'")
    return "\n".join(lines)


def _pytest(item: pytest.Item) -> str:
    """The command that runs this test alone."""
    path, _, name = _plain(item.nodeid, item.config).partition("::")
    path = os.path.relpath(item.config.rootpath / path, item.config.invocation_params.dir)
    return f"pytest {shlex.quote(f'{path}::{name}')}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Fail a test that found a failure and never looked."""
    yield
    found = item.stash.get(_FOUND, None)
    ignored = [given for given in (found.given if found else ()) if not given.read]
    if found is not None and ignored:
        found.told = len(found.failures)
        told = [_told(item, failure) for given in ignored for failure in given.failures]
        pytest.fail("\n\n".join(told), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the failures that the test got as results, if it failed over them."""
    report = yield
    found = item.stash.get(_FOUND, None)
    if found is not None and report.failed and report.when == "call":
        for failure in found.failures[found.told :]:
            report.sections.append(("vmsmp failure", _told(item, failure)))
        found.told = len(found.failures)
    return report


# -- hangs ------------------------------------------------------------------------------------------


@pytest.hookimpl(optionalhook=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> bool:
    """Watch the test in pytest-timeout's stead."""
    if _uses_vmsmp(item):
        _load_engines()  # on our time, not on the test's
    from vmsmp.pytest_watchdog import Watchdog

    seed = item.config.stash[_SETTINGS].seed
    watchdog = Watchdog(item, settings, f"{_pytest(item)} --vmsmp-seed {seed:#x}")
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
