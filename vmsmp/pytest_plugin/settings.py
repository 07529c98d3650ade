"""What the command line, the environment and pytest's cache say, the same on every xdist worker."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import pytest

#: What `explore` searches with if nobody says anything else; the header shows it.
DEFAULT_SCHED: Final = "portfolio"
#: Cores that a test of the free engine keeps busy: its machines have about so many CPUs.
CORES_A_TEST: Final = 4
#: Where the schedules that failed last are kept between two sessions.
CACHE_KEY: Final = "vmsmp/failed"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line and the environment say; the same on every xdist worker.

    `blob` is what hypothesis says that reproduces a failure, its version and bytes.
    `failed` is None without --vmsmp-lf, else the lines that failed last time by test.  `scenarios` are the
    files and folders of the project's own.  `mode` is the engine.  `traces` is the folder for the traces of
    failures, None for none.
    """

    seed: int = 0
    schedules: int | None = None
    sched: str | None = None
    replay: str | None = None
    failed: dict[str, list[str]] | None = None
    scenarios: tuple[str, ...] = ()
    blob: tuple[str, bytes] | None = None
    mode: str = "controlled"
    traces: str | None = None


SETTINGS: Final = pytest.StashKey[Settings]()
#: What hypothesis prints to reproduce a failure.
_BLOB: Final = re.compile(r"@?reproduce_failure\('([^']*)', b'([A-Za-z0-9+/=]*)'\)")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("vmsmp", "vmsmp: search the schedules of concurrent programs")
    group.addoption(
        "--vmsmp-schedules", metavar="N", help="how many schedules `explore` runs [VMSMP_SCHEDULES]"
    )
    group.addoption(
        "--vmsmp-seed",
        "--vmsmp-base-seed",
        metavar="S",
        help="base seed, 7 or 0x2a; every test derives its own from it [VMSMP_SEED]",
    )
    group.addoption(
        "--vmsmp-sched",
        "--vmsmp-scheduler",
        metavar="STR",
        help="scheduler, such as pct:3 or dfs:2 [VMSMP_SCHED]",
    )
    group.addoption(
        "--vmsmp-mode",
        metavar="MODE",
        help="the engine, controlled (default) or free, where CPUs run in parallel [VMSMP_MODE]",
    )
    group.addoption(
        "--vmsmp-trace-dir",
        metavar="DIR",
        help="write a trace of each failure there, for ui.perfetto.dev [VMSMP_TRACE_DIR]",
    )
    group.addoption(
        "--vmsmp-replay",
        metavar="LINE",
        help="follow this schedule line instead of searching, or run the example of hypothesis that "
        "\"reproduce_failure('VERSION', b'BLOB')\" stands for [VMSMP_REPLAY]",
    )
    group.addoption(
        "--vmsmp-lf",
        action="store_true",
        default=None,
        help="rerun only the schedules that failed last time (all tests if none did) [VMSMP_LF]",
    )


def read_settings(config: pytest.Config) -> Settings:
    """Read and check what was asked for.

    Raises: pytest.UsageError.
    """
    from vmsmp.project import project_at

    try:
        project = project_at(config.rootpath)
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
    seed = _read_number(config, "seed", least=0, such_as="such as 7 or 0x2a")
    schedules = _read_number(config, "schedules", least=1, such_as="from 1")
    return Settings(
        (project.seed or 0) if seed is None else seed,
        project.schedules if schedules is None else schedules,
        _read_sched(config) or project.sched,
        _read_replay(config),
        _read_failed(config),
        project.scenarios,
        _read_blob(config),
        read_mode(config),
        _read_traces(config),
    )


def _read_number(config: pytest.Config, name: str, *, least: int, such_as: str) -> int | None:
    from vmsmp.errors import quoted

    given = _given(config, name)
    if given is None:
        return None
    source, text = given
    try:
        number = int(text, 0)
    except ValueError:
        number = -1
    if number < least:
        raise pytest.UsageError(f"{source} must be a number {such_as}, not {quoted(text)}")
    return number


def _read_sched(config: pytest.Config) -> str | None:
    given = _given(config, "sched")
    if given is None:
        return None
    from vmsmp.sched.names import make_scheduler

    source, sched = given
    _checked(source, lambda: make_scheduler(sched, 0))
    return sched


def _read_replay(config: pytest.Config) -> str | None:
    given = _given(config, "replay")
    if given is None:
        return None
    from vmsmp.engine.schedule import Schedule

    source, line = given
    if _BLOB.search(line):
        return None
    _checked(source, lambda: Schedule.parse(line))
    return line


def _read_blob(config: pytest.Config) -> tuple[str, bytes] | None:
    given = _given(config, "replay")
    found = _BLOB.search(given[1]) if given is not None else None
    return (found[1], found[2].encode()) if found is not None else None


def read_mode(config: pytest.Config) -> str:
    """The engine that is asked for.

    Raises: pytest.UsageError.
    """
    from vmsmp.errors import quoted

    given = _given(config, "mode")
    if given is None:
        return "controlled"
    source, mode = given
    if mode not in ("controlled", "free"):
        raise pytest.UsageError(f"{source} must be controlled or free, not {quoted(mode)}")
    return mode


def _read_traces(config: pytest.Config) -> str | None:
    from vmsmp.errors import quoted

    given = _given(config, "trace_dir")
    if given is None:
        return None
    source, name = given
    folder = config.invocation_params.dir / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise pytest.UsageError(
            f"{source}: cannot make the folder {quoted(name)}: {error.strerror}"
        ) from None
    return str(folder)


def _read_failed(config: pytest.Config) -> dict[str, list[str]] | None:
    from vmsmp.errors import quoted

    given = _given(config, "lf")
    if given is None:
        return None
    source, text = given
    if text not in ("True", "0", "1"):
        raise pytest.UsageError(f"{source} must be 0 or 1, not {quoted(text)}")
    if text == "0":
        return None
    if cache_of(config) is None:
        raise pytest.UsageError(f"{source} needs pytest's cache: leave out -p no:cacheprovider")
    return stored_failures(config, _warner(config))


def _given(config: pytest.Config, name: str) -> tuple[str, str] | None:
    """An option's text and where it comes from: the command line, else the environment."""
    value = config.getoption(f"vmsmp_{name}")
    if value is not None:
        return f"--vmsmp-{name.replace('_', '-')}", str(value)
    variable = f"VMSMP_{name.upper()}"
    value = os.environ.get(variable)
    return (variable, value) if value else None


def _checked(source: str, parse: Callable[[], object]) -> None:
    """Raises: pytest.UsageError, where `parse` raises ValueError."""
    try:
        parse()
    except ValueError as error:
        raise pytest.UsageError(f"{source}: {error}") from None


def cache_of(config: pytest.Config) -> pytest.Cache | None:
    """Pytest's cache, if it is switched on."""
    return getattr(config, "cache", None)


def stored_failures(
    config: pytest.Config, warn: Callable[[str], None] = lambda _: None
) -> dict[str, list[str]]:
    """The schedule lines that failed last time, by test; `warn` hears of what is no such thing."""
    cache = cache_of(config)
    stored = cache.get(CACHE_KEY, {}) if cache is not None else {}
    if not isinstance(stored, dict):
        stored = {"": stored}
    good = {test: lines for test, lines in stored.items() if _are_lines(lines)}
    if len(good) < len(stored):
        warn(f"pytest's cache has things under {CACHE_KEY!r} that are no schedule lines; they are ignored")
    return good


def _are_lines(lines: object) -> bool:
    return isinstance(lines, list) and all(isinstance(line, str) for line in lines)


def _warner(config: pytest.Config) -> Callable[[str], None]:
    """Something to call with a warning; no filter makes an error of it, since no test has run yet."""

    def warn(words: str) -> None:
        try:
            config.issue_config_time_warning(pytest.PytestWarning(f"vmsmp: {words}"), stacklevel=3)
        except pytest.PytestWarning:
            pass

    return warn


def plain(nodeid: str, config: pytest.Config) -> str:
    """A test's name without the group that xdist's --dist loadgroup puts behind it."""
    grouped = config.getoption("loadgroup", False) or config.getoption("dist", "no") == "loadgroup"
    if grouped and nodeid.rfind("@") > nodeid.rfind("]"):
        return nodeid[: nodeid.rfind("@")]
    return nodeid


def seed_of(base: int, name: str) -> int:
    """A seed of a test's own, derived from the base seed and the test's name."""
    return int.from_bytes(blake2b(f"{base}/{name}".encode(), digest_size=4).digest(), "big")


def gil_word() -> str:
    """Whether the GIL is on, for a person to read."""
    return "on" if getattr(sys, "_is_gil_enabled", lambda: True)() else "off"


def free_workers() -> int:
    """How many processes can run tests of the free engine at once, on this machine's cores."""
    return max(1, len(os.sched_getaffinity(0)) // CORES_A_TEST)
