"""`vmsmp bench`: the shape of its output; what it measures is in tests/campaign/test_measure.py."""

from __future__ import annotations

import pytest

from vmsmp.campaign.measure import Figure

FIGURES = [
    Figure("bare step loop, 3 CPUs", 200_000.0, "steps/s", note="the bound"),
    Figure("cells", 150_000.0, "steps/s", 0.75, 0.5),
    Figure("slow cells", 20_000.0, "steps/s", 0.1, 0.25),
    Figure("no goal", 20_000.0, "steps/s", 0.1),
]
FREE = [Figure("free, exact, 2 CPUs, disjoint spinlocks", 20_000.0, "grants/s", 0.98, 1.5, "0.0% contested")]


@pytest.fixture
def asked(monkeypatch):
    """The seconds that the two kinds of measurement were given; they return at once."""
    seconds = []

    def controlled(s):
        seconds.append(s)
        return FIGURES

    def free(s):
        seconds.append(s)
        return FREE

    monkeypatch.setattr("vmsmp.cli.bench.controlled_figures", controlled)
    monkeypatch.setattr("vmsmp.cli.bench.free_figures", free)
    return seconds


def row(out, name):
    return next(line for line in out.splitlines() if line.startswith(name))


def test_a_measurement_is_clean(vmsmp, asked):
    assert (0, "") == (vmsmp("bench").code, vmsmp("bench").err)


def test_the_time_is_shared_by_the_engines(vmsmp, asked):
    vmsmp("bench", "--seconds", "3")
    assert [1.5, 1.5] == asked


def test_a_goal_that_was_met_says_so(vmsmp, asked):
    assert ">= 0.5 met" in row(vmsmp("bench").out, "cells")


def test_a_goal_that_was_missed_says_so(vmsmp, asked):
    assert ">= 0.25 MISSED" in row(vmsmp("bench").out, "slow cells")


def test_a_figure_without_a_goal_claims_none(vmsmp, asked):
    assert ">=" not in row(vmsmp("bench").out, "no goal")


def test_a_rate_is_shown_with_its_unit(vmsmp, asked):
    assert "200,000 steps/s" in row(vmsmp("bench").out, "bare step loop")


def test_the_goal_of_the_free_engine_is_not_judged_under_the_gil(vmsmp, asked, monkeypatch):
    monkeypatch.setattr("sys._is_gil_enabled", lambda: True, raising=False)
    assert ">= 1.5 without the GIL" in row(vmsmp("bench").out, "free, exact")


def test_the_goal_of_the_free_engine_is_judged_without_the_gil(vmsmp, asked, monkeypatch):
    monkeypatch.setattr("sys._is_gil_enabled", lambda: False, raising=False)
    assert ">= 1.5 MISSED" in row(vmsmp("bench").out, "free, exact")


def test_the_json_of_a_measurement_has_its_keys(vmsmp, asked):
    assert {"python", "gil", "figures"} == set(vmsmp("bench", "--json").json)


def test_the_json_of_a_figure_has_its_keys(vmsmp, asked):
    assert {("goal", "name", "note", "rate", "ratio", "unit")} == {
        tuple(sorted(figure)) for figure in vmsmp("bench", "--json").json["figures"]
    }
