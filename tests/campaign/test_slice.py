"""How a campaign is cut into slices, and what a slice does."""

from __future__ import annotations

from itertools import islice

import pytest

import vmsmp
from vmsmp.campaign.slice import LONGEST_S, SHORTEST_S, WAYS, Slice, Way, pieces, work
from vmsmp.engine.options import Options
from vmsmp.engine.schedule import Schedule
from vmsmp.library import find_scenario
from vmsmp.patches.catalogue import REPAIR_BY_NAME

EXACT = Way("controlled", "exact")
FREE = Way("free", "exact")
REPAIR = "undo-grant-clears-shared"


def scenarios(names):
    """Scenarios of these names that do nothing."""

    def made(name):
        def program(m):
            pass

        program.__name__ = name
        return program

    return [made(name) for name in names]


def first_round(names, budget_s=60.0, **more):
    return list(islice(pieces(scenarios(names), budget_s, 0, **more), len(names) * len(WAYS)))


def slice_of(name, way, seconds, *mutants):
    return Slice(name, way, 0, seconds, way.options_for(find_scenario(name), (), mutants))


# -- slices ---------------------------------------------------------------------------------------


def test_the_first_round_goes_every_way_with_every_scenario():
    assert {(name, way) for name in "ab" for way in WAYS} == {(p.scenario, p.way) for p in first_round("ab")}


def test_the_first_round_does_nothing_twice():
    assert 2 * len(WAYS) == len({(p.scenario, p.way) for p in first_round("ab")})


def test_the_first_slices_are_one_of_every_scenario():
    assert ["a", "b", "c"] == [piece.scenario for piece in first_round("abc")[:3]]


def test_the_next_round_has_another_seed():
    seeds = [piece.seed for piece in islice(pieces(scenarios("a"), 60.0, 5), 3 * len(WAYS))]
    assert [5] * len(WAYS) + [6] * len(WAYS) + [7] * len(WAYS) == seeds


def test_the_first_round_fits_the_budget():
    assert 30.0 >= sum(piece.seconds for piece in first_round("abc", 30.0))


def test_the_first_round_uses_most_of_the_budget():
    assert 25.0 <= sum(piece.seconds for piece in first_round("abc", 30.0))


def test_no_slice_is_shorter_than_the_shortest():
    assert {SHORTEST_S} == {piece.seconds for piece in first_round("abc", 0.1)}


def test_no_slice_is_longer_than_the_longest():
    assert {LONGEST_S} == {piece.seconds for piece in first_round("abc", 10_000.0)}


def test_every_slice_has_the_mutants():
    assert {frozenset({"SP-05"})} == {
        piece.options.mutants for piece in first_round("ab", mutants=("SP-05",))
    }


def test_every_slice_has_the_repairs():
    assert [] == [
        piece for piece in first_round("ab", repairs=(REPAIR,)) if REPAIR not in piece.options.repairs
    ]


def test_a_slice_has_the_depth_of_its_way():
    assert [] == [piece for piece in first_round("ab") if piece.options.locks != piece.way.locks]


def test_a_slice_ends_sleeps_as_its_scenario_says():
    scenario = scenarios("a")[0]
    scenario.timeouts = "any"
    assert {"any"} == {piece.options.timeouts for piece in islice(pieces([scenario], 60.0, 0), len(WAYS))}


def test_both_engines_go_at_both_depths():
    assert {("controlled", "exact"), ("controlled", "atomic"), ("free", "exact"), ("free", "atomic")} == {
        (way.engine, way.locks) for way in WAYS
    }


def test_every_engine_and_depth_is_taken_as_the_kernel_is_and_repaired():
    assert {(way.engine, way.locks, way.repaired) for way in WAYS} == {
        (engine, locks, repaired)
        for engine in ("controlled", "free")
        for locks in ("exact", "atomic")
        for repaired in (False, True)
    }


def test_ways_have_words_of_their_own():
    assert len(WAYS) == len({str(way) for way in WAYS})


@pytest.mark.parametrize(
    ("way", "words"),
    [
        (Way("free", "exact"), "free exact"),
        (Way("free", "exact", repaired=True), "free exact repaired"),
        (Way("controlled", "atomic"), "portfolio atomic"),
        (
            Way("controlled", "exact", "random", injected=True, repaired=True),
            "random exact injected repaired",
        ),
    ],
)
def test_a_way_says_what_it_is(way, words):
    assert words == str(way)


# -- a slice --------------------------------------------------------------------------------------


def test_a_slice_under_control_counts_schedules_and_steps():
    done = work(slice_of("spin_upgrade", EXACT, 0.05))
    assert (True, ()) == (0 < done.executions < done.operations, done.failures)


def test_a_free_slice_counts_rounds_and_operations():
    done = work(slice_of("spin_upgrade", FREE, 0.05))
    assert (True, ()) == (0 < done.executions < done.operations, done.failures)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_slice_runs_clean_every_way(way):
    done = work(slice_of("last_readers_leave", way, 0.05))
    assert ("", ()) == (done.error, done.failures)


def test_a_failure_of_a_slice_is_as_short_as_can_be():
    done = work(slice_of("spin_writers_queue", Way("controlled", "exact", "random"), 0.2, "SP-05"))
    line = Schedule.parse(done.failures[0].schedule)
    assert len(line) == len(vmsmp.minimize(find_scenario("spin_writers_queue"), line))


def test_a_failure_of_a_slice_is_counted_as_often_as_it_came():
    done = work(slice_of("spin_writers_queue", Way("controlled", "exact", "random"), 0.2, "SP-05"))
    assert {one.signature for one in done.failures} == set(done.counts)


def test_a_failure_s_line_names_the_mutant():
    done = work(slice_of("spin_writers_queue", EXACT, 0.2, "SP-05"))
    assert frozenset({"SP-05"}) == Schedule.parse(done.failures[0].schedule).options.mutants


def test_a_repaired_way_has_every_repair_on():
    way = Way("controlled", "exact", "random", injected=True, repaired=True)
    piece = slice_of("spin_writers_queue", way, 0.2, "SP-05")
    line = Schedule.parse(work(piece).failures[0].schedule)
    assert frozenset(REPAIR_BY_NAME) == piece.options.repairs == line.options.repairs


def test_an_injected_way_ends_sleeps_at_any_moment():
    way = Way("controlled", "exact", "random", injected=True, repaired=True)
    options = Schedule.parse(
        work(slice_of("spin_writers_queue", way, 0.2, "SP-05")).failures[0].schedule
    ).options
    assert ("any", True) == (options.timeouts, options.spurious)


@pytest.mark.parametrize("way", [EXACT, FREE], ids=str)
def test_what_cannot_be_is_an_error_of_the_slice(way):
    piece = Slice("spin_upgrade", way, 0, 0.05, Options(mutants=frozenset({"XX-99"})))
    assert "UsageError: unknown mutant 'XX-99'" in work(piece).error
