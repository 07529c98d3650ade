"""The fixture `machine`: the test is the program."""

import re

import pytest

from inner_session import WORKERS, Counts, replay_option

pytest_plugins = ["pytester"]
pytestmark = [pytest.mark.ci, pytest.mark.timeout(600)]  # each test starts whole sessions

COUNTER = """
runs = []

def count(machine, add):
    word = machine.atomic(0, name="word")
    for _ in range(2):
        machine.spawn(add, word)
    machine.join()
    assert word.load() == 2

def test_torn(machine):
    count(machine, lambda word: word.store(word.load() + 1))

@pytest.mark.schedules(7)
def test_whole(machine):
    runs.append(machine)
    count(machine, lambda word: word.fetchadd(1))

def test_machines_are_new():
    assert 7 <= len(set(runs)) == len(runs)
"""


def test_a_test_that_asks_for_a_machine_is_run_as_its_program_for_every_schedule(session):
    text = session(COUNTER)
    assert Counts(passed=2, failed=1) == session.counts
    assert "check: assert 1 == 2" in text
    assert re.search(
        r"^replay: pytest test_it.py::test_torn --vmsmp-replay 'v1:test_torn:", text, re.MULTILINE
    )


@WORKERS
def test_its_line_replays(session, workers):
    text = session(COUNTER, *workers)
    again = session("", *replay_option(text), "-k", "test_torn")
    assert (Counts(failed=1), replay_option(text)) == (session.counts, replay_option(again))


OTHERS = """
@pytest.fixture
def named(): return "a name"

class TestGroup:
    @pytest.mark.parametrize("n", [1, 2])
    def test_method(self, machine, named, n):
        assert "a name" == machine.cell(named).load()
        assert n in (1, 2)

@pytest.mark.schedules(2)
def test_along_one_schedule(machine, schedule):
    assert machine.choose(1) == 0

@pytest.fixture
def early(machine):
    return machine.cell(0)

def test_skips(machine): pytest.skip("not here")
def test_fails(machine): pytest.fail("not so")
@pytest.mark.xfail(raises=AttributeError)
def test_early(early): pass
@pytest.mark.expect_bug("lock-order")
def test_deadlock(machine):
    one, other = machine.spinlock("a"), machine.spinlock("b")
    def take(*locks):
        for lock in locks: lock.acquire()
        for lock in locks: lock.release()
    machine.spawn(take, one, other)
    machine.spawn(take, other, one)
    machine.join()
"""


def test_it_goes_with_classes_parameters_fixtures_and_markers(session):
    text = session(OTHERS, "-rsx")
    assert re.search(r"1 failed, 5 passed, 1 skipped, 1 xfailed", text), text
    assert "check: not so" in text
    assert "not here" in text
