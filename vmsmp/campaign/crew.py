"""A crew of worker processes: a job that kills, hangs or bloats its process costs that job and no other.

A worker is a process of its own (`campaign.worker`), in whatever interpreter the crew is made for.  One
that dies, says nothing for too long or takes too much memory is ended and told of, and another one takes
its place.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Final, Protocol

import vmsmp
from vmsmp.campaign.batch import Job
from vmsmp.campaign.settle import interrupts_held
from vmsmp.errors import UsageError, quoted, shorten

#: Seconds without a sign of life after which a worker hangs, and those that it may take to start.
PATIENCE_S: Final = 120.0
START_S: Final = 120.0
#: Seconds between two looks at how workers are.
LOOK_S: Final = 0.5
#: Bytes that a worker may have, unless its share of the machine is less.
MEMORY: Final = 2 << 30
#: The share of the machine's memory that all workers may have together.
SHARE: Final = 0.8


@dataclass(frozen=True, slots=True)
class Ended:
    """A job is over: what it came to, or `error`, why it could not be done.

    `died`: its worker was killed by somebody else, and so the job may succeed when it is tried again.
    """

    job: Job
    result: Any = None
    error: str = ""
    died: bool = False
    hung: bool = False


class Fleet(Protocol):
    """Whoever does jobs for a campaign: processes of this machine, or of several."""

    @property
    def room(self) -> int:
        """How many more jobs can begin now."""

    @property
    def busy(self) -> int:
        """How many jobs are under way."""

    def begin(self, job: Job) -> None:
        """Have a job done; there must be room."""

    def wait(self, timeout: float) -> list[Ended]:
        """The jobs that are over, maybe none: as soon as there are some, at the latest after `timeout`."""

    def stop(self) -> None:
        """End everything at once; jobs under way are lost."""


class Crew:
    """So many worker processes on this machine; `pinned`: each has a core for its controlled runs."""

    def __init__(
        self,
        size: int,
        *,
        interpreter: str = sys.executable,
        pinned: bool = True,
        patience_s: float = PATIENCE_S,
        memory: int | None = None,
    ) -> None:
        self.size = size
        self.patience_s = patience_s
        self.memory = _share(size) if memory is None else memory
        self._interpreter = interpreter
        self._cores: list[int | None] = [core if pinned else None for core in reversed(range(size))]
        self._idle: list[_Worker] = []
        self._at_work: dict[Any, _Worker] = {}

    @property
    def room(self) -> int:
        return self.size - len(self._at_work)

    @property
    def busy(self) -> int:
        return len(self._at_work)

    def begin(self, job: Job) -> None:
        while True:
            worker = self._idle.pop() if self._idle else _Worker(self._interpreter, self._cores.pop())
            try:
                worker.begin(job)
            except OSError:  # it died while it had nothing to do
                self._end(worker)
                continue
            self._at_work[worker.pipe] = worker
            return

    def wait(self, timeout: float) -> list[Ended]:
        ready = wait(list(self._at_work), min(timeout, LOOK_S))
        ended = []
        for pipe in list(self._at_work):
            worker = self._at_work[pipe]
            over = worker.heard() if pipe in ready else worker.looked_at(self.patience_s, self.memory)
            if over is None:
                continue
            del self._at_work[pipe]
            if over.error:
                self._end(worker)
            else:
                self._idle.append(worker)
            ended.append(over)
        return ended

    def _end(self, worker: _Worker) -> None:
        worker.stop()
        self._cores.append(worker.core)

    def stop(self) -> None:
        for worker in (*self._idle, *self._at_work.values()):
            self._end(worker)
        self._idle.clear()
        self._at_work.clear()


class _Worker:
    """One process, and what it does."""

    def __init__(self, interpreter: str, core: int | None) -> None:
        self.core = core
        self.pipe, theirs = Pipe()
        self._job: Job | None = None
        self._heard = 0.0
        self._started = False
        words = (str(theirs.fileno()), "" if core is None else str(core), str(os.getpid()))
        with theirs, interrupts_held():
            self._process = subprocess.Popen(
                [interpreter, "-P", "-m", "vmsmp.campaign.worker", *words],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=environment(),
            )

    def begin(self, job: Job) -> None:
        """Give it a job.

        Raises: OSError if it has died.
        """
        self._job = job
        self._heard = time.monotonic()
        self.pipe.send(job)

    def heard(self) -> Ended | None:
        """What it says: the job is over, or (None) it is at work."""
        assert self._job is not None
        try:
            said = self.pipe.recv()
        except (EOFError, OSError):
            return Ended(self._job, error=f"its worker {self._end()}", died=True)
        self._heard = time.monotonic()
        self._started = True
        if said is None:
            return None
        result, error = said
        return Ended(self._job, result, error)

    def looked_at(self, patience_s: float, memory: int) -> Ended | None:
        """Whether it has hung, or taken too much memory; None if it is well."""
        assert self._job is not None
        patience_s = patience_s if self._started else max(patience_s, START_S)
        if time.monotonic() - self._heard > patience_s:
            return Ended(self._job, error=f"its worker said nothing for {patience_s:g} s", hung=True)
        taken = _resident(self._process.pid)
        if taken > memory:
            return Ended(self._job, error=f"its worker took {taken >> 20:,} MB of memory")
        return None

    def _end(self) -> str:
        """How the process ended that has closed its pipe."""
        try:
            code = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            return "closed its pipe"
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"

    def stop(self) -> None:
        """End the process."""
        self.pipe.close()
        self._process.kill()
        self._process.wait()


def environment() -> Mapping[str, str]:
    """The environment of a worker: it finds this package, whatever its interpreter has installed."""
    here = str(Path(vmsmp.__file__).resolve().parents[1])
    path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path}


def _share(workers: int) -> int:
    """Bytes that each of so many workers may have."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(MEMORY, int(SHARE * machine) // workers)


def _resident(process: int) -> int:
    """Bytes of memory that a process has; 0 where that cannot be told."""
    try:
        with open(f"/proc/{process}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def check_free_threaded(interpreter: str) -> None:
    """Make sure that an interpreter runs threads in parallel and has what a worker needs.

    Raises: UsageError in one line if not.
    """
    script = "import sys, vmsmp.campaign.worker; print(getattr(sys, '_is_gil_enabled', lambda: True)())"
    try:
        told = subprocess.run(
            [interpreter, "-P", "-c", script],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=START_S,
            check=False,
            env=environment(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = getattr(error, "strerror", None) or "it does not answer"
        raise UsageError(f"cannot use interpreter {quoted(interpreter, 300)}: {reason}") from None
    if told.returncode:
        last = (told.stderr.strip().splitlines() or ["it fails"])[-1]
        raise UsageError(f"cannot use interpreter {quoted(interpreter, 300)}: {shorten(last, 200)}")
    if told.stdout.strip() != "False":
        raise UsageError(f"interpreter {quoted(interpreter, 300)} does not run threads in parallel")
