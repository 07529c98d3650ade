"""The shape of what is measured; how fast anything is, no test says."""

from __future__ import annotations

import math

import pytest

from vmsmp.campaign import measure
from vmsmp.engine.workers import WorkerPool, current_core


@pytest.fixture(scope="module")
def controlled():
    return measure.controlled_figures(0.2, rounds=1)


@pytest.fixture(scope="module")
def free():
    return measure.free_figures(0.1, rounds=1)


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


@pytest.mark.parametrize("name", ["cells", "spinlock atomic", "spinlock exact"])
@pytest.mark.parametrize("checkers", ["on", "off"])
def test_checkers_are_measured_on_and_off(controlled, name, checkers):
    assert f"{name}, random walk, checkers {checkers}" in [figure.name for figure in controlled]


def test_goals_are_ratios(controlled, free):
    assert [] == [f.name for f in controlled + free if f.goal is not None and not 0 < f.goal < 10]


def test_every_rate_is_a_number_above_zero(controlled, free):
    assert [] == [f.name for f in controlled + free if not (math.isfinite(f.rate) and f.rate > 0)]


def test_one_free_cpu_is_its_own_limit(free):
    assert ("free, exact, 1 CPU", 1.0) == (free[0].name, free[0].ratio)


def test_free_figures_are_grants_a_second(free):
    assert ["grants/s"] * 3 == [figure.unit for figure in free]


def test_free_figures_say_how_much_was_contested(free):
    assert [] == [figure.name for figure in free if "of grants contested" not in figure.note]


def test_cpus_with_a_lock_each_never_contend(free):
    assert ["0.0% of grants contested"] == [figure.note for figure in free if "disjoint" in figure.name]


def test_the_bare_loop_takes_the_steps_it_was_asked_for():
    with WorkerPool(current_core()) as pool:
        assert 0 < measure.bare_steps(pool, 500)


def test_the_bare_loop_can_be_run_again_with_the_same_pool():
    with WorkerPool(current_core()) as pool:
        assert [True, True] == [measure.bare_steps(pool, 500) > 0 for _ in range(2)]


# -- where the time goes ------------------------------------------------------------------------------


def figures(**rates):
    return [measure.Figure(name, rate, "steps/s") for name, rate in rates.items()]


def test_the_ledger_adds_up_to_a_step():
    told = measure.ledger(
        figures(**{"bare step loop, 3 CPUs": 1e6, "cells, checkers off": 5e5, "cells, checkers on": 4e5})
    )
    assert [
        "cells: 2,500 ns a step: 1,000 pick and hand-off, 1,000 point, log and operation, 500 checkers"
    ] == told


@pytest.mark.parametrize("left_out", ["bare step loop, 3 CPUs", "cells, checkers off", "cells, checkers on"])
def test_the_ledger_says_nothing_of_what_was_not_measured(left_out):
    rates = {"bare step loop, 3 CPUs": 1e6, "cells, checkers off": 5e5, "cells, checkers on": 4e5}
    del rates[left_out]
    assert [] == measure.ledger(figures(**rates))
