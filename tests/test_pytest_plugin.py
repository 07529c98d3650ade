"""The pytest plugin, seen from outside: whole sessions of pytest in processes of their own."""

import inspect
import json
import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

import pytest

import vmsmp
from vmsmp import pytest_plugin

pytest_plugins = ["pytester"]

HOME = Path(vmsmp.__file__).resolve().parent.parent

#: Programs that the inner tests run; each test file begins with them.
PROGRAMS = """
import time
import pytest
import vmsmp

hangs = pytest.mark.timeout(1)

def lost_update(m):
    word = m.cell(0, name="word")
    def incrementer():
        word.store(word.load() + 1)
    m.spawn(incrementer)
    m.spawn(incrementer)
    m.join()
    m.check(word.load() == 2, "both increments are counted")

def counted(m):
    word = m.atomic(0, name="word")
    for _ in range(2):
        m.spawn(word.fetchadd, 1)
    m.join()
    m.check(word.load() == 2, "both increments are counted")

def held_for_ever(m, forever):
    lock = m.spinlock("pg")
    ready = m.atomic(0, name="ready")
    def holder():
        with lock:
            ready.store(1)
            forever(ready)
    def waiter():
        while not ready.load():
            m.pause()
        with lock:
            pass
    m.spawn(waiter, name="waiter")
    m.spawn(holder, name="holder")
    m.join()

def operates(m):
    def forever(ready):
        while True:
            ready.fetchadd(1)
    held_for_ever(m, forever)

def computes(m):
    def forever(ready):
        if m.rng.random() > 2:
            return
        while True:
            pass
    held_for_ever(m, forever)

def sleeps_in_the_host(m):
    def forever(ready):
        time.sleep(20)
    held_for_ever(m, forever)
"""

#: What makes time run out exactly when a program hangs, however busy the host is: the watchdog waits
#: until `hung(machine)` instead of looking at the clock.
HANGING = """
from vmsmp.pytest_watchdog import Watchdog

def hung(machine):
    return any("in forever" in place for cpu in machine.survey() for place in cpu.frames)

def in_time(watchdog):
    while not watchdog.over.wait(0.01):
        if any(hung(machine) for machine in watchdog.watch.machines()):
            return False
    return True

Watchdog.in_time = in_time
"""

WORKERS = pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])


class Counts(NamedTuple):
    """How a session ended: how many tests passed and failed, and hence the exit code."""

    passed: int = 0
    failed: int = 0


class Session:
    """Runs pytest over one test file."""

    def __init__(self, pytester, monkeypatch):
        self.pytester = pytester
        self.monkeypatch = monkeypatch
        path = [str(HOME)]
        if not entry_points(group="pytest11", name="vmsmp"):
            # As if installed: also the workers of xdist find the plugin, and -p no:vmsmp holds.
            info = pytester.mkdir("site") / "vmsmp_here-0.dist-info"
            info.mkdir()
            (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vmsmp-here\nVersion: 0\n")
            (info / "entry_points.txt").write_text("[pytest11]\nvmsmp = vmsmp.pytest_plugin\n")
            path.append(str(info.parent))
        path += filter(None, [os.environ.get("PYTHONPATH")])
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
        # CI and BUILD_NUMBER make pytest print more than it does for a person.
        ours = ("VMSMP_", "PYTEST_", "CI", "BUILD_NUMBER")
        for name in [name for name in os.environ if name.startswith(ours)]:
            monkeypatch.delenv(name)

    def __call__(self, tests, *options):
        """The text of a session over `tests`; `counts` and `rc` come with it."""
        if tests:
            self.pytester.makepyfile(test_it=PROGRAMS + inspect.cleandoc(tests))
        done = self.pytester.runpytest_subprocess(
            "-p", "no:faulthandler", "-p", "no:randomly", *options, timeout=100
        )
        self.rc = done.ret
        self.text = "\n".join([*done.outlines, *done.errlines])
        counts = done.parseoutcomes() if re.search(r" in \d", self.text) else {}
        self.counts = Counts(counts.get("passed", 0), counts.get("failed", 0))
        if sum(self.counts):
            assert (1 if self.counts.failed else 0) == self.rc, self.text
        return self.text

    def properties(self, file):
        """The JUnit properties of each test by name."""
        found = {}
        for case in ET.parse(self.pytester.path / file).iter("testcase"):
            entries = case.iter("property")
            found[case.get("name")] = {e.get("name"): e.get("value") for e in entries}
        return found


@pytest.fixture
def session(pytester, monkeypatch):
    return Session(pytester, monkeypatch)


def replay_option(text):
    """The option of the command that a report prints."""
    return re.search(r"replay: pytest \S+ (--vmsmp-replay) '(\S+)'", text).groups()


# -- the module -------------------------------------------------------------------------------------


def test_loading_the_plugin_loads_nothing_else_of_vmsmp():
    code = (
        "import sys, vmsmp.pytest_plugin;"
        "print(sorted(name for name in sys.modules if name.startswith('vmsmp')))"
    )
    env = {**os.environ, "PYTHONPATH": str(HOME)}
    printed = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True)
    assert "['vmsmp', 'vmsmp.pytest_plugin']" == printed.stdout.decode().strip()


def test_the_first_search_loads_no_library_but_our_own():
    code = (
        "import sys, vmsmp; vmsmp.explore(lambda m: None, schedules=1);"
        "print({'loguru', 'hypothesis', 'rich', 'pytest', 'asyncio'} & set(sys.modules))"
    )
    env = {**os.environ, "PYTHONPATH": str(HOME)}
    printed = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True)
    assert "set()" == printed.stdout.decode().strip()


def test_the_default_scheduler_in_the_header_is_that_of_explore():
    explore = inspect.signature(vmsmp.explore)
    assert explore.parameters["sched"].default == pytest_plugin.DEFAULT_SCHED


def test_the_plugin_can_be_named_where_entry_points_are_not_loaded(session):
    session.monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    session("def test_it(explore): explore(counted)", "-p", "vmsmp.pytest_plugin")
    assert Counts(passed=1) == session.counts


def test_the_plugin_can_be_left_out(session):
    text = session("def test_it(request): pass", "-p", "no:vmsmp", "--timeout", "5")
    assert Counts(passed=1) == session.counts
    assert "vmsmp: base seed" not in text


def test_the_plugin_works_without_pytest_timeout(session):
    session("def test_it(explore): explore(counted)", "-p", "no:timeout")
    assert Counts(passed=1) == session.counts


def test_the_marker_is_registered(session):
    session("@pytest.mark.vmsmp(schedules=3)\ndef test_it(explore): explore(counted)", "--strict-markers")
    assert Counts(passed=1) == session.counts


def test_the_header_shows_seed_gil_and_scheduler(session):
    gil = "on" if getattr(sys, "_is_gil_enabled", lambda: True)() else "off"
    text = session("def test_it(): pass", "--vmsmp-seed", "0x2a", "--vmsmp-sched", "pct:3")
    assert f"vmsmp: base seed 0x2a (--vmsmp-seed), GIL {gil}, sched pct:3" in text


def test_the_base_seed_is_zero_unless_given(session):
    assert "vmsmp: base seed 0x0 " in session("def test_it(): pass")


# -- options ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("seed", "x", "--vmsmp-seed must be a number such as 7 or 0x2a, not 'x'"),
        ("seed", "-1", "--vmsmp-seed must be a number such as 7 or 0x2a, not '-1'"),
        ("schedules", "0", "--vmsmp-schedules must be a number from 1, not '0'"),
        ("sched", "pct:x", "--vmsmp-sched: unknown scheduler 'pct:x'"),
        ("replay", "v1:a", "--vmsmp-replay: schedule 'v1:a': expected v1:NAME:SEED:PREEMPTIONS"),
    ],
)
def test_a_bad_option_is_a_usage_error_in_one_sentence(session, option, value, message):
    text = session("def test_it(): pass", f"--vmsmp-{option}={value}")
    assert 4 == session.rc
    assert f"ERROR: {message}" in text


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("VMSMP_SEED", "x", "VMSMP_SEED must be a number such as 7 or 0x2a, not 'x'"),
        ("VMSMP_LF", "x", "VMSMP_LF must be 0 or 1, not 'x'"),
    ],
)
def test_a_bad_variable_is_a_usage_error_that_names_it(session, variable, value, message):
    session.monkeypatch.setenv(variable, value)
    text = session("def test_it(): pass")
    assert 4 == session.rc
    assert f"ERROR: {message}" in text


def test_the_command_line_wins_over_the_environment(session):
    session.monkeypatch.setenv("VMSMP_SEED", "7")
    session.monkeypatch.setenv("VMSMP_SCHED", "rr")
    text = session("def test_it(): pass", "--vmsmp-seed", "0x8")
    assert "vmsmp: base seed 0x8 (--vmsmp-seed)" in text
    assert ", sched rr" in text


def test_lf_without_a_cache_is_a_usage_error(session):
    text = session("def test_it(): pass", "--vmsmp-lf", "-p", "no:cacheprovider")
    assert 4 == session.rc
    assert "ERROR: --vmsmp-lf needs pytest's cache" in text


# -- the fixture ------------------------------------------------------------------------------------


def test_a_failure_found_fails_the_test_with_its_story_and_the_command_that_replays_it(session):
    text = session("def test_it(explore): explore(lost_update)")
    assert Counts(failed=1) == session.counts
    assert "check: both increments are counted" in text
    assert "how every CPU stood:" in text
    assert re.search(r"^schedule: v1:lost_update:[0-9a-f]+:[0-9.>,]+$", text, re.MULTILINE)
    assert re.search(
        r"^replay: pytest test_it.py::test_it --vmsmp-replay 'v1:lost_update:\S+'$", text, re.MULTILINE
    )
    assert "vmsmp replay" not in text.replace("--vmsmp-replay", "")  # it knows scenarios only


def test_the_printed_command_replays_the_failure(session):
    first = session("def test_it(explore): explore(lost_update)")
    digest = re.search(r"digest: \S+", first)[0]
    again = session("", *replay_option(first), "test_it.py::test_it")
    assert Counts(failed=1) == session.counts
    assert digest in again


def test_the_printed_command_names_a_parameter_in_quotes(session):
    text = session("@pytest.mark.parametrize('n', ['a b'])\ndef test_it(explore, n): explore(lost_update)")
    assert "replay: pytest 'test_it.py::test_it[a b]' --vmsmp-replay 'v1:" in text


def test_a_line_of_another_program_fails_the_test_in_one_line(session):
    text = session("def test_it(explore): explore(counted)", "--vmsmp-replay", "v1:lost_update:1:")
    assert Counts(failed=1) == session.counts
    assert "ValueError: this schedule is of program 'lost_update', not of 'counted'" in text
    assert "Traceback" not in text


def test_a_test_may_judge_the_result_itself(session):
    session(
        """
        def test_it(explore):
            result = explore(lost_update, must_pass=False)
            assert "check" == result.failure.kind
        """
    )
    assert Counts(passed=1) == session.counts


def test_a_test_that_looks_at_the_verdict_judges_it(session):
    session(
        """
        def test_it(explore):
            result = explore(lost_update)
            assert "check" == result.failure.kind
        """
    )
    assert Counts(passed=1) == session.counts


def test_a_test_that_never_looks_at_the_verdict_fails_over_it(session):
    text = session(
        """
        def test_it(explore):
            assert explore(lost_update).executions
        """
    )
    assert Counts(failed=1) == session.counts
    assert "both increments are counted" in text


def test_must_pass_fails_the_test_at_once(session):
    text = session(
        """
        def test_it(explore):
            explore(lost_update, must_pass=True)
            raise RuntimeError("the test went on")
        """
    )
    assert Counts(failed=1) == session.counts
    assert "the test went on" not in text


def test_a_test_that_fails_over_a_result_shows_the_failure(session):
    text = session(
        """
        def test_it(explore):
            assert explore(lost_update).ok
        """
    )
    assert Counts(failed=1) == session.counts
    assert "vmsmp failure" in text
    assert "replay: pytest test_it.py::test_it --vmsmp-replay 'v1:lost_update:" in text


def test_the_fixture_takes_the_marker_then_the_command_line_then_its_own_defaults(session):
    session(
        """
        @pytest.mark.vmsmp(schedules=3)
        def test_marker(explore):
            assert 3 == explore(counted).executions

        def test_command_line(explore):
            result = explore(counted)
            assert (4, "random") == (result.executions, result.scheduler)

        @pytest.mark.vmsmp(schedules=3, sched="rr", locks="exact", seed=9)
        def test_call(explore):
            result = explore(counted, schedules=5, sched="pct:2")
            assert (5, "pct:2") == (result.executions, result.scheduler)
            assert ("exact", 9) == (result.options.options.locks, result.options.seed)
        """,
        "--vmsmp-schedules",
        "4",
        "--vmsmp-sched",
        "random",
    )
    assert Counts(passed=3) == session.counts


def test_the_closest_marker_wins(session):
    session(
        """
        pytestmark = pytest.mark.vmsmp(schedules=3, sched="rr")

        @pytest.mark.vmsmp(schedules=2)
        def test_it(explore):
            result = explore(counted)
            assert (2, "rr") == (result.executions, result.scheduler)
        """
    )
    assert Counts(passed=1) == session.counts


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("vmsmp(speed=3)", "the marker vmsmp has no 'speed': use scenario, check, cpus,"),
        ("vmsmp('rr')", "the marker vmsmp takes its arguments by name"),
        ("vmsmp(sched='x')", "ValueError: unknown scheduler 'x'"),
    ],
)
def test_a_bad_marker_fails_the_test_in_one_line(session, marker, message):
    text = session(f"@pytest.mark.{marker}\ndef test_it(explore): explore(counted)")
    assert Counts(failed=1) == session.counts
    assert message in text


def test_a_program_is_needed_unless_the_marker_names_a_scenario(session):
    text = session("def test_it(explore): explore()")
    assert Counts(failed=1) == session.counts
    assert "explore() needs a program, or a marker" in text


def plant_scenario(session):
    """Put a scenario that fails where the inner session finds it."""
    session.pytester.makepyfile(
        conftest="""
        import vmsmp.library

        @vmsmp.library.scenario(cpus=2)
        def torn(m):
            word = m.cell(0, name="word")
            for _ in range(m.ncpus):
                m.spawn(lambda: word.store(word.load() + 1))
            m.join()
            m.check(word.load() == 2, "nothing is lost")

        torn.__module__ = "vmsmp.scenarios.torn"

        def pytest_configure():
            vmsmp.library.all_scenarios = lambda: {"torn": torn}
        """
    )


def test_the_marker_names_the_scenario_to_run_and_the_report_replays_it_both_ways(session):
    plant_scenario(session)
    text = session("@pytest.mark.vmsmp(scenario='torn')\ndef test_it(explore): explore()")
    assert Counts(failed=1) == session.counts
    assert re.search(r"^replay: vmsmp replay 'v1:torn:\S+'$", text, re.MULTILINE)
    assert re.search(r"^replay: pytest test_it.py::test_it --vmsmp-replay 'v1:torn:\S+'$", text, re.MULTILINE)


def test_an_unknown_scenario_fails_the_test_with_near_misses(session):
    plant_scenario(session)
    text = session("@pytest.mark.vmsmp(scenario='thorn')\ndef test_it(explore): explore()")
    assert Counts(failed=1) == session.counts
    assert "ValueError: unknown scenario 'thorn': did you mean torn?" in text


# -- seeds ------------------------------------------------------------------------------------------

SEEDS = """
@pytest.mark.parametrize("n", range(3))
def test_it(explore, n): explore(counted, schedules=2)
"""


def seeds(session, *options):
    """The seed of each test of `SEEDS`."""
    session(SEEDS, "--junitxml", "junit.xml", *options)
    return {name: kept["vmsmp.seed"] for name, kept in session.properties("junit.xml").items()}


def test_every_test_has_its_own_seed_and_keeps_it(session):
    found = seeds(session)
    assert 3 == len(set(found.values()))
    assert found == seeds(session)


def test_another_base_seed_gives_other_seeds(session):
    assert set() == set(seeds(session).values()) & set(seeds(session, "--vmsmp-seed", "1").values())


@pytest.mark.parametrize("dist", ["load", "loadgroup"])
def test_seeds_are_the_same_under_xdist(session, dist):
    session.pytester.makeconftest(
        "import pytest\n"
        "@pytest.hookimpl(tryfirst=True)\n"
        "def pytest_collection_modifyitems(items):\n"
        "    for item in items: item.add_marker(pytest.mark.xdist_group('one'))\n"
    )
    alone = seeds(session, "--vmsmp-seed", "0x51")
    spread = seeds(session, "--vmsmp-seed", "0x51", "-n", "2", "--dist", dist)
    assert alone == {name.removesuffix("@one"): seed for name, seed in spread.items()}


# -- what reports keep ------------------------------------------------------------------------------


@WORKERS
def test_properties_of_a_failure_go_to_junit(session, workers):
    text = session(
        "def test_it(explore): explore(lost_update, sched='pct:3')", "--junitxml", "junit.xml", *workers
    )
    _, line = replay_option(text)
    kept = session.properties("junit.xml")["test_it"]
    assert line == kept["vmsmp.schedule"]
    assert "check: both increments are counted" == kept["vmsmp.signature"]
    assert "pct:3" == kept["vmsmp.sched"]
    assert kept["vmsmp.gil"] in ("on", "off")
    assert int(kept["vmsmp.executions"]) >= 1
    assert int(kept["vmsmp.seed"], 16) >= 0


def test_properties_of_a_test_that_passes_add_its_searches_up(session):
    session(
        """
        def test_it(explore):
            explore(counted, schedules=2)
            explore(counted, schedules=3)
        """,
        "--junitxml",
        "junit.xml",
    )
    kept = session.properties("junit.xml")["test_it"]
    assert "5" == kept["vmsmp.executions"]
    assert "vmsmp.schedule" not in kept


# -- what failed last time --------------------------------------------------------------------------

MIXED = """
def test_fails(explore): explore(lost_update)
def test_passes(explore): explore(counted, schedules=2)
@pytest.mark.xdist_group("one")
def test_fails_too(explore): explore(lost_update, sched="random")
def test_fails_without_a_schedule(): assert not 1
"""


def stored(session):
    """What the cache holds: the number of lines by test."""
    path = session.pytester.path / ".pytest_cache/v/vmsmp/failed"
    return {name: len(lines) for name, lines in json.loads(path.read_text()).items()}


@pytest.mark.parametrize(
    "workers", [(), ("-n", "2"), ("-n", "2", "--dist", "loadgroup")], ids=["alone", "xdist", "loadgroup"]
)
def test_lf_reruns_the_schedules_that_failed_and_only_them(session, workers):
    first = session(MIXED, *workers)
    assert {"test_it.py::test_fails": 1, "test_it.py::test_fails_too": 1} == stored(session)
    again = session("", "--vmsmp-lf", *workers)
    assert Counts(failed=2) == session.counts
    assert set(re.findall(r"digest: \S+", first)) == set(re.findall(r"digest: \S+", again))
    assert {"test_it.py::test_fails": 1, "test_it.py::test_fails_too": 1} == stored(session)


def test_lf_runs_one_schedule_for_each_that_failed(session):
    session(MIXED)
    session("", "--vmsmp-lf", "--junitxml", "junit.xml")
    kept = session.properties("junit.xml")
    assert {"test_fails": "1", "test_fails_too": "1"} == {
        name: properties["vmsmp.executions"] for name, properties in kept.items()
    }


def test_a_schedule_that_passes_again_is_forgotten(session):
    session("def test_fails(explore): explore(lost_update)")
    session(
        "lost_update.__code__ = counted.__code__\ndef test_fails(explore): explore(lost_update)",
        "--vmsmp-lf",
    )
    assert Counts(passed=1) == session.counts
    assert {} == stored(session)


def test_lf_runs_everything_if_no_schedule_failed(session):
    text = session("def test_it(explore): explore(counted, schedules=2)", "--vmsmp-lf")
    assert Counts(passed=1) == session.counts
    assert "no schedule failed last time" in text


# -- hangs ------------------------------------------------------------------------------------------

HANGS = [
    pytest.param(f"{call}({program}, {options})", program, engine, id=f"{engine}-{program}")
    for call, engine, options in [
        ("vmsmp.explore", "controlled", "max_steps=10**9"),
        ("vmsmp.run", "free", "time_s=60"),
    ]
    for program in ("operates", "computes", "sleeps_in_the_host")
]


@pytest.mark.parametrize(("call", "program", "engine"), HANGS)
def test_a_hang_fails_its_test_with_what_each_cpu_holds_and_wants(session, call, program, engine):
    text = session(
        HANGING
        + f"""
in_for_ever = hung

def hung(machine):
    return in_for_ever(machine) and machine.survey()[0].wants.startswith("join")

@hangs
def test_hangs(): {call}
def test_next(explore): explore(counted, schedules=2)
""",
        "--junitxml",
        "junit.xml",
    )
    assert Counts(failed=1, passed=1) == session.counts, text
    assert f"hang: {program} has not come to its end in 1 s" in text
    assert f"{engine} engine; " in text
    assert "the test is at " in text
    assert re.search(r"cpu0 +holds nothing; wants join waiter; ", text), text
    assert re.search(r"cpu2 holder +holds exclusive spinlock 'pg'; wants nothing; ", text), text
    assert re.search(r"cpu1 waiter +holds nothing; ", text), text
    assert re.search(r"at \S*test_it.py:\d+ in forever", text)
    assert re.search(r"^  cpu2 holder: .*store ready", text, re.MULTILINE) or program == "operates"
    assert "Fatal Python error" not in text
    kept = session.properties("junit.xml")["test_hangs"]
    assert f"hang: {program} has not come to its end in N s" == kept["vmsmp.signature"]


@WORKERS
@pytest.mark.parametrize("method", ["signal", "thread"])
def test_hangs_are_ordinary_failures_with_and_without_xdist(session, workers, method):
    text = session(
        HANGING
        + """
@hangs
def test_controlled(explore): explore(computes)
@hangs
def test_free(): vmsmp.run(operates, time_s=60)
def test_next(explore): explore(counted, schedules=2)
def test_last(explore): explore(counted, schedules=2)
""",
        "--timeout-method",
        method,
        *workers,
    )
    assert Counts(failed=2, passed=2) == session.counts, text
    assert "hang: computes has not come to its end in 1 s" in text
    assert "hang: operates has not come to its end in 1 s" in text
    assert 2 == len(re.findall(r"cpu2 holder +holds exclusive spinlock 'pg'", text))
    assert "crashed" not in text


WARMED = """
@pytest.fixture
def warm(): return vmsmp.run(operates, time_s={time_s}).failure
def test_it(warm): assert warm is None
"""


def test_a_hang_in_a_fixture_is_reported_if_the_timer_covers_fixtures(session):
    session.pytester.makeini("[pytest]\ntimeout = 1\ntimeout_func_only = false\n")
    text = session(HANGING + WARMED.format(time_s=60))
    assert 1 == session.rc
    assert "hang: operates has not come" in text


def test_a_fixture_is_not_bounded_if_the_timer_covers_the_function_only(session):
    session.pytester.makeini("[pytest]\ntimeout = 1\ntimeout_func_only = true\n")
    session(HANGING + WARMED.format(time_s=0.5))
    assert Counts(passed=1) == session.counts, session.text


def test_a_search_that_is_only_slow_is_told_from_cpus_that_do_not_get_on(session):
    text = session(
        HANGING
        + """
def hung(machine): return True

@hangs
def test_it(explore): explore(counted, schedules=10**7)
"""
    )
    assert "hang: counted has not come to its end in 1 s" in text
    assert "its CPUs still get on: give the test more time, or the search less" in text


def test_replay_and_minimize_end_when_stopped_too(session):
    session(
        HANGING
        + """
@hangs
def test_replay(): vmsmp.replay(computes, "v1:computes:0:")
@hangs
def test_minimize(): vmsmp.minimize(computes, "v1:computes:0:0.1>1")
def test_next(explore): explore(counted, schedules=2)
"""
    )
    assert Counts(failed=2, passed=1) == session.counts, session.text


def test_a_test_that_goes_on_after_its_hang_starts_no_other_run(session):
    session(
        HANGING
        + """
@hangs
def test_it(explore):
    seen = []
    for _ in range(3):
        try:
            explore(computes)
        except BaseException as error:
            seen.append(str(error).splitlines()[0])
    assert ["hang: computes has not come to its end in 1 s"] * 3 == seen
"""
    )
    assert Counts(passed=1) == session.counts, session.text


def test_no_thread_of_a_hung_machine_is_left_if_it_computes(session):
    session(
        HANGING
        + """
import threading

@hangs
def test_controlled(explore): explore(computes)
@hangs
def test_free(): vmsmp.run(computes, time_s=60)
def test_next(): assert [] == [t.name for t in threading.enumerate() if "cpu" in t.name]
"""
    )
    assert Counts(failed=2, passed=1) == session.counts, session.text


#: Says at every import of ours whether a test's clock runs.
IMPORTS = """
import sys, threading

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.startswith("vmsmp.campaign"):
            runs = any(t.name == "vmsmp-watchdog" for t in threading.enumerate())
            print(f"loads {name} {'on' if runs else 'before'} the clock", file=sys.__stderr__)

sys.meta_path.insert(0, Finder)
"""


@pytest.mark.parametrize(
    "test",
    ["def test_it(explore): explore(counted, schedules=1)", "def test_it(): vmsmp.run(counted)"],
    ids=["fixture", "package"],
)
def test_the_clock_does_not_run_while_the_engine_is_loaded(session, test):
    session.pytester.makeconftest(IMPORTS)
    text = session(test, "--timeout", "60", "-s")
    assert "loads vmsmp.campaign.search before the clock" in text
    assert " on the clock" not in text


def test_a_test_that_has_nothing_to_do_with_us_loads_no_engine(session):
    session.pytester.makeconftest(IMPORTS)
    session.pytester.makepyfile(test_it="def test_it(): pass")
    text = session("", "--timeout", "60", "-s")
    assert Counts(passed=1) == session.counts
    assert "loads vmsmp" not in text


def test_a_hang_outside_any_machine_is_what_pytest_timeout_makes_of_it_by_signal(session):
    text = session(
        "@hangs\ndef test_hangs(): time.sleep(30)\ndef test_next(): pass",
        "--timeout-method",
        "signal",
    )
    assert Counts(failed=1, passed=1) == session.counts
    assert "Failed: Timeout (>1.0s) from pytest-timeout." in text
    assert "hang:" not in text


def test_a_hang_outside_any_machine_is_what_pytest_timeout_makes_of_it_by_thread(session):
    text = session(
        "@hangs\ndef test_hangs(): time.sleep(30)\ndef test_next(): pass",
        "--timeout-method",
        "thread",
    )
    assert 1 == session.rc
    assert re.search(r"\++ Timeout \++", text)
    assert "def test_hangs(): time.sleep(30)" in text
    assert "hang:" not in text


def test_a_test_that_ends_in_time_leaves_no_watchdog(session):
    session(
        """
        import threading

        def test_first(explore): explore(counted, schedules=2)
        def test_second():
            assert 1 == sum(t.name == "vmsmp-watchdog" for t in threading.enumerate())
        """,
        "--timeout",
        "60",
    )
    assert Counts(passed=2) == session.counts


def test_programs_of_a_helper_thread_are_not_watched_but_bounded(session):
    text = session(
        """
        import threading

        @hangs
        def test_it():
            helper = threading.Thread(target=vmsmp.run, args=(operates,), daemon=True)
            helper.start()
            time.sleep(30)
        """
    )
    assert 1 == session.rc
    assert re.search(r"\++ Timeout \++", text)
