"""A campaign's parts: how it is cut into slices, what a slice does, how slices add up."""

from __future__ import annotations

from itertools import islice

import pytest

from vmsmp.campaign.outcome import Failure
from vmsmp.campaign.stress import (
    LONGEST_S,
    SHORTEST_S,
    WAYS,
    Campaign,
    Report,
    Row,
    Slice,
    Way,
    pieces,
    run_campaign,
    work,
)
from vmsmp.engine.schedule import Schedule
from vmsmp.errors import UsageError
from vmsmp.patches.catalogue import REPAIR_BY_NAME

EXACT = Way("controlled", "exact")
FREE = Way("free", "exact")
KNOWN = "check: state word of lockmgr 'lk': XMASK and SHARED are both set"
REPAIR = "undo-grant-clears-shared"


def first_round(scenarios, budget_s=60.0, **more):
    return list(islice(pieces(scenarios, budget_s, 0, **more), len(scenarios) * len(WAYS)))


def failure(signature="check: bad", schedule="v1:mine:0:", program="mine", **more):
    kind, _, message = signature.partition(": ")
    return Failure(kind, message, signature, schedule, "00", program=program, **more)


def report(*failures, way=EXACT, scenario="mine", repairs=(), **more):
    counts = {one.signature: 1 for one in failures}
    return Report(
        Slice(scenario, way, 0, 1.0, repairs=tuple(repairs)), failures=failures, **{"counts": counts, **more}
    )


@pytest.fixture
def campaign():
    return Campaign()


# -- slices ---------------------------------------------------------------------------------------


def test_the_first_round_goes_every_way_with_every_scenario():
    assert {(name, way) for name in "ab" for way in WAYS} == {(p.scenario, p.way) for p in first_round("ab")}


def test_the_first_round_does_nothing_twice():
    assert 2 * len(WAYS) == len({(p.scenario, p.way) for p in first_round("ab")})


def test_the_first_slices_are_one_of_every_scenario():
    assert ["a", "b", "c"] == [piece.scenario for piece in first_round("abc")[:3]]


def test_the_next_round_has_another_seed():
    seeds = [piece.seed for piece in islice(pieces(["a"], 60.0, 5), 3 * len(WAYS))]
    assert [5] * len(WAYS) + [6] * len(WAYS) + [7] * len(WAYS) == seeds


def test_the_first_round_fits_the_budget():
    assert 30.0 >= sum(piece.seconds for piece in first_round("abc", 30.0))


def test_the_first_round_uses_most_of_the_budget():
    assert 25.0 <= sum(piece.seconds for piece in first_round("abc", 30.0))


def test_no_slice_is_shorter_than_the_shortest():
    assert {SHORTEST_S} == {piece.seconds for piece in first_round("abc", 0.1)}


def test_no_slice_is_longer_than_the_longest():
    assert {LONGEST_S} == {piece.seconds for piece in first_round("abc", 10_000.0)}


def test_every_slice_has_the_mutants_and_repairs():
    assert {(("M",), ("R",))} == {
        (piece.mutants, piece.repairs) for piece in first_round("ab", mutants=("M",), repairs=("R",))
    }


def test_both_engines_go_at_both_depths():
    assert {("controlled", "exact"), ("controlled", "atomic"), ("free", "exact"), ("free", "atomic")} == {
        (way.engine, way.locks) for way in WAYS
    }


def test_ways_have_words_of_their_own():
    assert len(WAYS) == len({str(way) for way in WAYS})


@pytest.mark.parametrize(
    ("way", "words"),
    [
        (Way("free", "exact"), "free exact"),
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
    done = work(Slice("spin_upgrade", EXACT, 0, 0.05))
    assert (True, ()) == (0 < done.executions < done.operations, done.failures)


def test_a_free_slice_counts_rounds_and_operations():
    done = work(Slice("spin_upgrade", FREE, 0, 0.05))
    assert (True, ()) == (0 < done.executions < done.operations, done.failures)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_slice_runs_clean_every_way(way):
    done = work(Slice("last_readers_leave", way, 0, 0.05))
    assert ("", ()) == (done.error, done.failures)


def test_a_failure_of_a_slice_is_as_short_as_can_be():
    import vmsmp
    from vmsmp.library import find_scenario

    done = work(Slice("spin_writers_queue", Way("controlled", "exact", "random"), 0, 0.2, ("SP-05",)))
    line = Schedule.parse(done.failures[0].schedule)
    assert len(line) == len(vmsmp.minimize(find_scenario("spin_writers_queue"), line))


def test_a_failure_of_a_slice_is_counted_as_often_as_it_came():
    done = work(Slice("spin_writers_queue", Way("controlled", "exact", "random"), 0, 0.2, ("SP-05",)))
    assert {one.signature for one in done.failures} == set(done.counts)


def test_a_failure_s_line_names_the_mutant():
    done = work(Slice("spin_writers_queue", EXACT, 0, 0.2, ("SP-05",)))
    assert frozenset({"SP-05"}) == Schedule.parse(done.failures[0].schedule).options.mutants


def test_a_repaired_way_has_every_repair_on():
    way = Way("controlled", "exact", "random", injected=True, repaired=True)
    piece = Slice("spin_writers_queue", way, 0, 0.2, ("SP-05",))
    line = Schedule.parse(work(piece).failures[0].schedule)
    assert frozenset(REPAIR_BY_NAME) == piece.all_repairs() == line.options.repairs


def test_an_injected_way_ends_sleeps_at_any_moment():
    way = Way("controlled", "exact", "random", injected=True, repaired=True)
    options = Schedule.parse(
        work(Slice("spin_writers_queue", way, 0, 0.2, ("SP-05",))).failures[0].schedule
    ).options
    assert ("any", True) == (options.timeouts, options.spurious)


@pytest.mark.parametrize("way", [EXACT, FREE], ids=str)
def test_what_cannot_be_is_an_error_of_the_slice(way):
    assert "UsageError: unknown mutant 'XX-99'" in work(Slice("spin_upgrade", way, 0, 0.05, ("XX-99",))).error


# -- added up -------------------------------------------------------------------------------------


def test_schedules_and_rounds_are_counted_apart(campaign):
    campaign.add(report(executions=10, operations=300))
    campaign.add(report(executions=7, operations=80, way=FREE))
    campaign.add(report(executions=1, operations=30))
    assert {"mine": Row(schedules=11, steps=330, rounds=7, operations=80)} == campaign.rows


def test_slices_are_counted(campaign):
    campaign.add(report())
    campaign.add(report(scenario="yours"))
    assert (2, {"mine", "yours"}) == (campaign.slices, set(campaign.rows))


def test_an_error_is_kept_with_its_slice(campaign):
    campaign.add(report(error="UsageError: no"))
    assert ["mine (portfolio exact): UsageError: no"] == campaign.errors


def test_a_failure_of_nothing_known_is_new(campaign):
    campaign.add(report(failure()))
    assert ({"mine check: bad": failure()}, {}) == (campaign.new, campaign.known)


def test_a_failure_that_comes_again_is_counted(campaign):
    for _ in range(2):
        campaign.add(report(failure(), counts={"check: bad": 5}))
    assert (1, {"mine check: bad": 10}, 10) == (
        len(campaign.new),
        campaign.counts,
        campaign.rows["mine"].failed,
    )


def test_the_same_failure_of_two_programs_is_two(campaign):
    campaign.add(report(failure()))
    campaign.add(report(failure(program="yours"), scenario="yours"))
    assert ["mine check: bad", "yours check: bad"] == list(campaign.new)


def test_the_first_of_two_equal_failures_is_kept(campaign):
    campaign.add(report(failure(schedule="v1:mine:1:")))
    campaign.add(report(failure(schedule="v1:mine:2:")))
    assert ["v1:mine:1:"] == [one.schedule for one in campaign.new.values()]


def test_a_failure_that_replays_displaces_one_that_does_not(campaign):
    campaign.add(report(failure(schedule="", engine="free"), way=FREE))
    campaign.add(report(failure(schedule="v1:mine:2:")))
    assert ["v1:mine:2:"] == [one.schedule for one in campaign.new.values()]


def test_a_free_failure_does_not_displace_one_that_replays(campaign):
    campaign.add(report(failure(schedule="v1:mine:2:")))
    campaign.add(report(failure(schedule="", engine="free"), way=FREE))
    assert ["v1:mine:2:"] == [one.schedule for one in campaign.new.values()]


# -- known findings -------------------------------------------------------------------------------


def test_a_known_finding_is_not_new(campaign):
    campaign.add(report(failure(KNOWN)))
    assert ({}, ["abandoned-upgrade-leaves-shared-set"]) == (campaign.new, list(campaign.known))


def test_a_known_finding_is_counted_as_known(campaign):
    for _ in range(2):
        campaign.add(report(failure(KNOWN), counts={KNOWN: 3}))
    (_, _, times) = campaign.known["abandoned-upgrade-leaves-shared-set"]
    assert (6, 6, 0) == (times, campaign.rows["mine"].known, campaign.rows["mine"].failed)


def test_a_known_finding_with_its_repair_on_is_new(campaign):
    campaign.add(report(failure(KNOWN, f"v1:mine+repair={REPAIR}:0:"), repairs=[REPAIR]))
    assert (1, {}) == (len(campaign.new), campaign.known)


def test_a_known_finding_in_a_free_run_with_its_repair_on_is_new(campaign):
    # A free failure has no line to read the repairs from; its slice says them.
    campaign.add(report(failure(KNOWN, "", engine="free"), way=FREE, repairs=[REPAIR]))
    assert (1, {}) == (len(campaign.new), campaign.known)


def test_another_repair_does_not_make_a_known_finding_new(campaign):
    campaign.add(report(failure(KNOWN, "v1:mine+repair=undo-exreq-wakes-readers:0:")))
    assert {} == campaign.new


def test_the_repairs_of_a_slice_are_its_own_and_its_ways():
    assert frozenset({"a"}) == Slice("x", EXACT, 0, 1.0, repairs=("a",)).all_repairs()


# -- refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("glob", "more", "words"),
    [
        ("nothing_*", {}, "no scenario matches"),
        ("spin_upgrade", {"repairs": ("x",)}, "unknown repair 'x'"),
        ("spin_upgrade", {"mutants": ("a b",)}, "unknown mutant 'a b'"),
        ("spin_upgrade", {"mutants": ("XX-99",)}, "unknown mutant 'XX-99'"),
    ],
)
def test_a_campaign_that_cannot_be_is_refused_before_it_begins(glob, more, words):
    with pytest.raises(UsageError, match=words):
        run_campaign(glob, seconds=0.5, workers=1, **more)
