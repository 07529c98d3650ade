"""The threads behind the CPUs: reused, pinned, and gone when the pool is."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest

import vmsmp
from lost_update import lost_update
from vmsmp.engine.workers import WorkerPool, current_core


def descriptors():
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc/self/fd here")


def test_a_worker_is_made_once():
    with WorkerPool() as pool:
        assert pool.worker(2) is pool.worker(2)


def test_asking_for_a_worker_makes_those_before_it():
    with WorkerPool() as pool:
        pool.worker(2)
        assert ["vmsmp-cpu0", "vmsmp-cpu1", "vmsmp-cpu2"] == [w.thread.name for w in pool.workers]


def test_a_closed_pool_leaves_no_thread():
    before = threading.enumerate()
    with WorkerPool() as pool:
        pool.worker(5)
    assert not set(threading.enumerate()) - set(before)


@needs_proc
def test_a_closed_pool_leaves_no_descriptor():
    before = descriptors()
    with WorkerPool() as pool:
        pool.worker(5)
    assert before == descriptors()


def test_a_job_runs_on_the_thread_of_cpu_0():
    ran = []
    with WorkerPool() as pool:
        pool.drive(lambda: ran.append(threading.current_thread()))
        assert [pool.worker(0).thread] == ran


def test_drive_carries_an_exception_of_the_job_to_the_caller():
    def job():
        raise KeyError("lost")

    with WorkerPool() as pool, pytest.raises(KeyError, match="lost"):
        pool.drive(job)


def test_a_pool_drives_again_after_a_job_that_raised():
    ran = []
    with WorkerPool() as pool:
        with pytest.raises(ZeroDivisionError):
            pool.drive(lambda: 1 // 0)
        pool.drive(lambda: ran.append("again"))
    assert ["again"] == ran


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no pinning on this system")
def test_workers_are_pinned_to_the_core_of_their_pool():
    core = min(os.sched_getaffinity(0))
    found = []
    with WorkerPool(core) as pool:
        pool.drive(lambda: found.append(os.sched_getaffinity(0)))
    assert [{core}] == found


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no pinning on this system")
def test_driving_leaves_the_callers_own_affinity_alone():
    before = os.sched_getaffinity(0)
    vmsmp.explore(lost_update, sched="rr", schedules=2)
    assert before == os.sched_getaffinity(0)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no pinning on this system")
def test_the_environment_names_the_core_to_pin_to(monkeypatch):
    monkeypatch.setenv("VMSMP_CORE", "1")
    allowed = sorted(os.sched_getaffinity(0))
    assert allowed[1 % len(allowed)] == current_core()


def test_ten_thousand_executions_leave_no_thread():
    before = threading.enumerate()
    result = vmsmp.explore(lost_update, sched="random", schedules=10_000, stop="never", check=False)
    assert 10_000 == result.executions
    assert not set(threading.enumerate()) - set(before)


@needs_proc
def test_many_searches_leave_no_descriptor():
    before = descriptors()
    for seed in range(100):
        vmsmp.explore(lost_update, sched="random", schedules=5, seed=seed)
    assert before == descriptors()


MEASURE = """
import gc, tracemalloc, vmsmp
from lost_update import lost_update

runs, sizes = 0, []

def measured(m):
    global runs
    runs += 1
    if runs % 500 == 0:
        gc.collect()
        sizes.append(tracemalloc.get_traced_memory()[0])
    lost_update(m)

tracemalloc.start()
vmsmp.explore(measured, sched="random", schedules=2_500, stop="never", seed=1)
print(*sizes)
"""


@pytest.mark.ci
def test_memory_stays_flat_over_thousands_of_executions():
    # In a process of its own: what the other threads of this one hold would count too.
    done = subprocess.run(
        [sys.executable, "-c", MEASURE],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "" == done.stderr
    first, _, _, fourth, fifth = map(int, done.stdout.split())
    assert min(fourth, fifth) < first + 50_000  # 34 bytes an execution


@pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(),
    reason="without the GIL CPython itself leaves closures to its collector",
)
def test_a_finished_execution_goes_without_the_garbage_collector():
    machines = []

    def remembered(m):
        machines.append(weakref.ref(m))
        lock = m.spinlock()

        def worker():
            with lock:
                pass

        m.spawn(worker)
        m.join()

    gc.collect()
    gc.disable()
    try:
        vmsmp.explore(remembered, sched="random", schedules=20)
        alive = sum(machine() is not None for machine in machines)
    finally:
        gc.enable()
    assert alive <= 1  # the engine may still know its last one


# -- Ctrl-C ---------------------------------------------------------------------------------------


def press_ctrl_c():
    """As a user would: the main thread has long been waiting for the pool."""
    time.sleep(0.05)
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


needs_main = pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(), reason="signals go to the main thread"
)


@needs_main
def test_ctrl_c_ends_an_endless_execution_which_is_not_counted():
    def endless(m):
        word = m.cell(0)
        press_ctrl_c()
        while True:
            word.store(1)

    result = vmsmp.explore(endless, sched="random", max_steps=10**7)
    assert (True, 0, {}) == (result.interrupted, result.executions, result.counts)


@needs_main
def test_ctrl_c_between_executions_ends_the_search():
    runs = 0

    def short(m):
        nonlocal runs
        runs += 1
        if runs == 3:
            press_ctrl_c()
            while not m.engine.engine.interrupted:
                time.sleep(0.001)

    result = vmsmp.explore(short, sched="random", schedules=10**9)
    assert (True, 3) == (result.interrupted, result.executions)


@needs_main
def test_ctrl_c_leaves_no_thread():
    def endless(m):
        word = m.cell(0)

        def worker():
            while True:
                word.store(1)

        m.spawn(worker)
        m.spawn(worker)
        press_ctrl_c()
        m.join()

    before = threading.enumerate()
    vmsmp.explore(endless, sched="random", max_steps=10**7)
    assert not set(threading.enumerate()) - set(before)


@needs_main
def test_ctrl_c_while_a_failure_is_being_confirmed_is_not_reported_as_nondeterminism():
    runs = 0

    def failing(m):
        nonlocal runs
        runs += 1
        word = m.cell(0)
        if runs == 2:  # the first is the search's, the second tells its story
            press_ctrl_c()
            while not m.engine.engine.interrupted:
                time.sleep(0.001)
        word.store(1)
        m.check(False, "always")

    result = vmsmp.explore(failing, sched="random")
    assert (True, []) == (
        result.interrupted,
        [failure.kind for failure in result.failures if failure.kind != "check"],
    )


@needs_main
def test_ctrl_c_in_a_replay_leaves_no_thread():
    over = False

    def endless(m):
        word = m.cell(0)
        press_ctrl_c()
        while not over:
            word.store(1)

    before = threading.enumerate()
    try:
        with pytest.raises(KeyboardInterrupt):
            vmsmp.replay(endless, "v1:endless+steps=10000000:0:", check=False)
        left = [thread for thread in threading.enumerate() if thread not in before]
    finally:
        over = True  # a thread left behind must not run on beside the tests after this one
    assert [] == left


def test_a_signal_sent_to_a_worker_s_thread_does_not_end_its_wait():
    heard = []
    before = signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))
    try:
        with WorkerPool() as pool:
            worker = pool.worker(0)
            for _ in range(20):  # until it is sure to wait
                signal.pthread_kill(worker.thread.ident, signal.SIGUSR1)
                time.sleep(0.01)
            assert worker.thread.is_alive()
            done = []
            pool.drive(lambda: done.append(1))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert [1] == done


# -- processes -------------------------------------------------------------------------------------

FORKS = """
import os, warnings
import vmsmp

warnings.simplefilter("ignore")

def forks(m):
    word = m.cell(0)

    def worker():
        os.fork()
        word.store(1)

    m.spawn(worker)
    m.join()

try:
    vmsmp.run(forks, engine={engine!r})
except vmsmp.UsageError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("engine", ["controlled", "free"])
def test_a_cpu_that_forks_is_refused_in_both_processes(engine):
    done = subprocess.run(
        [sys.executable, "-c", FORKS.format(engine=engine)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = [done.stdout.partition(":")[0], done.stderr.partition(": the copy")[0]]
    assert ["a CPU may not fork", "vmsmp: a CPU may not fork"] == said


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_who_is_no_cpu_may_fork():
    def program(m):
        m.cell(0).load()

    def progress(_):
        child = os.fork()
        if not child:
            os._exit(7)
        ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    ended = []
    vmsmp.explore(program, schedules=10**6, time_s=0.7, progress=progress)
    assert 7 in ended


@pytest.mark.skipif(not Path("/bin/true").exists(), reason="no program to run")
def test_a_cpu_may_run_another_program():
    def program(m):
        subprocess.run(["/bin/true"], check=True)

    assert vmsmp.explore(program, schedules=2).ok
