"""The shape of what is measured of objects; how fast anything is, no test says."""

from __future__ import annotations

import pytest

from vmsmp.campaign.measure import objects as measure_objects
from vmsmp.campaign.measure.objects import object_figures


@pytest.fixture
def figures(monkeypatch):
    """Objects of 40 and 300 pages, measured in a moment."""
    monkeypatch.setattr(measure_objects, "FEW_PAGES", 40)
    monkeypatch.setattr(measure_objects, "MOVES", 20)
    monkeypatch.setattr(measure_objects, "VISITS", 1_000)
    return object_figures(300)


def test_pages_are_inserted_removed_and_visited(figures):
    names = [f"{what} of an object of 300 pages" for what in ("insert", "remove", "scan")]
    assert names == [figure.name for figure in figures]
    assert all(figure.rate > 0 and figure.ratio > 0 for figure in figures)


def test_a_large_object_is_compared_to_a_small_one_and_may_cost_twice_as_much(figures):
    assert {("pages/s", 0.5, "to one of 40")} == {(f.unit, f.goal, f.note) for f in figures}


def test_a_million_pages_are_measured_unless_another_number_is_asked_for():
    assert (1_000_000,) == object_figures.__defaults__
