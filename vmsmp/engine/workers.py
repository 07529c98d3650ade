"""The real threads behind the CPUs: made once for a search, handed from execution to execution.

A worker sleeps until it is given its baton.  On Linux a baton is an eventfd and the workers are pinned
to one core: a hand-off there costs a tenth of one between cores, and a tenth of a lock's on a
free-threaded build.  Elsewhere a raw lock serves.
"""

from __future__ import annotations

import _thread
import ctypes
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Final, Protocol, Self

from vmsmp.engine.flag import Flag
from vmsmp.engine.hang import HANG_S, LOOK_S, seconds_of, sleeps, tool_attached
from vmsmp.engine.watch import WATCH
from vmsmp.errors import Halt, HostHang, UsageError, quoted

#: Seconds that a job gets to come to its end.
PATIENCE_S: Final = 5.0
#: Seconds in which a CPU arrives at its next step, or unwinds when it is shaken, and how often it is shaken.
ARRIVAL_S: Final = 0.2
SHAKES: Final = 3
#: Seconds after which a CPU that has used no processor time is taken to sleep in the host.
ASLEEP_S: Final = 1.0

if hasattr(os, "eventfd"):
    HAVE_EVENTFD = True
    give: Callable[[Any, int], None] = os.eventfd_write
    take: Callable[[Any], Any] = os.eventfd_read

    def _make_baton() -> Any:
        return os.eventfd(0, os.EFD_CLOEXEC)

    def _drop_baton(baton: Any) -> None:
        os.close(baton)

else:  # pragma: no cover - a fallback that Linux never runs
    HAVE_EVENTFD = False

    def give(baton: Any, _n: int) -> None:
        baton.release()

    def take(baton: Any) -> None:
        baton.acquire()

    def _make_baton() -> Any:
        lock = _thread.allocate_lock()
        lock.acquire()
        return lock

    def _drop_baton(baton: Any) -> None:
        pass


def gil_enabled() -> bool:
    """Whether threads take turns in this process; a module may switch the GIL on when it is loaded."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def current_core() -> int | None:
    """The core to pin to: the one this process runs on now, or None where pinning is not to be had.

    `VMSMP_CORE` is the number of another one among those allowed, round and round; a fleet sets it so that
    its workers do not share.

    Raises: UsageError if it is no number.
    """
    if not hasattr(os, "sched_setaffinity"):
        return None
    allowed = sorted(os.sched_getaffinity(0))
    wanted = os.environ.get("VMSMP_CORE", "")
    if wanted:
        if not re.fullmatch("[0-9]{1,6}", wanted):
            raise UsageError(f"VMSMP_CORE must be the number of a core, from 0, not {quoted(wanted)}")
        return allowed[int(wanted) % len(allowed)]
    try:
        with open("/proc/thread-self/stat", encoding="ascii") as stat:
            core = int(stat.read().rsplit(")", 1)[1].split()[36])
    except (OSError, ValueError, IndexError):
        return allowed[0]
    return core if core in allowed else allowed[0]


def _raise_in(thread: int | None, error: type[BaseException] | None) -> None:
    """Have a thread raise that when it next runs a line of Python; None takes it back."""
    raised = ctypes.py_object(error) if error is not None else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread or 0), raised)


class _CpuThread(threading.Thread):
    """The thread of a CPU, which knows the pool that it belongs to."""

    def __init__(self, pool: WorkerPool, name: str, loop: Callable[[], None]) -> None:
        super().__init__(target=loop, name=name, daemon=True)
        self.pool = pool

    @classmethod
    def running(cls) -> WorkerPool | None:
        """The pool of the CPU that runs on this thread, if one does."""
        thread = threading.current_thread()
        if not isinstance(thread, cls) or thread.pool.engine is None:
            return None
        return thread.pool if thread in thread.pool.engine.computing() else None


_FORKED: Final = (
    "a CPU may not fork: the copy would share the hand-over of turns with this process "
    "(start processes before the run, or another program by subprocess)"
)


def _forked() -> None:
    """The process has been copied: if a CPU did it, its run is over."""
    pool = _CpuThread.running()
    if pool is not None and pool.engine is not None:
        pool.engine.refuse(UsageError(_FORKED))


def _end_copy() -> None:
    """The copy ends at once if a CPU made it: it must not touch what both processes share."""
    if _CpuThread.running() is not None:
        os.write(2, f"vmsmp: {_FORKED}\n".encode())
        os._exit(3)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_parent=_forked, after_in_child=_end_copy)


class Worker:
    """One pooled thread.  `job` is what it does when the baton reaches it."""

    __slots__ = ("baton", "job", "thread")

    def __init__(self, pool: WorkerPool, name: str, context: Context) -> None:
        self.baton = _make_baton()
        self.job: Callable[[], None] | None = None
        self.thread = _CpuThread(pool, name, partial(context.run, self._loop, pool.core))
        try:
            self.thread.start()
        except RuntimeError:  # the host has no more threads
            _drop_baton(self.baton)
            raise
        except BaseException:  # Ctrl-C: the thread may have begun, and is sent home
            give(self.baton, 1)
            raise

    def _loop(self, core: int | None) -> None:
        # a signal is for the main thread; here it would end the wait for the baton
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        if core is not None:
            os.sched_setaffinity(0, {core})
        baton = self.baton
        while True:
            take(baton)
            job = self.job
            if job is None:
                return
            self.job = None
            try:
                job()
            except Halt:
                pass  # it was shaken as it came to its end


class Driver(Protocol):
    """An engine, as the pool that it works with stops it."""

    def interrupt(self) -> None:
        """End the execution under way."""

    def computing(self) -> list[threading.Thread]:
        """The threads that do not arrive at a next step by themselves."""

    def give_up(self) -> None:
        """Wait for no CPU any longer."""

    def refuse(self, error: BaseException) -> None:
        """End the execution under way with an error; called by a CPU."""

    def hangs(self, bound: float) -> Any:
        """What hangs where a step may take `bound` seconds, None if nothing does; asked now and then."""


class WorkerPool:
    """The workers of one search; a context manager that leaves no thread and no descriptor behind.

    `core` pins every worker to that core (None: leave them to the host).  `hang_s` is how many seconds of
    processor time a controlled CPU may use in one step before it hangs (0: as many as it likes).  Workers run
    in copies of the context in which the pool is made.
    """

    def __init__(self, core: int | None = None, *, hang_s: float = HANG_S) -> None:
        self.core = core
        self.hang_s = hang_s
        self.workers: list[Worker] = []
        #: A job did not come back: its threads are left alone.
        self.abandoned = False
        #: The engine that works with this pool, and who may stop it from outside.
        self.engine: Driver | None = None
        self.watch = WATCH.get()
        self._context = copy_context()
        self._finished: Flag | None = None

    def worker(self, index: int) -> Worker:
        """The thread of CPU `index`, made on first use."""
        while len(self.workers) <= index:
            self.workers.append(Worker(self, f"vmsmp-cpu{len(self.workers)}", self._context.copy()))
        return self.workers[index]

    def drive(self, job: Callable[[], None], interrupt: Callable[[], None] | None = None) -> None:
        """Run `job` on the thread of CPU 0 and wait for it.

        On Ctrl-C `interrupt` is called (None: `halt`) and the job gets a few seconds to come to an end before
        KeyboardInterrupt goes on to the caller.
        Raises: HostHang if a CPU waits in the host for what cannot come.
        """
        finished = self._finished = Flag()
        violation: list[BaseException] = []

        def driven() -> None:
            try:
                job()
            except BaseException as error:  # carried over to the caller, whatever it is
                violation.append(error)
            finally:
                finished.set()

        boot = self.worker(0)
        boot.job = driven
        give(boot.baton, 1)
        try:
            while not finished.wait(timeout=LOOK_S):
                self._look(finished)  # and one wait without end may miss a signal that comes as it begins
        except KeyboardInterrupt:
            (interrupt or self.halt)()
            self._end(finished, PATIENCE_S)
            raise
        self.check()
        if violation:
            raise violation[0]

    def _look(self, finished: Flag) -> None:
        """Raise `HostHang` if the run under way hangs; threads that do not unwind are left behind."""
        if self.engine is None or not self.hang_s or tool_attached():
            return
        hang = self.engine.hangs(self.hang_s)
        if hang is not None:
            self._end(finished, PATIENCE_S)
            raise HostHang(hang.violation.message, hang)

    def _end(self, finished: Flag, patience: float) -> None:
        """Wait for the end of a job that has been told to end; a CPU that computes on is shaken.

        What goes on all the same is left behind, and so is soon what sleeps in the host.  Where many
        processes want the cores a thread may not run for seconds: it has not gone on before it has run.
        """
        began, shaken = time.monotonic(), 0
        used = {thread: seconds_of(thread) for thread in self._computing()}
        while not finished.wait(timeout=ARRIVAL_S):
            threads = self._computing()
            waited = time.monotonic() - began
            ran = any(seconds_of(thread) > used.get(thread, 0.0) for thread in threads)
            asleep = threads and not shaken and waited > ASLEEP_S and all(map(sleeps, threads))
            if (shaken == SHAKES and ran) or (asleep and not ran) or waited > patience:
                self.leave_behind()
                return
            if ran and shaken < SHAKES:
                used = {thread: seconds_of(thread) for thread in threads}
                self.shake()
                shaken += 1
        if shaken:
            self.calm()

    def _computing(self) -> list[threading.Thread]:
        return self.engine.computing() if self.engine is not None else []

    def leave_behind(self) -> None:
        """Go on without what does not unwind.

        What computes is shaken once more, without waiting for it; what sleeps is left as it is.
        """
        self.abandoned = True
        computing = [thread for thread in self._computing() if not sleeps(thread)]
        self.calm()
        for thread in computing:
            _raise_in(thread.ident, Halt)

    def calm(self) -> None:
        """Take back what a shaken thread has not seen; it may come too late.

        CPython before 3.13 has one flag for all threads that something is to be raised, which only a thread
        that raises takes down, and 3.11 cannot trace any thread while it is up.  So this one raises, too.
        """
        for worker in self.workers:
            _raise_in(worker.thread.ident, None)
        try:
            _raise_in(threading.get_ident(), Halt)
            while True:
                pass
        except Halt:
            pass

    # -- stopped from outside (`vmsmp.engine.watch`) -----------------------------------------------

    def check(self) -> None:
        """Raise the watch's verdict if it stopped this pool's runs."""
        if self.watch is not None and self.watch.verdict is not None:
            raise self.watch.verdict

    def halt(self) -> None:
        """Have every CPU of the execution under way unwind at its next operation or wake."""
        if self.engine is not None:
            self.engine.interrupt()

    def shake(self) -> None:
        """Raise `Halt` in the CPUs that do not arrive, wherever they compute."""
        for thread in self._computing():
            _raise_in(thread.ident, Halt)

    def abandon(self) -> None:
        """Let the caller go on without waiting for this pool."""
        self.leave_behind()
        if self._finished is not None:
            self._finished.set()
        if self.engine is not None:
            self.engine.give_up()

    def close(self) -> None:
        """Send every worker home and wait for it.

        A worker that still runs a program (after Ctrl-C, or one that never reaches a visible
        operation) is left behind as a daemon, with its descriptor, rather than waited for.
        """
        if self.abandoned:
            return
        for worker in self.workers:
            worker.job = None
            give(worker.baton, 1)
        for worker in self.workers:
            worker.thread.join(timeout=5.0)
            if not worker.thread.is_alive():
                _drop_baton(worker.baton)
        self.workers.clear()

    def __enter__(self) -> Self:
        if self.watch is not None:
            self.watch.enter(self)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.close()
        finally:
            if self.watch is not None:
                self.watch.leave(self)
