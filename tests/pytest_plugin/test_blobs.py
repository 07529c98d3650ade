"""Failures that hypothesis found are reproduced by one command."""

import re

import pytest

from inner_session import Counts
from vmsmp.pytest_plugin.blobs import decorators

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(600)  # each test starts whole sessions

TESTS = """
from hypothesis import strategies as st
from vmsmp.hypothesis_support import ConcurrentStateMachine, at_end, concurrent_test, operation

class Counter(ConcurrentStateMachine):
    max_ops, max_preemptions = 2, 1
    def setup(self): self.word, self.sum = self.m.cell(0), self.m.atomic(0)
    @operation(st.integers(1, 3))
    def add(self, n):
        self.word.store(self.word.load() + n)
        self.sum.fetchadd(n)
    @at_end
    def all_count(self): assert self.word.load() == self.sum.load()

test_counter = concurrent_test(Counter, max_examples=500, derandomize=True, database=None)
def test_other(): pass
"""


@pytest.mark.ci
def test_a_blob_is_reproduced_by_the_command_that_is_printed_and_by_the_junit_file_s(session):
    text = session(TESTS, "--junitxml", "junit.xml")
    assert Counts(failed=1, passed=1) == session.counts
    (line,) = re.findall(r"replay: vmsmp replay '(\S+)' 'test_it.py::Counter\(", text)
    again = re.search(
        r"^again: (pytest test_it.py::test_counter --vmsmp-replay \"(.*)\")$", text, re.MULTILINE
    )
    assert again[1] == session.properties("junit.xml")["test_counter"]["vmsmp.reproduce"]
    reproduced = session("", "test_it.py::test_counter", "--vmsmp-replay", again[2])
    assert Counts(failed=1) == session.counts
    assert line in reproduced


def failure(*notes):
    error = ValueError("it fails")
    for note in notes:
        error.add_note(note)
    return error


BLOB = "reproduce_failure('6.155.7', b'AXic+/=')"


def test_the_decorators_of_a_failure_are_found_in_its_notes_and_in_those_within_it():
    told = f"You can reproduce this by adding @{BLOB} as a decorator"
    other = BLOB.replace("+", "-").replace("-", "x")
    group = ExceptionGroup("two", [failure("Draw 1: 3", told), failure(told.replace(BLOB, other))])
    assert ([BLOB], [BLOB, other], []) == (decorators(failure(told)), decorators(group), decorators(None))


def test_a_failure_that_hypothesis_says_nothing_of_has_none():
    assert [] == decorators(failure("Draw 1: reproduce_failure"))
