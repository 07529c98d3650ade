"""Tests that hang: what the watchdog says, and what pytest-timeout does without a machine."""

import re

import pytest

from inner_session import HANGING, WORKERS, Counts

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(600)  # each test starts whole sessions


HANGS = [
    pytest.param(
        f"{call}({program}, {options})",
        program,
        engine,
        id=f"{engine}-{program}",
        marks=[] if (program, engine) == ("operates", "controlled") else pytest.mark.ci,
    )
    for call, engine, options in [
        ("vmsmp.explore", "controlled", "max_steps=10**7"),
        ("vmsmp.run", "free", "time_s=600"),
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


@pytest.mark.ci
@WORKERS
@pytest.mark.parametrize("method", ["signal", "thread"])
def test_hangs_are_ordinary_failures_with_and_without_xdist(session, workers, method):
    text = session(
        HANGING
        + """
@hangs
def test_controlled(explore): explore(computes)
@hangs
def test_free(): vmsmp.run(operates, time_s=600)
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


@pytest.mark.ci
def test_a_hang_in_a_fixture_is_reported_if_the_timer_covers_fixtures(session):
    session.pytester.makeini("[pytest]\ntimeout = 1\ntimeout_func_only = false\n")
    text = session(HANGING + WARMED.format(time_s=600))
    assert 1 == session.rc
    assert "hang: operates has not come" in text


@pytest.mark.ci
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


@pytest.mark.ci
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


@pytest.mark.ci
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


@pytest.mark.ci
def test_no_thread_of_a_hung_machine_is_left_if_it_computes(session):
    session(
        HANGING
        + """
import threading

@hangs
def test_controlled(explore): explore(computes)
@hangs
def test_free(): vmsmp.run(computes, time_s=600)
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
    [
        pytest.param("def test_it(explore): explore(counted, schedules=1)", id="fixture"),
        pytest.param("def test_it(): vmsmp.run(counted)", id="package", marks=pytest.mark.ci),
    ],
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
        "@hangs\ndef test_hangs(): time.sleep(600)\ndef test_next(): pass",
        "--timeout-method",
        "signal",
    )
    assert Counts(failed=1, passed=1) == session.counts
    assert "Failed: Timeout (>1.0s) from pytest-timeout." in text
    assert "hang:" not in text


@pytest.mark.ci
def test_a_hang_outside_any_machine_is_what_pytest_timeout_makes_of_it_by_thread(session):
    text = session(
        "@hangs\ndef test_hangs(): time.sleep(600)\ndef test_next(): pass",
        "--timeout-method",
        "thread",
    )
    assert 1 == session.rc
    assert re.search(r"\++ Timeout \++", text)
    assert "def test_hangs(): time.sleep(600)" in text
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


@pytest.mark.ci
def test_programs_of_a_helper_thread_are_not_watched_but_bounded(session):
    text = session(
        """
        import threading

        @hangs
        def test_it():
            helper = threading.Thread(target=vmsmp.run, args=(operates,), daemon=True)
            helper.start()
            time.sleep(600)
        """
    )
    assert 1 == session.rc
    assert re.search(r"\++ Timeout \++", text)
