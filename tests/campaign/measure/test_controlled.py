"""What is measured of the controlled engine; how fast anything is, no test says."""

from __future__ import annotations

import math

import pytest

from vmsmp.campaign.measure.controlled import bare_steps, controlled_figures, controlled_steps, on_cells
from vmsmp.engine.workers import WorkerPool, current_core


@pytest.fixture(scope="module")
def controlled():
    return controlled_figures(0.2, rounds=1)


def test_a_host_without_time_measures_one_execution():
    with WorkerPool() as pool:
        assert controlled_steps(pool, on_cells, "rr", check=False, locks="atomic", seconds=0.0) > 0


def test_the_bound_comes_first_and_has_no_ratio(controlled):
    assert ("bare step loop, 3 CPUs", "the bound", None, None) == (
        *(controlled[0].name, controlled[0].note, controlled[0].ratio, controlled[0].goal),
    )


def test_every_other_figure_has_a_ratio_to_the_bound(controlled):
    assert [] == [figure.name for figure in controlled[1:] if not figure.ratio or figure.ratio <= 0]


def test_figures_under_control_have_names_of_their_own(controlled):
    assert len(controlled) == len({figure.name for figure in controlled})


def test_figures_under_control_are_steps_a_second(controlled):
    assert {"steps/s"} == {figure.unit for figure in controlled}


@pytest.mark.parametrize(
    "name", ["cells", "spinlock atomic", "spinlock exact", "page allocation", "pages", "faults"]
)
@pytest.mark.parametrize("checkers", ["on", "off"])
def test_checkers_are_measured_on_and_off(controlled, name, checkers):
    assert f"{name}, random walk, checkers {checkers}" in [figure.name for figure in controlled]


def test_a_figure_with_checkers_on_is_compared_to_the_one_without(controlled):
    notes = {f.name: f.note for f in controlled[1:]}
    compared = {name for name, note in notes.items() if note.endswith("of its speed with checkers off")}
    assert {name for name in notes if name.endswith("checkers on")} == compared


def test_goals_are_ratios(controlled):
    assert [] == [f.name for f in controlled if f.goal is not None and not 0 < f.goal < 10]


def test_every_rate_is_a_number_above_zero(controlled):
    assert [] == [f.name for f in controlled if not (math.isfinite(f.rate) and f.rate > 0)]


def test_the_bare_loop_takes_the_steps_it_was_asked_for():
    with WorkerPool(current_core()) as pool:
        assert 0 < bare_steps(pool, 500)


def test_the_bare_loop_can_be_run_again_with_the_same_pool():
    with WorkerPool(current_core()) as pool:
        assert [True, True] == [bare_steps(pool, 500) > 0 for _ in range(2)]
