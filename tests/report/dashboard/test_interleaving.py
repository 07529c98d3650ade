"""The steps of a failure as rows of a table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from boards import found
from vmsmp.report.dashboard.interleaving import interleaving_of
from vmsmp.report.dashboard.retold import retold
from vmsmp.report.dashboard.values import failure_of


@pytest.fixture(scope="module")
def lost():
    """The README's bug with its story."""
    return retold(failure_of(found())).failure


def test_every_cpu_that_makes_a_step_has_a_column(lost):
    table = interleaving_of(lost)
    assert ("cpu0", "cpu1 io0", "cpu2 terminator") == table.cpus
    assert {0, 1, 2} == {step.column for step in table.steps}


def test_a_cpu_without_a_step_has_none(story, failure):
    told = story((0, "load a"), (2, "load b"), cpus=("cpu0", "cpu1", "cpu2"))
    table = interleaving_of(failure(story=told))
    assert (("cpu0", "cpu2"), [0, 1]) == (table.cpus, [step.column for step in table.steps])


def test_rows_say_what_the_report_says(lost):
    steps = interleaving_of(lost).steps
    report = lost.report()
    for step in steps:
        assert step.text in report
        assert step.place in report
        assert step.switch in report
    assert [*range(24)] == [step.number for step in steps]


def test_the_steps_that_the_failure_is_about_are_marked(lost):
    marked = [step.text for step in interleaving_of(lost).steps if step.matters]
    assert "sleep pip  0" in marked
    assert "start io0" not in marked


def test_of_a_long_run_what_is_left_out_is_counted(story, failure):
    many = story(*((n % 2, f"load {n}") for n in range(500)))
    steps = interleaving_of(failure(story=many)).steps
    gaps = [step.left_out for step in steps if step.left_out]
    assert 500 == sum(gaps) + sum(not step.left_out for step in steps)
    assert gaps


def test_a_failure_without_a_story_has_no_table(lost):
    with pytest.raises(AssertionError):
        interleaving_of(replace(lost, story=None))
