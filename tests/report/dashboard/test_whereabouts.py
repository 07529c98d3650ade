"""Where in the source tree a bug is."""

from __future__ import annotations

import pytest

from vmsmp.engine.source import Place
from vmsmp.report.dashboard.whereabouts import Spot, spot_of, spot_of_failure


@pytest.mark.parametrize(
    ("file", "shown"),
    [
        ("sync/refcount.py", "vmsmp/sync/refcount.py"),
        ("scenarios/sync/sleeping.py", "scenarios/sync/sleeping.py"),
        ("mine/program.py", "mine/program.py"),
    ],
)
def test_a_place_is_told_from_the_top_of_the_tree(file, shown):
    assert Spot(shown, 7) == spot_of(Place(file, 7, "f"))


def test_a_mutated_function_is_in_no_file():
    assert spot_of(Place("<mutant of f>", 7, "f")) is None


def test_a_place_without_a_line_is_none():
    assert spot_of(Place("sync/refcount.py", 0, "f")) is None


def test_a_failure_is_at_the_last_step_of_its_cpu(story, failure):
    told = story((0, "load a"), (1, "load b"), (1, "load c"), (0, "load d"))
    assert Spot("program.py", 2) == spot_of_failure(failure(story=told, cpu=1))


def test_a_failure_without_a_story_is_where_its_scenario_begins(failure):
    spot = spot_of_failure(failure(program="refcount_drains"))
    assert "scenarios/sync/sleeping.py" == spot.file


def test_a_failure_of_an_unknown_program_is_nowhere(failure):
    assert spot_of_failure(failure(program="mine")) is None
