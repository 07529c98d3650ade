"""`--hang`: how long a run may stand still, for every command that runs a program."""

from __future__ import annotations

import pytest

from vmsmp.campaign.batch import Batch, Report

BUSY = """
def busy(m):
    while True:
        pass
"""
#: Computes for a moment, which is no hang by itself.
SLOW = """
import time

def slow(m):
    end = time.thread_time() + 1.0
    while time.thread_time() < end:
        pass
"""
NAPS = """
import time

def naps(m):
    time.sleep(1.5)
"""
MESSAGE = "cpu0 computes in busy and arrives at no visible operation"


@pytest.fixture
def file(tmp_path):
    """Write a program to a file; the file's name."""

    def write(text):
        path = tmp_path / "program.py"
        path.write_text(text)
        return path

    return write


# -- a run that hangs -----------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("run",), ("replay", "v1:busy:0:")], ids=" ".join)
def test_a_hang_is_a_failure_that_is_found(vmsmp, file, words):
    ended = vmsmp(*words, file(BUSY), "--hang", "0.2")
    assert (1, f"hang: {MESSAGE}", "") == (ended.code, ended.out.splitlines()[0], ended.err)


@pytest.mark.parametrize("words", [("minimize",), ("ddb", "-c", "quit")], ids=" ".join)
def test_what_only_looks_at_a_run_says_that_it_hangs(vmsmp, file, words):
    command, *more = words
    ended = vmsmp(command, "v1:busy:0:", file(BUSY), *more, "--hang", "0.2")
    assert (1, f"vmsmp: the run hangs: {MESSAGE}\n") == (ended.code, ended.err)


def test_a_search_that_hung_says_how_long_it_took(vmsmp, file):
    assert vmsmp("run", file(BUSY), "--hang", "0.2", "--json").json["seconds"] > 0.2


def test_a_free_run_hangs_after_as_many_seconds(vmsmp, file):
    ended = vmsmp("run", file(NAPS), "--engine", "free", "--hang", "0.5", "--time", "5")
    assert (1, "hang: no CPU has got on for 0.5 s") == (ended.code, ended.out.splitlines()[0])


# -- a run that is given more time ----------------------------------------------------------------


@pytest.mark.parametrize("seconds", ["0", "1000"])
def test_a_long_step_may_be_allowed(vmsmp, file, seconds):
    assert 0 == vmsmp("replay", "v1:slow:0:", file(SLOW), "--hang", seconds).code


@pytest.mark.ci
def test_the_environment_allows_it_too(vmsmp, file, monkeypatch):
    monkeypatch.setenv("VMSMP_HANG", "0.1")
    refused = vmsmp("replay", "v1:slow:0:", file(SLOW)).code
    monkeypatch.setenv("VMSMP_HANG", "0")
    assert (1, 0) == (refused, vmsmp("replay", "v1:slow:0:", file(SLOW)).code)


def test_a_free_run_may_never_hang(vmsmp, file):
    assert 0 == vmsmp("run", file(NAPS), "--engine", "free", "--hang", "0", "--time", "1").code


# -- campaigns ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("words", "wanted"), [((), None), (("--hang", "7"), 7.0), (("--hang", "0"), 0.0)])
def test_the_batches_of_a_campaign_have_the_bound(vmsmp, monkeypatch, words, wanted):
    asked = []
    monkeypatch.setattr(Batch, "_controlled", lambda batch, *_: asked.append(batch.hang_s) or Report(batch))

    class Inline:
        room, busy = 1, 0

        def begin(self, job):
            job.do(lambda: None)

        def wait(self, timeout):
            return []

        def stop(self):
            pass

    monkeypatch.setattr("vmsmp.campaign.stress._fleet", lambda _means: Inline())
    assert 0 == vmsmp("stress", "--scenarios", "spin_upgrade", "--schedules", "1", *words).code
    assert [wanted] == asked


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "replay", "minimize", "ddb", "stress"])
@pytest.mark.parametrize("seconds", ["-1", "x", "nan", "inf", "1e7"])
def test_a_bound_that_cannot_be_is_bad_input(vmsmp, command, seconds):
    words = ["spin_upgrade"] if command == "run" else [] if command == "stress" else ["v1:spin_upgrade:0:"]
    assert (2, "", 1) == vmsmp(command, *words, "--hang", seconds).complaint


@pytest.mark.parametrize("command", ["run", "replay", "minimize", "ddb", "stress"])
def test_the_help_says_how_long_it_is_without_it(vmsmp, command):
    told = " ".join(vmsmp(command, "--help").out.split())
    assert ("default 1; " in told, "default 5)" in told) == (True, True)
