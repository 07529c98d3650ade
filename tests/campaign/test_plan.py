"""The plan of a campaign: everything in the first round, then more of what shows new traces."""

from __future__ import annotations

from collections import Counter
from itertools import islice, pairwise

import pytest

from vmsmp.campaign.batch import Report
from vmsmp.campaign.plan import FREE_GLANCE, GLANCE, MOST, MOST_EXTRA, STRETCH, Plan
from vmsmp.campaign.way import WAYS, Scarcity
from vmsmp.library import find_scenario

REPAIR = "undo-grant-clears-shared"
WAY = WAYS[0]


def scenarios(names):
    """Scenarios of these names that do nothing."""

    def made(name):
        def program(m):
            pass

        program.__name__ = name
        return program

    return [made(name) for name in names]


def plan(names, seed=0, **more):
    return Plan(scenarios(names), seed, **more)


def rounds(plan, count, learn=lambda batch: None):
    """The batches of so many rounds; `learn` is called for each as it is planned."""
    found = [[] for _ in range(count)]
    for phase in plan.phases():
        for batch in phase.batches:
            if batch.turn == count:
                return found
            found[batch.turn].append(batch)
            learn(batch)
    return found


def first_round(names, **more):
    return rounds(plan(names, **more), 1)[0]


# -- the first round ------------------------------------------------------------------------------


def test_the_first_round_goes_every_way_with_every_scenario_once():
    found = [(batch.scenario, batch.way) for batch in first_round("ab")]
    assert sorted(found, key=str) == sorted(((name, way) for name in "ab" for way in WAYS), key=str)


def test_the_plan_says_how_many_batches_the_first_round_has():
    assert plan("abc").first_round == len(first_round("abc"))


NAMES = [f"s{n:03}" for n in range(2 * STRETCH)]


@pytest.fixture(scope="module")
def lap():
    """The first batches of a campaign, one for each of its many scenarios."""
    return first_round(NAMES)[: len(NAMES)]


def test_the_first_batches_are_one_of_every_scenario(lap):
    assert NAMES == sorted(batch.scenario for batch in lap)


def test_the_first_batches_go_every_way_equally_often(lap):
    assert {way: len(NAMES) // len(WAYS) for way in WAYS} == Counter(batch.way for batch in lap)


def test_in_each_lap_a_scenario_goes_another_way():
    found = first_round(NAMES)
    laps = [found[n : n + len(NAMES)] for n in range(0, len(found), len(NAMES))]
    for one, other in pairwise({batch.scenario: batch.way for batch in lap} for lap in laps):
        assert [] == [name for name in NAMES if one[name] == other[name]]


def test_both_engines_have_their_turn_soon(lap):
    free = [way.engine == "free" for way in WAYS]
    for n in range(0, len(lap), STRETCH):
        stretch = [batch.free for batch in lap[n : n + STRETCH]]
        assert free.count(True) * STRETCH == stretch.count(True) * len(free)


def test_another_seed_begins_with_other_ways():
    assert 1 < len({first_round("a", seed=seed)[0].way for seed in range(0, 10_000, 1_000)})


def test_the_first_round_is_a_glance():
    assert {(False, GLANCE), (True, FREE_GLANCE)} == {
        (batch.free, batch.schedules) for batch in first_round("ab")
    }


def test_a_phase_is_of_one_engine():
    for phase in islice(plan("ab").phases(), 6):
        assert {phase.free} == {batch.free for batch in phase.batches}


def test_a_round_ends_with_its_last_phase():
    for phase, after in islice(pairwise(plan(NAMES).phases()), 200):
        assert phase.last == (after.batches[0].turn > phase.batches[0].turn)


def test_a_plan_ends_with_its_last_phase():
    *others, last = plan(NAMES, schedules=3_000).phases()
    assert (True, []) == (last.last, [phase for phase in others if phase.last])


def test_every_batch_has_the_mutants_and_the_repairs():
    batches = first_round("ab", mutants=("SP-05",), repairs=(REPAIR,))
    assert {frozenset({"SP-05"})} == {batch.options.mutants for batch in batches}
    assert [] == [batch for batch in batches if REPAIR not in batch.options.repairs]


def test_a_batch_has_the_depth_of_its_way():
    assert [] == [batch for batch in first_round("ab") if batch.options.locks != batch.way.locks]


def test_a_batch_ends_sleeps_as_its_scenario_says():
    made = scenarios("a")
    made[0].timeouts = "any"
    assert {"any"} == {batch.options.timeouts for batch in rounds(Plan(made, 0), 1)[0]}


# -- the next ones --------------------------------------------------------------------------------


def test_no_two_batches_of_a_strand_have_the_same_seed():
    batches = [batch for turn in rounds(plan("ab", 5), 4) for batch in turn]
    assert len(batches) == len({(batch.scenario, batch.way, batch.seed) for batch in batches})
    assert 5 == min(batch.seed for batch in batches)


def test_no_strand_is_left_out_of_a_round():
    for turn in rounds(plan("ab", fresh=lambda _: {("a", str(WAY)): 100}), 3):
        assert {(name, way) for name in "ab" for way in WAYS} == {(b.scenario, b.way) for b in turn}


def test_what_showed_new_traces_gets_more():
    fresh = {("a", str(WAY)): 3, ("b", str(WAY)): 1}
    second = rounds(plan("ab", fresh=lambda _: fresh), 2)[1]
    counts = [sum((b.scenario, b.way) == (name, WAY) for b in second) for name in "ab"]
    assert [1 + MOST_EXTRA, 1 + len(WAYS) * 2 // 4] == counts


def test_the_plan_asks_for_the_traces_of_the_round_before():
    asked = []
    rounds(plan("a", fresh=lambda turn: asked.append(turn) or {}), 3)
    assert [0, 1, 2] == asked


@pytest.mark.parametrize(
    ("operations", "schedules"), [(10**9, GLANCE), (8 * 1_000, 64), (8, MOST), (8 * 700, 128)]
)
def test_a_batch_has_as_many_schedules_as_make_it_as_long_as_others(operations, schedules):
    made = plan("a")

    def learn(batch):
        made.learn(Report(batch, 8, operations))

    second = rounds(made, 2, learn)[1]
    assert {schedules} == {batch.schedules for batch in second if not batch.free}


def test_what_the_first_round_could_not_run_has_glances():
    second = rounds(plan("a"), 2)[1]
    assert {GLANCE} == {batch.schedules for batch in second if not batch.free}


def test_only_the_first_round_decides_about_sizes():
    made = plan("a")
    later = rounds(made, 3, lambda batch: made.learn(Report(batch, 8, 8_000 if not batch.turn else 8)))
    assert {64} == {batch.schedules for batch in later[2] if not batch.free}


def test_two_plans_that_learn_the_same_are_the_same():
    def made():
        one = plan("ab", fresh=lambda turn: {("b", str(WAY)): turn})
        return rounds(one, 4, lambda batch: one.learn(Report(batch, 8, 10 * len(str(batch)))))

    assert made() == made()


# -- so many schedules ----------------------------------------------------------------------------


@pytest.mark.parametrize("schedules", [1, 8, 9, 500])
def test_a_plan_of_so_many_schedules_has_exactly_these(schedules):
    batches = [batch for phase in plan("ab", schedules=schedules).phases() for batch in phase.batches]
    assert schedules == sum(batch.schedules for batch in batches if not batch.free)


def test_a_plan_of_so_many_schedules_has_its_share_of_the_free_engine():
    batches = [batch for phase in plan(NAMES, schedules=8 * 50).phases() for batch in phase.batches]
    free = sum(way.engine == "free" for way in WAYS)
    assert abs(50 * free // (len(WAYS) - free) - sum(batch.free for batch in batches)) <= free


# -- scarce memory --------------------------------------------------------------------------------


def swept(scarcity, name="page_storm", turns=5):
    return rounds(Plan([find_scenario(name)], 0, scarcity=scarcity), turns)


def test_each_round_has_its_number_of_free_pages():
    assert [{0}, {1}, {2}, {4}, {0}] == [{b.options.pages for b in turn} for turn in swept(Scarcity(4))]


def test_a_scenario_has_as_many_pages_as_it_needs():
    found = [turn[0].options.pages for turn in swept(Scarcity(4), "object_comes_and_goes")]
    assert [2, 2, 2, 4, 2] == found


def test_every_batch_is_pressed():
    found = {(b.options.pages, b.options.pressure) for b in swept(Scarcity(pressure=True), turns=1)[0]}
    assert {(None, True)} == found
