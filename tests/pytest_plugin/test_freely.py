"""The free engine in tests: by marker, and for a whole session."""

import os
import sysconfig

import pytest

from inner_session import Counts
from vmsmp.pytest_plugin.settings import free_workers

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(600)  # each test starts whole sessions

TESTS = """
def wrong(m):
    m.spawn(lambda: m.check(False, "never"))
    m.join()

{mark}
def test_passes(explore):
    result = explore(counted, schedules=3)
    assert ("free", 3) == (result.scheduler, result.executions)

{mark}
def test_fails(explore): explore(wrong)

{mark}
@pytest.mark.expect_bug("check")
def test_expects(machine): machine.check(False, "never")
"""


def check(session, text):
    assert Counts(passed=2, failed=1) == session.counts
    assert "check: never" in text
    assert "\nagain: pytest test_it.py::test_fails --vmsmp-mode free --vmsmp-seed 0x0\n" in text
    kept = session.properties("junit.xml")["test_fails"]
    assert ("free", "check: never") == (kept["vmsmp.sched"], kept["vmsmp.signature"])
    assert not {"vmsmp.schedule", "vmsmp.replay"} & set(kept)


def test_a_marker_has_a_test_run_in_the_free_engine(session):
    check(session, session(TESTS.format(mark="@pytest.mark.free_mode"), "--junitxml", "junit.xml"))


@pytest.mark.ci
def test_a_session_may_run_in_the_free_engine(session):
    text = session(TESTS.format(mark=""), "--junitxml", "junit.xml", "--vmsmp-mode", "free", "-n", "auto")
    check(session, text)
    assert "sched portfolio, free engine" in text
    assert f"{free_workers()} worker" in text


def test_what_cannot_be_run_fails_the_test_in_one_line(session):
    text = session("@pytest.mark.free_mode\ndef test_it(explore): explore(counted, locks='x')")
    assert Counts(failed=1) == session.counts
    assert "ValueError: " in text


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python has its GIL always")
def test_a_free_threaded_python_with_its_gil_on_is_no_place_for_free_runs(session):
    session.monkeypatch.setitem(os.environ, "PYTHON_GIL", "1")
    text = session("@pytest.mark.free_mode\ndef test_it(explore): explore(counted)")
    assert Counts(failed=1) == session.counts
    assert "this free-threaded Python runs with the GIL on" in text
