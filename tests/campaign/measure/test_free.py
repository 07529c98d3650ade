"""What is measured of the free engine; how fast anything is, no test says."""

from __future__ import annotations

import math

import pytest

from vmsmp.campaign.measure.free import free_figures


@pytest.fixture(scope="module")
def free():
    return free_figures(0.1, rounds=1)


def test_a_host_without_time_is_given_more():
    assert free_figures(0.0, rounds=1, shortest=0.001)[0].ratio


def test_goals_are_ratios(free):
    assert [] == [f.name for f in free if f.goal is not None and not 0 < f.goal < 10]


def test_every_rate_is_a_number_above_zero(free):
    assert [] == [f.name for f in free if not (math.isfinite(f.rate) and f.rate > 0)]


def test_one_free_cpu_is_its_own_limit(free):
    assert ("free, exact, 1 CPU", 1.0) == (free[0].name, free[0].ratio)


def test_free_figures_are_grants_a_second(free):
    assert ["grants/s"] * 3 == [figure.unit for figure in free]


def test_free_figures_say_how_much_was_contested(free):
    assert [] == [figure.name for figure in free if "of grants contested" not in figure.note]


def test_cpus_with_a_lock_each_never_contend(free):
    assert ["0.0% of grants contested"] == [figure.note for figure in free if "disjoint" in figure.name]
