"""The ways of a campaign, and scarce memory."""

from __future__ import annotations

import pytest

from vmsmp.campaign.way import PLENTY, WAYS, Scarcity, Way
from vmsmp.library import find_scenario
from vmsmp.patches.catalogue import REPAIR_BY_NAME


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


def test_a_repaired_way_has_every_repair_and_what_else_is_asked_for():
    options = Way("controlled", "exact", repaired=True).options_for(
        find_scenario("spin_upgrade"), (), {"SP-05"}
    )
    assert (frozenset(REPAIR_BY_NAME), frozenset({"SP-05"})) == (options.repairs, options.mutants)


def test_a_repaired_way_leaves_out_what_does_not_fit_beside_a_mutant():
    mutants = ["sync.callout.callout.Callout.update-6-gone"]
    way = Way("controlled", "exact", repaired=True)
    options = way.options_for(find_scenario("spin_upgrade"), (), mutants)
    assert {"rearmed-call-in-progress"} == REPAIR_BY_NAME.keys() - options.repairs
    assert frozenset(mutants) == options.mutants


def test_an_injected_way_ends_sleeps_at_any_moment():
    options = Way("controlled", "exact", injected=True).options_for(find_scenario("spin_upgrade"), (), ())
    assert ("any", True) == (options.timeouts, options.spurious)


def test_a_scenario_about_time_has_sleeps_that_end_in_time():
    way = Way("controlled", "exact", injected=True)
    options = way.options_for(find_scenario("calls_come_in_time"), (), ())
    assert ("idle", False) == (options.timeouts, options.spurious)


# -- scarce memory --------------------------------------------------------------------------------


def test_memory_is_as_it_is_unless_somebody_says_otherwise():
    assert (False, WAYS, None) == (bool(PLENTY), PLENTY.ways, PLENTY.amount(3))


@pytest.mark.parametrize(
    ("most", "amounts"),
    [(0, [0, 0, 0]), (1, [0, 1, 0]), (3, [0, 1, 2, 3, 0]), (4, [0, 1, 2, 4, 0]), (9, [0, 1, 2, 4, 8, 9, 0])],
)
def test_free_pages_are_swept_from_none_to_the_most(most, amounts):
    assert amounts == [Scarcity(most).amount(turn) for turn in range(len(amounts))]


@pytest.mark.parametrize("scarcity", [Scarcity(4), Scarcity(pressure=True)], ids=str)
def test_where_memory_is_scarce_known_findings_are_repaired_in_both_engines_and_depths(scarcity):
    assert {True} == {way.repaired for way in scarcity.ways}
    assert {("controlled", "exact"), ("controlled", "atomic"), ("free", "exact"), ("free", "atomic")} == {
        (way.engine, way.locks) for way in scarcity.ways
    }


@pytest.mark.parametrize(
    ("scarcity", "words"),
    [
        (PLENTY, ()),
        (Scarcity(3), ("--pages", "3")),
        (Scarcity(0, pressure=True), ("--pages", "0", "--pressure")),
    ],
)
def test_scarcity_says_itself_to_the_command_line(scarcity, words):
    assert words == scarcity.words
