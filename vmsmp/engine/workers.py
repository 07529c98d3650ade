"""The real threads behind the CPUs: made once for a search, handed from execution to execution.

A worker sleeps until it is given its baton.  On Linux a baton is an eventfd and the workers are pinned
to one core: a hand-off there costs a tenth of one between cores, and a tenth of a lock's on a
free-threaded build.  Elsewhere a raw lock serves.
"""

from __future__ import annotations

import _thread
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, Protocol, Self

from vmsmp.engine.watch import WATCH
from vmsmp.errors import Halt, HostHang

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

    `VMSMP_CORE` names another one; a fleet sets it so that its workers do not share.
    """
    if not hasattr(os, "sched_setaffinity"):
        return None
    allowed = sorted(os.sched_getaffinity(0))
    wanted = os.environ.get("VMSMP_CORE", "")
    if wanted.isdigit():
        return allowed[int(wanted) % len(allowed)]
    try:
        with open("/proc/thread-self/stat", encoding="ascii") as stat:
            core = int(stat.read().rsplit(")", 1)[1].split()[36])
    except (OSError, ValueError, IndexError):
        return allowed[0]
    return core if core in allowed else allowed[0]


class Worker:
    """One pooled thread.  `job` is what it does when the baton reaches it."""

    __slots__ = ("baton", "job", "thread")

    def __init__(self, name: str, core: int | None) -> None:
        self.baton = _make_baton()
        self.job: Callable[[], None] | None = None
        self.thread = threading.Thread(target=self._loop, args=(core,), name=name, daemon=True)
        self.thread.start()

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
            job()


class Driver(Protocol):
    """An engine, as the pool that it works with stops it."""

    def interrupt(self) -> None:
        """End the execution under way."""

    def computing(self) -> list[threading.Thread]:
        """The threads that do not arrive at a next step by themselves."""

    def give_up(self) -> None:
        """Wait for no CPU any longer."""

    def hangs(self) -> str:
        """What hangs in the host, "" if nothing does; asked about once a second."""


class WorkerPool:
    """The workers of one search; a context manager that leaves no thread and no descriptor behind.

    `core` pins every worker to that core (None: leave them to the host).
    """

    def __init__(self, core: int | None = None) -> None:
        self.core = core
        self.workers: list[Worker] = []
        #: A job did not come back: its threads are left alone.
        self.abandoned = False
        #: The engine that works with this pool, and who may stop it from outside.
        self.engine: Driver | None = None
        self.watch = WATCH.get()
        self._finished: threading.Event | None = None

    def worker(self, index: int) -> Worker:
        """The thread of CPU `index`, made on first use."""
        while len(self.workers) <= index:
            self.workers.append(Worker(f"vmsmp-cpu{len(self.workers)}", self.core))
        return self.workers[index]

    def drive(self, job: Callable[[], None], interrupt: Callable[[], None] | None = None) -> None:
        """Run `job` on the thread of CPU 0 and wait for it.

        On Ctrl-C `interrupt` is called (None: `halt`) and the job gets a few seconds to come to an end before
        KeyboardInterrupt goes on to the caller.
        Raises: HostHang if a CPU waits in the host for what cannot come.
        """
        finished = self._finished = threading.Event()
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
            while not finished.wait(timeout=1.0):
                self._look()  # and one wait without end may miss a signal that comes as it begins
        except KeyboardInterrupt:
            (interrupt or self.halt)()
            self.abandoned = not finished.wait(timeout=5.0)
            raise
        self.check()
        if violation:
            raise violation[0]

    def _look(self) -> None:
        """Raise `HostHang` if the run under way hangs; its threads are left behind."""
        told = self.engine.hangs() if self.engine is not None else ""
        if told:
            self.abandoned = True
            self.halt()
            raise HostHang(told)

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
        for thread in self.engine.computing() if self.engine is not None else ():
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident or 0), ctypes.py_object(Halt)
            )

    def abandon(self) -> None:
        """Let the caller go on without waiting for this pool."""
        self.abandoned = True
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
