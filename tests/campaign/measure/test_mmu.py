"""The shape of what is measured of memory-management units; how fast anything is, no test says."""

from __future__ import annotations

import math

import pytest

from vmsmp.campaign.measure import mmu as measure_mmu
from vmsmp.campaign.measure.mmu import mmu_figures


@pytest.fixture
def figures(monkeypatch):
    monkeypatch.setattr(measure_mmu, "ACCESSES", 20)
    return mmu_figures(500, 3)


def test_a_machine_is_measured_by_its_boot_its_memory_and_its_accesses(figures):
    assert [
        ("boot of 500 frames and 4 CPUs", "frames/s"),
        ("memory of 500 frames and 4 CPUs", "bytes/frame"),
        ("loads that hit the TLB", "loads/s"),
        ("loads that walk", "loads/s"),
    ] == [(figure.name, figure.unit) for figure in figures]


def test_a_walk_costs_more_than_a_hit(figures):
    assert [None, None, None] == [figure.ratio for figure in figures[:3]]
    assert 0 < figures[3].ratio < 1  # seven operations and more to one


def test_what_is_measured_are_numbers(figures):
    assert [] == [figure.name for figure in figures if not (math.isfinite(figure.rate) and figure.rate >= 0)]


def test_the_largest_machine_has_64_cpus(monkeypatch):
    monkeypatch.setattr(measure_mmu, "ACCESSES", 1)
    assert "boot of 1,000,000 frames and 64 CPUs" == mmu_figures()[0].name
