"""Reach: the lines that scenarios run, at which depth."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from vmsmp.campaign import reach as subject
from vmsmp.campaign.reach import Place, reach_of, repairs_beside
from vmsmp.library import find_scenario
from vmsmp.patches.catalogue import REPAIR_BY_NAME

WAKEUP = "vmsmp.vm.vm_page.busy:vm_page_wakeup"
EXACT = "vmsmp.sync.spinlock:ExactSpinlock.acquire"
SHARED = "vmsmp.sync.spinlock:_spin_lock_shared_contested"
OTHER = "vmsmp.sync.refcount:refcount_wait"


@pytest.fixture(scope="module")
def reach():
    return reach_of([find_scenario("busy_handoff")], [WAKEUP, EXACT, OTHER])


def test_a_line_is_run_at_both_depths(reach):
    assert (Place("busy_handoff", "atomic"), Place("busy_handoff", "exact")) == reach[WAKEUP, 3]


def test_a_lock_s_line_is_run_at_its_own_depth(reach):
    places = {place for (function, _), found in reach.items() if function == EXACT for place in found}
    assert {Place("busy_handoff", "exact")} == places


def test_a_function_that_nobody_calls_is_not_reached(reach):
    assert OTHER not in {function for function, _ in reach}


def test_who_waits_is_told_which_scenario_is_looked_at():
    said = []
    reach_of([find_scenario("busy_handoff")], [WAKEUP], said.append)
    assert ["which lines busy_handoff (atomic) runs", "which lines busy_handoff (exact) runs"] == said


def test_ctrl_c_ends_the_look_at_scenarios(monkeypatch):
    monkeypatch.setattr(subject, "search", lambda *_, **__: SimpleNamespace(interrupted=True))
    with pytest.raises(KeyboardInterrupt):
        reach_of([find_scenario("busy_handoff")], [WAKEUP])


def test_a_function_that_a_repair_changes_is_looked_at_as_it_is():
    found = reach_of([find_scenario("spin_readers_and_writers")], [SHARED])
    assert {function for function, _ in found} == {SHARED}


def test_a_function_that_is_named_by_its_package_is_the_same():
    left_out = set(REPAIR_BY_NAME) - repairs_beside(["vmsmp.vm.vm_pageout.page:_launder"])
    assert {"pageout-frees-orphans"} == left_out


def test_repairs_of_other_functions_are_on():
    assert set(REPAIR_BY_NAME) - {"window-leaves-shared-clear"} == repairs_beside([SHARED])
