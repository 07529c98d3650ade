"""The fixture `vmsmp_store`."""

import pytest

from inner_session import Counts

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(600)  # each test starts whole sessions

TESTS = """
from vmsmp.cli import main

def test_keeps(vmsmp_store, explore):
    explore(counted, schedules=5)
    result = explore(lost_update, must_pass=False)
    kept = vmsmp_store.contents()
    (new,) = kept.new
    assert ("lost_update", result.failure.signature, 1) == (new.scenario, new.text, new.times)
    assert result.failure.schedule == new.findings[0].line
    assert {"counted": 5, "lost_update": result.executions} == {r.scenario: r.executions for r in kept.rows}

def test_does_not_ask(explore): explore(counted, schedules=3)

@pytest.mark.free_mode
def test_freely(vmsmp_store, explore):
    before = len(vmsmp_store.contents().rows)
    explore(counted, schedules=2)
    assert 1 + before == len(vmsmp_store.contents().rows)
    assert "free" == vmsmp_store.contents().rows[0].engine

def test_is_a_store(vmsmp_store, capsys):
    assert 1 == main(["report", "--store", str(vmsmp_store.path)])
    assert "both increments are counted" in capsys.readouterr().out
"""


def test_a_session_s_store_keeps_the_searches_of_the_tests_that_ask_for_it(session):
    session(TESTS)
    assert Counts(passed=4) == session.counts
