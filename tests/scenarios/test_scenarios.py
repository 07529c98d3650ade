"""The scenarios themselves: clean in every engine, at both depths, with any number of CPUs."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.campaign.free_run import free_rounds
from vmsmp.campaign.options import options_for
from vmsmp.engine.options import Options
from vmsmp.engine.schedule import Schedule
from vmsmp.library import all_scenarios
from vmsmp.patches.catalogue import REPAIR_BY_NAME

EVERY = [s for s in all_scenarios().values() if "finding" not in s.tags]
DEPTHS = ("exact", "atomic")


def repairs_for(scenario):
    """Timeouts at any moment, waits for memory and dying objects show findings of the kernel's own."""
    shows = scenario.timeouts == "any" or scenario.tags & {"wait", "object"}
    return REPAIR_BY_NAME if shows else []


def search(scenario, sched, locks, schedules=150, cpus=None, timeouts=None, *, spurious=None, rounds=None):
    """The signatures of a search, each with its line, so that a failing test shows how to replay it."""
    result = vmsmp.explore(
        scenario,
        sched=sched,
        schedules=schedules,
        locks=locks,
        cpus=cpus,
        rounds=rounds,
        timeouts=timeouts,
        spurious=spurious,
        repairs=REPAIR_BY_NAME if timeouts == "any" else repairs_for(scenario),
        stop="never",
        max_steps=20_000,
    )
    return result.executions, {failure.signature: failure.schedule for failure in result.failures}


@pytest.mark.parametrize(
    "scenario", [s for s in all_scenarios().values() if s.fixed], ids=lambda s: s.__name__
)
def test_a_scenario_with_roles_refuses_another_number_of_cpus(scenario):
    with pytest.raises(vmsmp.UsageError, match="runs on"):
        vmsmp.explore(scenario, cpus=scenario.cpus + 1)


def by_name(scenario):
    return scenario.__name__


@pytest.mark.parametrize("locks", DEPTHS)
@pytest.mark.parametrize("sched", [pytest.param("random", marks=pytest.mark.ci), "portfolio"])
@pytest.mark.parametrize("scenario", EVERY, ids=by_name)
def test_a_scenario_is_clean_under_control(scenario, sched, locks):
    assert (150, {}) == search(scenario, sched, locks)


@pytest.mark.ci
@pytest.mark.parametrize("locks", DEPTHS)
@pytest.mark.parametrize("scenario", EVERY, ids=by_name)
def test_a_scenario_is_clean_with_sleeps_that_end_at_any_moment(scenario, locks):
    assert (50, {}) == search(scenario, "random", locks, 50, timeouts="any", spurious=True)


@pytest.mark.parametrize("locks", DEPTHS)
@pytest.mark.parametrize("scenario", EVERY, ids=by_name)
def test_a_scenario_is_clean_in_the_free_engine(scenario, locks):
    options = options_for(scenario, locks=locks, repairs=repairs_for(scenario))
    rounds = free_rounds(scenario, time_s=0.15, options=options)
    assert [] == [(failure.signature, failure.history) for failure in rounds.failures]
    assert rounds.rounds > 0


@pytest.mark.ci
@pytest.mark.parametrize("cpus", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("scenario", [s for s in EVERY if not s.fixed], ids=by_name)
def test_a_scenario_is_clean_with_another_number_of_cpus(scenario, cpus):
    found = [search(scenario, "random", locks, 25, cpus) for locks in DEPTHS]
    assert [(25, {}), (25, {})] == found


@pytest.mark.parametrize("scenario", EVERY, ids=by_name)
def test_a_scenario_is_clean_whose_loops_turn_once(scenario):
    found = [search(scenario, "random", locks, 25, rounds=1) for locks in DEPTHS]
    assert [(25, {}), (25, {})] == found


@pytest.mark.parametrize("locks", DEPTHS)
@pytest.mark.parametrize("scenario", EVERY, ids=by_name)
def test_checkers_do_not_change_a_scenario_s_run(scenario, locks):
    lines = [
        str(
            Schedule(
                scenario.__name__, seed, (), options_for(scenario, locks=locks, repairs=repairs_for(scenario))
            )
        )
        for seed in (0, 1, 7)
    ]
    checked, bare = (
        [vmsmp.replay(scenario, line, check=on).digest for line in lines] for on in (True, False)
    )
    assert checked == bare


@pytest.mark.parametrize("scenario", EVERY, ids=by_name)
def test_a_scenario_s_line_gives_the_same_run_every_time(scenario):
    line = str(Schedule(scenario.__name__, 5, (), Options(locks="exact", timeouts=scenario.timeouts)))
    one, other = (vmsmp.replay(scenario, line) for _ in range(2))
    assert one.digest == other.digest
    assert one.steps == other.steps


@pytest.mark.parametrize("scenario", EVERY, ids=by_name)
def test_a_scenario_spawns_as_many_cpus_as_it_declares(scenario):
    story = vmsmp.replay(scenario, f"v1:{scenario.__name__}+exact:0:").story
    assert scenario.cpus + 1 == len(story.cpus)
