"""Worker processes: what kills, hangs or bloats one costs its job and no other."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
import sortedcontainers

from vmsmp.campaign import crew as subject
from vmsmp.campaign.batch import Batch
from vmsmp.campaign.crew import Crew, check_free_threaded
from vmsmp.campaign.errand import Recheck
from vmsmp.campaign.way import Way
from vmsmp.errors import UsageError
from vmsmp.library import find_scenario


def batch_of(schedules, name="spin_upgrade"):
    way = Way("controlled", "exact")
    return Batch(name, way, 0, schedules, way.options_for(find_scenario(name), (), ()))


SHORT = batch_of(3)
LONG = batch_of(10**9)


def ended(crew, count=1):
    """Wait until so many jobs are over."""
    found = []
    while len(found) < count:
        found += crew.wait(0.5)
    return found


def children():
    """The processes that this one has started, without those of Python's own."""
    words = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [
        int(word) for word in words if "resource_tracker" not in Path(f"/proc/{word}/cmdline").read_text()
    ]


def words_of(process):
    """The command line of a worker, once it has one."""
    while not (words := Path(f"/proc/{process}/cmdline").read_text().split("\0")[:-1]):
        time.sleep(0.01)
    return words


def at_work(crew):
    """The process of a crew of one, once it runs its job."""
    while not children() or len(list(Path(f"/proc/{children()[0]}/task").iterdir())) < 2:
        assert [] == crew.wait(0.02)
    return children()[0]


@pytest.fixture
def crew():
    made = []

    def make(size=1, **more):
        made.append(Crew(size, **more))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def test_a_worker_does_one_job_after_another(crew):
    one = crew()
    processes = set()
    for _ in range(2):
        one.begin(SHORT)
        (over,) = ended(one)
        assert (SHORT, 3, "") == (over.job, over.result.executions, over.error)
        processes.update(children())
    assert (1, 0, 1) == (one.room, one.busy, len(processes))


def test_a_crew_has_room_for_so_many_jobs_on_a_core_each_and_leaves_nobody(crew):
    one = crew(2)
    room = []
    for _ in range(2):
        room.append(one.room)
        one.begin(LONG)
    assert ([2, 1], 0, 2) == (room, one.room, one.busy)
    assert {"0", "1"} == {words_of(child)[-2] for child in children()}
    one.stop()
    assert ([], 0) == (children(), one.busy)


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGSEGV, marks=pytest.mark.ci)], ids=["killed", "segv"]
)
def test_a_worker_that_dies_costs_its_job_alone(crew, number):
    one = crew()
    one.begin(LONG)
    os.kill(at_work(one), number)
    (over,) = ended(one)
    one.begin(SHORT)
    (after,) = ended(one)
    assert (None, f"its worker was killed by {number.name}", True) == (over.result, over.error, over.died)
    assert 3 == after.result.executions


def test_a_worker_that_says_nothing_hangs(crew):
    one = crew()
    one.begin(LONG)
    os.kill(at_work(one), signal.SIGSTOP)
    one.patience_s = 0.1
    (over,) = ended(one)
    assert ("its worker said nothing for 0.1 s", True, False) == (over.error, over.hung, over.died)
    assert [] == children()


def test_a_worker_that_takes_too_much_memory_is_ended(crew):
    one = crew(memory=1 << 10)
    one.begin(LONG)
    (over,) = ended(one)
    assert "MB of memory" in over.error
    assert (False, []) == (over.died, children())


@pytest.mark.ci
def test_a_worker_that_died_idle_is_replaced(crew):
    one = crew()
    one.begin(SHORT)
    ended(one)
    os.kill(children()[0], signal.SIGKILL)
    while Path(f"/proc/{children()[0]}/stat").read_text().split()[2] != "Z":
        time.sleep(0.01)
    one.begin(SHORT)
    (over,) = ended(one)
    assert 3 == over.result.executions


@pytest.mark.ci
def test_a_job_that_raises_is_told_of(crew):
    one = crew()
    one.begin(Recheck("f0", None, "spin_upgrade"))
    (over,) = ended(one)
    assert (None, False) == (over.result, over.died)
    assert over.error.splitlines()[-1].startswith("AttributeError: ")


# -- a free-threaded interpreter ------------------------------------------------------------------


def script(tmp_path, text):
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("echo True", "does not run threads in parallel"),
        ("echo no such module >&2; exit 1", "no such module"),
        ("exit 1", "it fails"),
    ],
)
def test_an_interpreter_that_cannot_be_used_is_refused(tmp_path, text, words):
    with pytest.raises(UsageError, match=words):
        check_free_threaded(script(tmp_path, text))


def test_an_interpreter_that_is_not_there_is_refused():
    with pytest.raises(UsageError, match="No such file"):
        check_free_threaded("/no/such/python")


def test_an_interpreter_that_runs_threads_in_parallel_is_taken(tmp_path):
    check_free_threaded(script(tmp_path, "echo False"))


@pytest.mark.ci
def test_a_worker_runs_in_the_interpreter_that_is_asked_for(tmp_path, crew):
    one = crew(interpreter=script(tmp_path, f'echo "$@" > {tmp_path}/words; exec {sys.executable} "$@"'))
    one.begin(SHORT)
    (over,) = ended(one)
    assert 3 == over.result.executions
    assert "-P -m vmsmp.campaign.worker" in (tmp_path / "words").read_text()


@pytest.mark.ci
def test_a_free_batch_runs_in_parallel_where_an_interpreter_can(crew, monkeypatch, tmp_path):
    interpreter = os.environ.get("VMSMP_FREETHREADED")
    if not interpreter:
        pytest.skip("VMSMP_FREETHREADED names no free-threaded interpreter")
    # what an interpreter without packages lacks, and no other package of this one's
    shutil.copytree(Path(sortedcontainers.__file__).parent, tmp_path / "sortedcontainers")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    check_free_threaded(interpreter)
    one = crew(interpreter=interpreter, pinned=False)
    free = Way("free", "exact")
    scenario = find_scenario("spin_upgrade")
    one.begin(Batch("spin_upgrade", free, 0, 3, free.options_for(scenario, (), ())))
    (over,) = ended(one)
    assert (3, ()) == (over.result.executions, over.result.failures)


# -- its share of the memory ----------------------------------------------------------------------


@pytest.mark.parametrize(("workers", "share"), [(1, 2 << 30), (4, 2 << 30), (16, 819 << 20)])
def test_a_worker_has_its_share_of_the_machine(monkeypatch, workers, share):
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 4 << 20}.get)
    assert share == subject._share(workers) >> 20 << 20


def test_the_environment_of_a_worker_has_this_package_first(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    here, elsewhere = subject.environment()["PYTHONPATH"].split(os.pathsep)
    assert (True, "/elsewhere") == ((Path(here) / "vmsmp").is_dir(), elsewhere)
