"""What a batch of a campaign does."""

from __future__ import annotations

import pytest

from vmsmp.campaign.batch import FREE_FAILURES, LONGEST_STORY, Batch
from vmsmp.campaign.way import WAYS, Scarcity, Way
from vmsmp.engine.options import Options
from vmsmp.engine.schedule import Schedule
from vmsmp.library import find_scenario
from vmsmp.patches.catalogue import REPAIR_BY_NAME

EXACT = Way("controlled", "exact")
FREE = Way("free", "exact")
REPAIRED = Way("controlled", "exact", "random", injected=True, repaired=True)


def batch_of(name, way, schedules, *mutants, **more):
    return Batch(name, way, 0, schedules, way.options_for(find_scenario(name), (), mutants), **more)


def done(*args, **more):
    return batch_of(*args, **more).do(lambda: None)


def test_a_batch_under_control_has_its_schedules():
    report = done("spin_upgrade", EXACT, 20)
    assert (20, True, True, ()) == (
        report.executions,
        report.complete,
        report.operations > 20,
        report.failures,
    )


def test_a_batch_comes_to_the_same_again():
    one, two = (done("spin_writers_queue", EXACT, 30, "SP-05") for _ in range(2))
    assert one.counts == two.counts
    assert [f.line for f in one.failures] == [f.line for f in two.failures]
    assert one.certificate.seen == two.certificate.seen


def test_a_free_batch_has_its_rounds():
    report = done("spin_upgrade", FREE, 3)
    assert (3, True, True, ()) == (
        report.executions,
        report.complete,
        report.operations > 3,
        report.failures,
    )


@pytest.mark.parametrize("way", [EXACT, FREE], ids=str)
def test_a_batch_that_is_cut_short_is_not_complete(way):
    report = done("spin_upgrade", way, 10**9, seconds=0.05)
    assert (False, True) == (report.complete, report.executions > 0)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_batch_runs_clean_every_way(way):
    report = done("last_readers_leave", way, 5)
    assert ("", ()) == (report.error, report.failures)


def test_a_batch_s_failures_are_the_first_of_their_signatures():
    report = done("spin_writers_queue", EXACT, 50, "SP-05")
    assert [*report.counts] == [failure.signature for failure in report.failures]
    assert report.counts


def test_a_free_batch_ends_after_some_failures():
    report = done("spin_writers_queue", FREE, 10**6, "SP-05")
    assert FREE_FAILURES == sum(report.counts.values())
    assert report.complete


def test_a_failure_s_line_names_the_mutant_and_the_repairs():
    (failure, *_) = done("spin_writers_queue", REPAIRED, 50, "SP-05").failures
    options = Schedule.parse(failure.schedule).options
    assert (frozenset({"SP-05"}), frozenset(REPAIR_BY_NAME)) == (options.mutants, options.repairs)


def test_a_new_failure_comes_with_its_story():
    (failure, *_) = done("spin_writers_queue", EXACT, 50, "SP-05").failures
    assert 0 < len(failure.story.rows) <= LONGEST_STORY


def test_a_known_failure_comes_without_its_story():
    (failure, *_) = done("vm_wait_misses_a_free", Way("controlled", "atomic"), 20).failures
    assert failure.story is None


@pytest.mark.parametrize("way", [EXACT, FREE], ids=str)
def test_what_cannot_be_is_an_error_of_the_batch(way):
    batch = Batch("spin_upgrade", way, 0, 5, Options(mutants=frozenset({"XX-99"})))
    report = batch.do(lambda: None)
    assert (False, True) == (report.complete, "UsageError: unknown mutant 'XX-99'" in report.error)


def test_a_batch_under_pressure_runs_clean():
    scarcity = Scarcity(2, pressure=True)
    way = scarcity.ways[0]
    scenario = find_scenario("page_storm")
    options = way.options_for(scenario, (), (), pages=scarcity.amount(1), pressure=True)
    report = Batch("page_storm", way, 0, 3, options).do(lambda: None)
    assert ("", (), 3) == (report.error, report.failures, report.executions)


# -- its name -------------------------------------------------------------------------------------


def test_the_words_of_a_batch_leave_out_what_its_way_says():
    repair = "undo-grant-clears-shared"
    assert "exact+mutant=SP-05" == batch_of("spin_upgrade", EXACT, 5, "SP-05").words
    assert "exact+any+spurious" == batch_of("spin_upgrade", REPAIRED, 5).words
    options = EXACT.options_for(find_scenario("spin_upgrade"), {repair}, ())
    assert f"exact+repair={repair}" == Batch("spin_upgrade", EXACT, 0, 5, options).words


def test_a_batch_says_what_it_is():
    assert "spin_upgrade (portfolio exact, seed 0)" == str(batch_of("spin_upgrade", EXACT, 5))
