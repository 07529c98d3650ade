"""The kill table: what a trial comes to, and that no trial is lost."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import asdict
from pathlib import Path

import pytest

import vmsmp
from vmsmp.campaign import kill_table as subject
from vmsmp.campaign.kill_table import GLANCE, Trial, Verdict, judge, kill_table, trial_of
from vmsmp.campaign.outcome import Outcome
from vmsmp.campaign.reach import Place
from vmsmp.engine.schedule import Schedule
from vmsmp.errors import HostError, InternalError, UsageError
from vmsmp.library import find_scenario
from vmsmp.patches.catalogue import fitting_repairs
from vmsmp.patches.removals import removals_of

ATOMIC = Place("busy_handoff", "atomic")
EXACT = Place("busy_handoff", "exact")
WAKEUP = next(
    one for one in removals_of("vmsmp.vm.vm_page.busy:vm_page_wakeup") if one.ident.endswith("gone")
)
FLAG = next(
    one for one in removals_of("vmsmp.vm.vm_page.busy:_sleep_on") if one.text.startswith("vm_page_flag")
)


# -- trials ---------------------------------------------------------------------------------------


def test_a_written_mutant_is_tried_on_its_own_scenario_at_both_depths():
    trial = trial_of("BZ-03", {}, 7)
    assert Trial("BZ-03", (ATOMIC, Place("busy_handoff", "exact")), 7) == trial


def test_a_removal_is_tried_where_its_line_is_run():
    reach = {(WAKEUP.function, WAKEUP.line): (ATOMIC,)}
    assert (ATOMIC,) == trial_of(WAKEUP.ident, reach, 7).places


def test_a_removal_on_a_line_that_nobody_runs_is_tried_nowhere():
    assert () == trial_of(WAKEUP.ident, {}, 7).places


# -- judging --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found():
    return judge(Trial(WAKEUP.ident, (ATOMIC,), 50))


def test_a_guard_that_is_missed_is_found(found):
    assert ("found", "busy_handoff (atomic)", True) == (found.outcome, found.place, found.killed)


def test_a_verdict_counts_the_schedules_to_the_failure(found):
    assert 1 <= found.schedules <= found.tried <= 50


def test_a_verdict_has_the_line_that_shows_the_failure(found):
    assert found.schedule.startswith("v1:busy_handoff+")


def test_that_line_names_no_repairs_that_it_does_not_need(found):
    assert {"mutants": frozenset({WAKEUP.ident})} == {
        name: value
        for name, value in asdict(Schedule.parse(found.schedule).options).items()
        if name in ("mutants", "repairs") and value
    }
    assert found.signature == vmsmp.replay(find_scenario("busy_handoff"), found.schedule).failure.signature


def test_that_line_names_all_repairs_where_it_fails_in_another_way_without(monkeypatch):
    monkeypatch.setattr(subject, "follow", lambda *_: Outcome("busy_handoff", "", 1))
    verdict = judge(Trial(WAKEUP.ident, (ATOMIC,), 50))
    assert Schedule.parse(verdict.schedule).options.repairs == fitting_repairs([WAKEUP.ident])


def test_a_guard_that_nobody_misses_survives_all_schedules():
    verdict = judge(Trial(FLAG.ident, (ATOMIC,), 20))
    assert Verdict(FLAG.ident, "survived", tried=20) == verdict


def test_a_guard_that_no_scenario_runs_is_not_reached():
    assert Verdict(WAKEUP.ident, "not reached") == judge(Trial(WAKEUP.ident, ()))


def test_a_known_finding_is_not_taken_for_the_mutant_s(monkeypatch):
    monkeypatch.setattr(subject, "known_cause", lambda *_: "a known one")
    assert "survived" == judge(Trial(WAKEUP.ident, (ATOMIC,), 5)).outcome


def test_all_scenarios_are_tried_shortly_before_any_is_tried_for_long():
    verdict = judge(Trial(FLAG.ident, (ATOMIC, EXACT), 30))
    assert Verdict(FLAG.ident, "survived", tried=2 * GLANCE + 2 * 30) == verdict


def test_a_guard_that_the_last_scenario_misses_is_found_soon():
    verdict = judge(Trial(WAKEUP.ident, (Place("refcount_drains", "atomic"), ATOMIC), 10**6))
    assert ("found", True) == (verdict.outcome, verdict.tried <= 2 * GLANCE)


def test_a_trial_says_that_it_is_at_work():
    said = []
    judge(Trial(FLAG.ident, (ATOMIC, EXACT), 20), lambda: said.append(1))
    assert len(said) >= 4


def test_a_trial_that_cannot_be_made_is_an_error():
    verdict = judge(Trial(WAKEUP.ident, (Place("no_such_scenario", "atomic"),)))
    assert ("error", False) == (verdict.outcome, verdict.killed)


@pytest.mark.parametrize("error", [UsageError("no CPU 9"), InternalError("a checker raised")], ids=repr)
def test_a_guard_without_which_a_run_cannot_go_on_is_noticed(monkeypatch, error):
    def raising(*_args, **_options):
        raise error

    monkeypatch.setattr(subject, "search", raising)
    verdict = judge(Trial(WAKEUP.ident, (ATOMIC,)))
    assert ("raised", True, f"{type(error).__name__}: {error}") == (
        *(verdict.outcome, verdict.killed, verdict.signature),
    )


def test_what_the_host_lacks_says_nothing_about_a_guard(monkeypatch):
    def raising(*_args, **_options):
        raise HostError("no thread can be started")

    monkeypatch.setattr(subject, "search", raising)
    verdict = judge(Trial(WAKEUP.ident, (ATOMIC,)))
    assert ("error", False) == (verdict.outcome, verdict.killed)


# -- many -----------------------------------------------------------------------------------------


def test_every_trial_comes_to_a_verdict():
    trials = [Trial(WAKEUP.ident, (ATOMIC,), 20), Trial(FLAG.ident, ()), Trial(FLAG.ident, (ATOMIC,), 3)]
    verdicts = {(one.ident, one.outcome) for one in kill_table(trials, 2)}
    assert {(WAKEUP.ident, "found"), (FLAG.ident, "not reached"), (FLAG.ident, "survived")} == verdicts


def test_no_trial_makes_no_process():
    assert [] == list(kill_table([], 2))


@pytest.mark.ci
def test_a_trial_that_says_nothing_is_a_hang_and_the_next_one_is_made(monkeypatch):
    monkeypatch.setattr("vmsmp.campaign.crew.START_S", 30.0)  # it may be stopped as it starts

    def freeze():
        children = Path(f"/proc/{os.getpid()}/task/{threading.main_thread().native_id}/children")
        before = set(children.read_text().split())
        looking.set()
        while not (child := set(children.read_text().split()) - before):
            time.sleep(0.01)
        (pid,) = child
        while len(list(Path(f"/proc/{pid}/task").iterdir())) < 2:  # until it has CPUs
            time.sleep(0.01)
        os.kill(int(pid), signal.SIGSTOP)

    trials = [Trial(FLAG.ident, (ATOMIC,), 10**9), Trial(FLAG.ident, ())]
    looking = threading.Event()
    frost = threading.Thread(target=freeze)
    frost.start()
    looking.wait()
    outcomes = [verdict.outcome for verdict in kill_table(trials, 1, hang_s=5.0)]
    frost.join()
    assert ["hang", "not reached"] == outcomes


@pytest.mark.nightly
def test_a_long_trial_is_no_hang():
    begin = time.monotonic()
    (verdict,) = kill_table([Trial(FLAG.ident, (ATOMIC,), 15_000)], 1, hang_s=4.0)
    assert ("survived", True) == (verdict.outcome, time.monotonic() - begin > 4.0)
