"""How batches add up to a campaign."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from vmsmp.campaign import findings, tally
from vmsmp.campaign.batch import Batch, Report
from vmsmp.campaign.outcome import Failure
from vmsmp.campaign.tally import Campaign, Row
from vmsmp.campaign.way import Way
from vmsmp.engine.options import Options
from vmsmp.library import find_scenario

EXACT = Way("controlled", "exact")
FREE = Way("free", "exact")
SHOWS = "abandoned_upgrade_leaves_shared_set"
KNOWN = "check: state word of lockmgr 'lk': XMASK and SHARED are both set"
REPAIR = "undo-grant-clears-shared"


def failure(signature="check: bad", schedule="v1:mine:0:", program="mine", **more):
    kind, _, message = signature.partition(": ")
    return Failure(kind, message, signature, schedule, "00", program=program, **more)


def report(*failures, way=EXACT, scenario="mine", repairs=(), **more):
    counts = {one.signature: 1 for one in failures}
    batch = Batch(scenario, way, 0, 8, Options(repairs=frozenset(repairs)))
    return Report(batch, failures=failures, **{"counts": counts, **more})


@pytest.fixture
def campaign():
    return Campaign()


# -- added up -------------------------------------------------------------------------------------


def test_schedules_and_rounds_are_counted_apart(campaign):
    campaign.add(report(executions=10, operations=300))
    campaign.add(report(executions=7, operations=80, way=FREE))
    campaign.add(report(executions=1, operations=30))
    assert {"mine": Row(schedules=11, steps=330, rounds=7, operations=80)} == campaign.rows


def test_schedules_with_repairs_on_are_counted_apart(campaign):
    campaign.add(report(executions=10, operations=300))
    campaign.add(report(executions=4, operations=90, repairs=[REPAIR]))
    assert {"mine": Row(schedules=10, repaired=4, steps=390)} == campaign.rows


def test_executions_are_all_schedules_and_all_rounds(campaign):
    campaign.add(report(executions=10))
    campaign.add(report(executions=4, repairs=[REPAIR], scenario="yours"))
    campaign.add(report(executions=7, way=FREE, repairs=[REPAIR]))
    assert (14, 7) == campaign.executions


def test_batches_are_counted(campaign):
    campaign.add(report())
    campaign.add(report(scenario="yours"))
    assert (2, {"mine", "yours"}) == (campaign.batches, set(campaign.rows))


def test_an_error_is_kept_with_its_batch(campaign):
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


def test_a_failure_with_a_shorter_line_displaces_one_with_a_longer(campaign):
    for line in ("v1:mine:2:1.2>1,2.3>2", "v1:mine:3:", "v1:mine:4:1.2>2"):
        campaign.add(report(failure(schedule=line)))
    assert ["v1:mine:3:"] == [one.schedule for one in campaign.new.values()]


def test_a_free_failure_does_not_displace_one_that_replays(campaign):
    campaign.add(report(failure(schedule="v1:mine:2:")))
    campaign.add(report(failure(schedule="", engine="free"), way=FREE))
    assert ["v1:mine:2:"] == [one.schedule for one in campaign.new.values()]


# -- known findings -------------------------------------------------------------------------------


def known(schedule=f"v1:{SHOWS}:0:", **more):
    return failure(KNOWN, schedule, SHOWS, **more)


def test_a_known_finding_is_not_new(campaign):
    campaign.add(report(known()))
    assert ({}, ["abandoned-upgrade-leaves-shared-set"]) == (campaign.new, list(campaign.known))


def test_a_known_finding_is_counted_as_known(campaign):
    for _ in range(2):
        campaign.add(report(known(), counts={KNOWN: 3}))
    (_, _, times) = campaign.known["abandoned-upgrade-leaves-shared-set"]
    assert (6, 6, 0) == (times, campaign.rows["mine"].known, campaign.rows["mine"].failed)


def test_a_known_finding_in_another_scenario_is_new(campaign):
    campaign.add(report(failure(KNOWN)))
    assert (1, {}) == (len(campaign.new), campaign.known)


def test_a_known_finding_at_another_step_is_new(campaign):
    campaign.add(report(known(step="fetchadd lk.lk_count in lockmgr_shared < reader")))
    assert (1, {}) == (len(campaign.new), campaign.known)


def test_a_known_finding_with_its_repair_on_is_new(campaign):
    campaign.add(report(known(f"v1:{SHOWS}+repair={REPAIR}:0:"), repairs=[REPAIR]))
    assert (1, {}) == (len(campaign.new), campaign.known)


def test_a_known_finding_in_a_free_run_with_its_repair_on_is_new(campaign):
    # A free failure has no line to read the repairs from; its batch says them.
    campaign.add(report(known("", engine="free"), way=FREE, repairs=[REPAIR]))
    assert (1, {}) == (len(campaign.new), campaign.known)


def test_another_repair_does_not_make_a_known_finding_new(campaign):
    campaign.add(report(known(f"v1:{SHOWS}+repair=undo-exreq-wakes-readers:0:")))
    assert {} == campaign.new


@pytest.mark.ci
@pytest.mark.parametrize(("repaired", "masked"), [(False, True), (True, False)])
@pytest.mark.parametrize("mutant", ["TK-13", "VS-02"])
def test_a_bug_behind_a_known_finding_is_new_where_that_is_repaired(campaign, mutant, repaired, masked):
    scenario = find_scenario("vm_wait_misses_a_free")
    way = Way("controlled", "atomic", repaired=repaired)
    batch = Batch(scenario.__name__, way, 0, 800, way.options_for(scenario, (), {mutant}))
    campaign.add(batch.do(lambda: None))
    assert (masked, not masked) == (bool(campaign.known), bool(campaign.new))


def test_adding_a_batch_says_what_explains_each_signature(campaign):
    explained = campaign.add(report(known(), failure(program=SHOWS)))
    assert {KNOWN: "abandoned-upgrade-leaves-shared-set", "check: bad": ""} == explained


@pytest.mark.parametrize(("today", "new"), [(date(2026, 12, 31), False), (date(2027, 1, 1), True)])
def test_a_known_finding_is_new_from_the_day_it_expires(monkeypatch, today, new):
    (entry,) = [one for one in findings.findings() if one.name == "abandoned-upgrade-leaves-shared-set"]
    expiring = replace(entry, expires=date(2027, 1, 1))
    monkeypatch.setattr(tally, "explain", lambda *_: expiring)
    campaign = Campaign(today=today)
    campaign.add(report(known()))
    assert (new, not new) == (bool(campaign.new), bool(campaign.known))


# -- shortened, and its end -----------------------------------------------------------------------


def test_a_shorter_line_is_the_one_that_is_shown(campaign):
    campaign.add(report(failure(schedule="v1:mine:1:1.2>2,2.3>1")))
    campaign.shorten(failure(schedule="v1:mine:1:1.2>2"))
    campaign.shorten(failure(schedule="v1:mine:1:1.2>2,3.3>1"))
    assert ["v1:mine:1:1.2>2"] == [one.schedule for one in campaign.new.values()]


@pytest.mark.parametrize(
    ("parts", "outcome"),
    [
        ({}, "clean"),
        ({"errors": ["x"]}, "error"),
        ({"errors": ["x"], "interrupted": True}, "interrupted"),
        ({"new": {"k": failure()}, "interrupted": True}, "failed"),
    ],
)
def test_a_campaign_ends_in_a_word(parts, outcome):
    assert outcome == Campaign(**parts).outcome
