"""The shape of what is measured of maps; how fast anything is, no test says."""

from __future__ import annotations

import pytest

from vmsmp.campaign.measure import maps as measure_maps
from vmsmp.campaign.measure.maps import map_figures


@pytest.fixture
def figures(monkeypatch):
    """Maps of 40 and 300 entries, measured in a moment."""
    monkeypatch.setattr(measure_maps, "FEW_ENTRIES", 40)
    monkeypatch.setattr(measure_maps, "LOOKS", 40)
    monkeypatch.setattr(measure_maps, "CHANGES", 5)
    return map_figures(300)


def test_addresses_are_looked_up_ranges_mapped_and_entries_cut(figures):
    names = [f"{what} in a map of 300 entries" for what in ("lookup", "insert", "clip")]
    assert names == [figure.name for figure in figures]
    assert all(figure.rate > 0 and figure.ratio > 0 for figure in figures)


def test_a_large_map_is_compared_to_a_small_one_and_may_cost_twice_as_much(figures):
    assert {("calls/s", 0.5, "to one of 40")} == {(f.unit, f.goal, f.note) for f in figures}


def test_a_hundred_thousand_entries_are_measured_unless_another_number_is_asked_for():
    assert (100_000,) == map_figures.__defaults__
