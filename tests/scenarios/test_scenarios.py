"""The scenarios themselves: clean under control, at both depths, with any number of CPUs."""

from __future__ import annotations

import pytest

import vmsmp
from library_runs import EVERY, EXACT_FIRST, alone, by_name, repairs_for
from vmsmp.campaign.options import options_for
from vmsmp.engine.schedule import Schedule
from vmsmp.library import all_scenarios, fewest_pages
from vmsmp.patches.catalogue import REPAIR_BY_NAME

DEPTHS = ("exact", "atomic")
#: The same, where the gate has time for both.
EXACT_ALWAYS = ("exact", pytest.param("atomic", marks=pytest.mark.ci))


#: Tags of scenarios whose executions are long.
LONG = {"map", "object", "contig", "textbook", "mmu", "stats"}


def long_later(scenarios):
    """The scenarios as parameters; those whose executions are long are left to the gate."""
    return [pytest.param(s, marks=pytest.mark.ci if s.tags & LONG else (), id=s.__name__) for s in scenarios]


def fewer(scenario, schedules):
    """How many schedules: some executions are long, others all alike, and the gate has minutes."""
    if alone(scenario):
        return max(1, schedules // 8)
    return schedules // 4 if scenario.tags & LONG else schedules


@pytest.fixture
def nightly(request):
    """How many times as much is run in the night."""
    return 10 if request.config.getoption("--vmsmp-profile") == "nightly" else 1


def search(scenario, sched, locks, schedules, cpus=None, timeouts=None, *, spurious=None, rounds=None):
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
        max_steps=50_000,
    )
    return result.executions, {failure.signature: failure.schedule for failure in result.failures}


@pytest.mark.parametrize(
    "scenario", [s for s in all_scenarios().values() if s.fixed], ids=lambda s: s.__name__
)
def test_a_scenario_with_roles_refuses_another_number_of_cpus(scenario):
    with pytest.raises(vmsmp.UsageError, match="runs on"):
        vmsmp.explore(scenario, cpus=scenario.cpus + 1)


@pytest.mark.parametrize("locks", EXACT_ALWAYS)
@pytest.mark.parametrize("scenario", EVERY, ids=by_name)
def test_a_scenario_is_clean_under_control(scenario, locks):
    schedules = fewer(scenario, 8)
    assert (schedules, {}) == search(scenario, "portfolio", locks, schedules)


@pytest.mark.nightly
@pytest.mark.parametrize("locks", DEPTHS)
@pytest.mark.parametrize("sched", ["random", "portfolio"])
@pytest.mark.parametrize("scenario", EVERY, ids=by_name)
def test_a_scenario_is_clean_in_many_schedules(scenario, sched, locks, nightly):
    schedules = fewer(scenario, 60) * nightly
    assert (schedules, {}) == search(scenario, sched, locks, schedules)


#: Those whose story is the time at which things happen have tag "clock".
TIMELESS = [s for s in EVERY if "clock" not in s.tags]


@pytest.mark.ci
@pytest.mark.parametrize("locks", EXACT_FIRST)
@pytest.mark.parametrize("scenario", TIMELESS, ids=by_name)
def test_a_scenario_is_clean_with_sleeps_that_end_at_any_moment(scenario, locks, nightly):
    schedules = fewer(scenario, 20) * nightly
    found = search(scenario, "random", locks, schedules, timeouts="any", spurious=True)
    assert (schedules, {}) == found


def racing(scenario, locks, schedules):
    """The data races of a search, and what they come to, each with its line."""
    result = vmsmp.explore(
        scenario,
        sched="random",
        schedules=schedules,
        locks=locks,
        races=True,
        repairs=REPAIR_BY_NAME,
        stop="never",
        max_steps=20_000,
    )
    return result.executions, {failure.signature: failure.schedule for failure in result.failures}


#: One CPU races with nobody.
TOGETHER = [s for s in all_scenarios().values() if not alone(s)]


@pytest.mark.parametrize("locks", EXACT_FIRST)
@pytest.mark.parametrize("scenario", long_later(TOGETHER))
def test_a_scenario_has_no_data_race(scenario, locks):
    schedules = max(1, fewer(scenario, 2))
    assert (schedules, {}) == racing(scenario, locks, schedules)


@pytest.mark.nightly
@pytest.mark.parametrize("locks", DEPTHS)
@pytest.mark.parametrize("scenario", TOGETHER, ids=by_name)
def test_a_scenario_has_no_data_race_in_many_schedules(scenario, locks, nightly):
    schedules = fewer(scenario, 40) * nightly
    assert (schedules, {}) == racing(scenario, locks, schedules)


@pytest.mark.ci
@pytest.mark.parametrize("cpus", [*(pytest.param(n, marks=pytest.mark.nightly) for n in (1, 2, 4)), 8])
@pytest.mark.parametrize("scenario", [s for s in EVERY if not s.fixed], ids=by_name)
def test_a_scenario_is_clean_with_another_number_of_cpus(scenario, cpus, nightly):
    schedules = fewer(scenario, 4) * nightly
    found = [search(scenario, "random", locks, schedules, cpus) for locks in DEPTHS]
    assert [(schedules, {}), (schedules, {})] == found


@pytest.mark.ci
@pytest.mark.parametrize("scenario", EVERY, ids=by_name)
def test_a_scenario_is_clean_whose_loops_turn_once(scenario):
    schedules = fewer(scenario, 4)
    found = [search(scenario, "random", locks, schedules, rounds=1) for locks in DEPTHS]
    assert [(schedules, {}), (schedules, {})] == found


SCARCE = [s for s in EVERY if fewest_pages(s) is not None]


@pytest.mark.ci
@pytest.mark.parametrize("more", [0, pytest.param(2, marks=pytest.mark.nightly)])
@pytest.mark.parametrize(
    "pressure", [pytest.param(False, marks=pytest.mark.nightly), True], ids=["alone", "pressed"]
)
@pytest.mark.parametrize("scenario", SCARCE, ids=by_name)
def test_a_scenario_is_clean_where_memory_is_scarce(scenario, pressure, more, nightly):
    schedules = 6 * nightly
    result = vmsmp.explore(
        scenario,
        schedules=schedules,
        pages=fewest_pages(scenario) + more,
        pressure=pressure,
        repairs=REPAIR_BY_NAME,
        stop="never",
        max_steps=50_000,
    )
    assert {} == {failure.signature: failure.schedule for failure in result.failures}
    assert schedules == result.executions


@pytest.mark.ci
@pytest.mark.parametrize("scenario", SCARCE, ids=by_name)
def test_a_scenario_s_line_under_pressure_gives_the_same_run_every_time(scenario):
    line = f"v1:{scenario.__name__}+pages={fewest_pages(scenario) + 1}+pressure:5:"
    one, other = (vmsmp.replay(scenario, line) for _ in range(2))
    assert (one.digest, one.steps) == (other.digest, other.steps)
    assert "pressure" in one.story.cpus[1]


@pytest.mark.parametrize("locks", EXACT_FIRST)
@pytest.mark.parametrize("scenario", long_later(EVERY))
def test_checkers_do_not_change_a_scenario_s_run(scenario, locks):
    options = options_for(scenario, locks=locks, repairs=repairs_for(scenario))
    line = str(Schedule(scenario.__name__, 7, (), options))
    checked, bare = (vmsmp.replay(scenario, line, check=on).digest for on in (True, False))
    assert checked == bare


@pytest.mark.parametrize("scenario", long_later(EVERY))
def test_a_scenario_spawns_as_many_cpus_as_it_declares(scenario):
    story = vmsmp.replay(scenario, f"v1:{scenario.__name__}+exact:0:").story
    assert scenario.cpus + 1 == len(story.cpus)
