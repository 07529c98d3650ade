"""What a campaign does beside its batches."""

from __future__ import annotations

from dataclasses import replace

import pytest

import vmsmp
from vmsmp.campaign import errand
from vmsmp.campaign.batch import Batch
from vmsmp.campaign.errand import Recheck, Shortening
from vmsmp.campaign.way import Way
from vmsmp.engine.options import Options
from vmsmp.engine.schedule import Schedule
from vmsmp.library import find_scenario
from vmsmp.patches.catalogue import REPAIR_BY_NAME

WAY = Way("controlled", "exact", "random")


@pytest.fixture(scope="module")
def failure():
    """A failure of a mutant, as a batch has found it."""
    scenario = find_scenario("spin_writers_queue")
    batch = Batch(scenario.__name__, WAY, 0, 10, WAY.options_for(scenario, (), {"SP-05"}))
    return batch.do(lambda: None).failures[0]


def alive():
    pass


@pytest.fixture(scope="module")
def shortened(failure):
    return Shortening(replace(failure, execution=7)).do(alive)


def test_a_failure_becomes_as_short_as_can_be(failure, shortened):
    line = Schedule.parse(shortened.short.schedule)
    assert len(line) == len(vmsmp.minimize(find_scenario("spin_writers_queue"), line))
    assert (failure.signature, "") == (shortened.short.signature, shortened.error)


def test_a_short_failure_has_its_story_and_says_when_it_was_found(shortened):
    assert (7, True) == (shortened.short.execution, len(shortened.short.story.rows) > 0)


def test_a_short_line_has_no_repair_that_makes_no_difference():
    scenario = find_scenario("spin_writers_queue")
    way = replace(WAY, repaired=True)
    batch = Batch(scenario.__name__, way, 0, 10, way.options_for(scenario, (), {"SP-05"}))
    found = batch.do(lambda: None).failures[0]
    short = Shortening(found).do(alive).short
    assert "+repair=" in found.schedule
    assert (False, found.signature) == ("+repair=" in short.schedule, short.signature)


@pytest.mark.parametrize("needed", [0, 1, 2, 17])
def test_repairs_that_make_a_difference_stay(monkeypatch, needed):
    names = sorted(REPAIR_BY_NAME)
    wanted = frozenset(names[3 : 3 + 2 * needed : 2])

    class Told:
        def __init__(self, schedule):
            same = wanted <= schedule.options.repairs
            self.digest, self.failure = ("same" if same else "other"), object()

    runs = []
    monkeypatch.setattr(errand, "explain", lambda *_: None)
    monkeypatch.setattr(errand, "replay", lambda _scenario, line, hang_s: runs.append(1) or Told(line))
    line = Schedule("spin_upgrade", options=Options(repairs=frozenset(names)))
    short = errand._with_few_repairs(find_scenario("spin_upgrade"), line, alive, 1.0)
    assert wanted == short.options.repairs
    assert len(runs) <= 2 + 4 * max(1, needed) * len(names).bit_length()


def test_a_run_that_a_known_finding_explains_without_its_repair_keeps_it(monkeypatch):
    from vmsmp.campaign.findings import findings

    (first, *_) = findings()
    monkeypatch.setattr(
        errand, "explain", lambda _failure, repairs: None if first.repair in repairs else first
    )
    line = Schedule.parse("v1:refcount_drains+exact+cpus=2+mutant=RC-01a:8:1.2>2,2.4>1")
    line = replace(line, options=replace(line.options, repairs=frozenset(REPAIR_BY_NAME)))
    short = errand._with_few_repairs(find_scenario("refcount_drains"), line, alive, 1.0)
    assert {first.repair} == short.options.repairs


def test_a_failure_that_does_not_come_again_is_told_of(failure):
    other = replace(failure, schedule="v1:spin_upgrade:0:", program="spin_upgrade")
    done = Shortening(other).do(alive)
    assert (None, True) == (done.short, "does not fail" in done.error)


def test_a_short_line_that_fails_otherwise_is_told_of(failure, monkeypatch):
    monkeypatch.setattr(errand, "minimize", lambda *_args, **_more: Schedule("spin_writers_queue"))
    done = Shortening(failure).do(alive)
    assert (None, "ReplayDiverged: the minimized schedule failed once and not again") == (
        done.short,
        done.error,
    )


def test_a_line_that_fails_comes_back_with_its_failure(shortened):
    short = shortened.short
    done = Recheck("f0", short.schedule, "spin_writers_queue").do(alive)
    assert (short.signature, "") == (done.failure.signature, done.error)


def test_a_line_that_fails_no_more_comes_back_without_one():
    done = Recheck("f0", "v1:spin_upgrade:0:", "spin_upgrade").do(alive)
    assert (None, "") == (done.failure, done.error)


@pytest.mark.parametrize(
    ("scenario", "line"),
    [("no_such", "v1:no_such:0:"), ("spin_upgrade", "v1:spin_upgrade+mutant=SP-99:0:")],
)
def test_a_line_that_cannot_be_replayed_says_why(scenario, line):
    done = Recheck("f0", line, scenario).do(alive)
    assert done.error.startswith("UsageError: unknown ")
