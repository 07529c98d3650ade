"""Campaigns: what cannot be one, and what a store makes of being stopped."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from stores import seen
from vmsmp.campaign import stress
from vmsmp.campaign.batch import Batch, Report
from vmsmp.campaign.conductor import TOO_LATE
from vmsmp.campaign.crew import Ended
from vmsmp.campaign.errand import Inquiry, Recheck
from vmsmp.campaign.store.read import read_store
from vmsmp.campaign.store.schema import StoreError
from vmsmp.campaign.store.write import Store
from vmsmp.campaign.stress import Means, run_campaign
from vmsmp.campaign.way import Scarcity
from vmsmp.engine.schedule import Schedule
from vmsmp.errors import UsageError


class Killed(Exception):
    """Somebody kills the worker of a job."""


class Inline:
    """A fleet that does its jobs in this process; `after` jobs somebody presses Ctrl-C.

    Of so many `workers` who has begun last is done first.
    """

    def __init__(self, after=None, workers=1):
        self.after = after
        self.workers = workers
        self.jobs = []
        self.done = []
        self.stopped = False

    @property
    def busy(self):
        return len(self.jobs)

    @property
    def room(self):
        return self.workers - self.busy

    def begin(self, job):
        if self.after is not None and len(self.done) >= self.after:
            raise KeyboardInterrupt
        self.jobs.append(job)

    def wait(self, timeout):
        job = self.jobs.pop()
        self.done.append(job)
        try:
            return [Ended(job, job.do(lambda: None))]
        except Killed:
            return [Ended(job, error="its worker was killed", died=True)]

    def stop(self):
        self.stopped = True


@pytest.fixture
def campaign(monkeypatch):
    """Run a campaign in this process; the campaign, and who did its jobs."""

    def run(glob="spin_*", *, store=None, after=None, workers=1, **more):
        fleet = Inline(after, workers)
        monkeypatch.setattr(stress, "_fleet", lambda means: fleet)
        monkeypatch.setattr(stress, "gil_enabled", lambda: True)  # so that it runs the free engine, too
        return run_campaign(glob, Means(1, store=store), **{"seconds": None, **more}), fleet

    return run


# -- refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("glob", "more", "words"),
    [
        ("nothing_*", {}, "no scenario matches"),
        ("spin_*", {"scarcity": Scarcity(3)}, "no scenario that matches 'spin_\\*' runs with other memory"),
        ("spin_upgrade", {"repairs": ("x",)}, "unknown repair 'x'"),
        ("spin_upgrade", {"mutants": ("a b",)}, "unknown mutant 'a b'"),
        ("spin_upgrade", {"mutants": ("XX-99",)}, "unknown mutant 'XX-99'"),
    ],
)
def test_a_campaign_that_cannot_be_is_refused_before_it_begins(glob, more, words):
    with pytest.raises(UsageError, match=words):
        run_campaign(glob, Means(1), seconds=0.5, **more)


# -- without a store ------------------------------------------------------------------------------


def test_a_campaign_of_so_many_schedules_has_exactly_these(campaign):
    done, fleet = campaign(schedules=100)
    assert (100, True) == (done.executions[0], fleet.stopped)


def test_a_campaign_ends_when_its_time_is_up(campaign):
    done, _ = campaign(seconds=1.3)
    assert 0.0 < done.seconds < 5.0
    assert done.executions[0] > 0


def test_ctrl_c_keeps_what_has_been_done(campaign):
    done, fleet = campaign(after=3)
    assert (True, 3, True) == (done.interrupted, done.batches, fleet.stopped)


def test_a_store_that_cannot_be_written_any_more_ends_a_campaign_with_what_it_has(campaign, monkeypatch):
    def keep(_store, report, known):
        raise StoreError("the disk is full")

    monkeypatch.setattr(Store, "keep", keep)
    done, fleet = campaign(schedules=100)
    assert (1, ["the disk is full"], "error", True) == (
        done.batches,
        done.errors,
        done.outcome,
        fleet.stopped,
    )


def test_a_batch_whose_worker_was_killed_is_tried_once_more(campaign, monkeypatch):
    died = []

    def do(batch, alive):
        if len(died) < 1:
            died.append(batch)
            raise Killed
        return real(batch, alive)

    real = Batch.do
    monkeypatch.setattr(Batch, "do", do)
    done, _ = campaign(schedules=40)
    assert (40, []) == (done.executions[0], done.errors)


class OneIsSlow(Inline):
    """Two jobs at a time; the first of all takes until there is no other that may run beside it."""

    first = None

    @property
    def room(self):
        return 2 - self.busy

    def begin(self, job):
        self.first = self.first or job
        super().begin(job)

    def wait(self, timeout):
        job = self.jobs.pop()
        self.done.append(job)
        return [Ended(job, Report(job, job.schedules, 1, complete=True))]


def test_a_slow_batch_holds_no_other_up_until_its_round_ends(monkeypatch):
    fleet = OneIsSlow()
    monkeypatch.setattr(stress, "_fleet", lambda means: fleet)
    monkeypatch.setattr(stress, "gil_enabled", lambda: True)
    done = run_campaign("spin_*", Means(2), seconds=None, schedules=800)
    assert (800, done.planned - 1) == (done.executions[0], fleet.done.index(fleet.first))
    assert {0} == {job.turn for job in fleet.done[: done.planned]}


def test_a_batch_whose_workers_are_killed_is_reported_and_no_other(campaign, monkeypatch):
    def do(batch, alive):
        if batch.scenario == "spin_upgrade":
            raise Killed
        return real(batch, alive)

    real = Batch.do
    monkeypatch.setattr(Batch, "do", do)
    done, fleet = campaign(schedules=40)
    killed = [job for job in fleet.done if job.scenario == "spin_upgrade"]
    assert [f"spin_upgrade ({killed[0].way}): its worker was killed"] == done.errors
    assert (32, 2) == (done.executions[0], len(killed))


# -- on a store -----------------------------------------------------------------------------------

BROKEN = {"glob": "spin_writers_queue", "mutants": ("SP-05",)}
#: Schedules that are enough to break it.
FEW = 16


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """The store of a campaign that has found something."""
    path = tmp_path_factory.mktemp("broken") / "s"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stress, "_fleet", lambda means: Inline())
        patch.setattr(stress, "gil_enabled", lambda: True)
        run_campaign(means=Means(1, store=path), seconds=None, schedules=FEW, **BROKEN)
    return path


@pytest.fixture
def store(broken, tmp_path):
    """A copy of that store."""
    return Path(shutil.copy(broken, tmp_path / "s"))


def test_a_campaign_that_is_done_runs_nothing_again(campaign, tmp_path):
    store = tmp_path / "s"
    once, _ = campaign(store=store, schedules=50)
    again, fleet = campaign(store=store, schedules=50)
    assert ([], once.executions, once.batches) == (fleet.done, again.executions, again.before)


def test_a_campaign_goes_on_behind_what_was_run_before(campaign, tmp_path):
    store = tmp_path / "s"
    campaign("spin_upgrade", store=store, schedules=24)
    more, fleet = campaign("spin_upgrade", store=store, schedules=48)
    assert (48, 24) == (more.executions[0], sum(job.schedules for job in fleet.done if not job.free))


@pytest.mark.ci
@pytest.mark.parametrize("stops", [(1, 3), pytest.param((2, 2, 2, 30), marks=pytest.mark.ci)], ids=str)
def test_a_campaign_that_was_stopped_comes_to_what_an_undisturbed_one_does(
    campaign, monkeypatch, tmp_path, stops
):
    monkeypatch.setattr("vmsmp.campaign.store.write.LINES", 1)  # to shorten one of each
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    for after in (*stops, None):
        campaign(store=stopped, schedules=40, after=after, **BROKEN)
    campaign(store=whole, schedules=40, **BROKEN)
    assert seen(whole) == seen(stopped)
    assert seen(whole)[1]


def test_a_new_failure_is_minimized_and_kept(broken):
    for signature in read_store(broken).signatures:
        assert [] == [found for found in signature.findings if found.line and not found.minimized]


def test_what_was_found_before_is_replayed_first(campaign, store):
    again, fleet = campaign(store=store, schedules=FEW, **BROKEN)
    findings = [f for s in read_store(store).signatures for f in s.findings if f.line]
    assert len(findings) == len(fleet.done) > 0
    assert again.new


def test_what_fails_no_more_on_other_code_is_fixed(campaign, monkeypatch, store):
    monkeypatch.setattr(stress, "code_name", lambda: "other")
    monkeypatch.setattr("vmsmp.campaign.errand.follow", lambda *_args, **_more: Passed())
    monkeypatch.setattr(Batch, "do", lambda batch, _alive: Report(batch, complete=True))
    done, _ = campaign(store=store, schedules=FEW, **BROKEN)
    statuses = {s.status for s in read_store(store).signatures if s.findings[0].line}
    assert ({"fixed"}, []) == (statuses, done.errors)
    assert done.fixed


def test_what_fails_no_more_on_the_same_code_is_a_defect_of_our_own(campaign, monkeypatch, store):
    monkeypatch.setattr("vmsmp.campaign.errand.follow", lambda *_args, **_more: Passed())
    done, _ = campaign(store=store, schedules=FEW, **BROKEN)
    statuses = {s.status for s in read_store(store).signatures if s.findings[0].line}
    assert {"unsteady"} == statuses
    assert "which is a defect of vmsmp itself: vmsmp replay 'v1:spin_writers_queue" in done.errors[0]


class Passed:
    """An outcome without a failure."""

    failure = None


# -- known findings elsewhere ---------------------------------------------------------------------

#: A scenario that shows a known finding, and how often it has to be tried.
SHOWS = {"glob": "mutex_owners_become_readers", "schedules": 100}
FINDING = "downgrade-gives-its-count-away"


def test_a_further_face_of_a_known_finding_fails_no_campaign(campaign):
    done, fleet = campaign(**SHOWS)
    assert ({}, "clean", 0) == (done.new, done.outcome, done.undecided)
    assert {FINDING} == {face.finding.name for face in done.faces.values()} == set(done.known)
    row = done.rows[SHOWS["glob"]]
    assert (0, done.known[FINDING][2]) == (row.failed, row.known)
    assert any(isinstance(job, Inquiry) for job in fleet.done)


def test_its_line_is_one_to_read(campaign):
    done, _ = campaign(**SHOWS)
    lines = [Schedule.parse(face.failure.schedule) for face in done.faces.values() if face.failure.schedule]
    assert lines
    assert all(len(line) < 12 for line in lines)


def test_who_is_done_first_makes_no_difference_to_what_is_asked(campaign):
    asked = []
    for workers in (1, 4):
        _, fleet = campaign(workers=workers, **SHOWS)
        cases = {}
        for job in fleet.done:
            if isinstance(job, Inquiry) and not job.free:
                cases.setdefault(job.failure.signature, []).append((job.failure.schedule, job.faces))
        asked.append(cases)
    assert asked[0] == asked[1]
    assert any(len(failures) > 1 for failures in asked[0].values())


def test_a_campaign_that_goes_on_knows_what_was_proven(campaign, tmp_path):
    store = tmp_path / "s"
    once, _ = campaign(store=store, **SHOWS)
    again, fleet = campaign(store=store, **SHOWS)
    assert [] == [job for job in fleet.done if not isinstance(job, Recheck)]
    assert ({}, once.faces.keys(), "clean") == (again.new, again.faces.keys(), again.outcome)
    (signature,) = {(one.status, one.known) for one in read_store(store).signatures}
    assert ("known", FINDING) == signature
    assert all(found.proof for one in read_store(store).signatures for found in one.findings)


@pytest.mark.ci
def test_on_other_code_it_is_proven_again(campaign, monkeypatch, tmp_path):
    store = tmp_path / "s"
    campaign(store=store, **SHOWS)
    monkeypatch.setattr(stress, "code_name", lambda: "other")
    monkeypatch.setattr(Batch, "do", lambda batch, _alive: Report(batch, complete=True))
    done, fleet = campaign(store=store, **SHOWS)
    asked = [job.failure.signature for job in fleet.done if isinstance(job, Inquiry)]
    lines = {found.signature for one in read_store(store).signatures for found in one.findings if found.line}
    assert lines == {*asked}
    assert ({}, "clean", {FINDING}) == (
        done.new,
        done.outcome,
        {one.finding.name for one in done.faces.values()},
    )


def test_a_campaign_that_was_killed_before_it_was_decided_decides_it_later(campaign, monkeypatch, tmp_path):
    store = tmp_path / "s"

    def killed(_inquiry, _alive):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Inquiry, "do", killed)
        done, _ = campaign(store=store, **SHOWS)
    assert (True, {TOO_LATE}) == (done.interrupted, {*done.why.values()})
    again, _ = campaign(store=store, **SHOWS)
    assert ({}, "clean") == (again.new, again.outcome)
    assert {"known"} == {one.status for one in read_store(store).signatures}


def test_what_is_undecided_when_the_time_is_up_has_a_little_more(campaign, monkeypatch):
    """Here the time is up as soon as something is to be decided."""

    def do(batch, alive):
        report = real(batch, alive)
        if report.failures:
            monkeypatch.setattr("vmsmp.campaign.conductor.time", late)
        return report

    class late:
        monotonic = staticmethod(lambda: start + 1_000.0)

    start = time.monotonic()
    real = Batch.do
    monkeypatch.setattr(Batch, "do", do)
    done, fleet = campaign(**SHOWS, seconds=1_000.0)
    assert (1, {}) == (sum(isinstance(job, Inquiry) for job in fleet.done), done.new)
    assert done.faces


def test_an_inquiry_whose_worker_was_killed_leaves_its_failure_new(campaign, monkeypatch):
    def killed(_inquiry, _alive):
        raise Killed

    monkeypatch.setattr(Inquiry, "do", killed)
    done, _ = campaign(**SHOWS)
    assert {"not decided: its worker was killed"} == {*done.why.values()}
    assert "failed" == done.outcome


@pytest.mark.ci
def test_a_planted_bug_is_new_beside_a_known_finding(campaign):
    done, _ = campaign("mutex_owners_become_readers", schedules=100, mutants=("MX-02",))
    assert done.new
    assert "failed" == done.outcome


def test_a_store_keeps_how_campaigns_ended(campaign, store):
    campaign(store=store, schedules=8)
    campaign(store=store, schedules=16, after=0)
    assert ["failed", "clean", "interrupted"] == [run.outcome for run in read_store(store).runs]
