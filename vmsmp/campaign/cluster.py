"""Batches on many machines: a cluster of dask.distributed does the jobs of a campaign.

Each job is done by a worker process of ours on the machine that it comes to, so what kills, hangs or bloats
it costs the job and not the machine's dask worker.  A job whose machine is lost goes to another one.  The
machines need the same code as the campaign.
"""

from __future__ import annotations

import sys
from queue import Empty, SimpleQueue
from typing import Any, Final

from vmsmp.campaign.batch import Batch, Job
from vmsmp.campaign.code import code_name
from vmsmp.campaign.crew import LOOK_S, Crew, Ended
from vmsmp.campaign.errand import Inquiry
from vmsmp.errors import UsageError, quoted

#: Jobs that are handed out for each thread of the cluster, so that none waits for the next.
AHEAD: Final = 2
#: How often a job goes to another machine when one is lost.
RETRIES: Final = 3
#: Seconds that the scheduler may take to answer.
ANSWER_S: Final = 10.0

#: The crews of a dask worker that have nothing to do, by interpreter.
Crews = dict[str | None, SimpleQueue[Crew]]


class Cluster:
    """Whoever is at that address; `free`: the interpreter that runs the free engine there, if another one.

    Raises: UsageError if there is no scheduler there, or the extra `cluster` is not installed.
    """

    def __init__(self, address: str, *, free: str | None = None) -> None:
        try:
            import distributed
        except ImportError:
            raise UsageError("a cluster needs the extra 'cluster': pip install 'vmsmp[cluster]'") from None
        self._free = free
        self._jobs: dict[Any, Job] = {}
        #: What is done, as the client's own thread says.
        self._over: SimpleQueue[Any] = SimpleQueue()
        dask: Any = distributed  # which has no types
        try:
            self._client = dask.Client(address, timeout=ANSWER_S, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise UsageError(f"no scheduler answers at {quoted(address)}: {error}") from None

    @property
    def room(self) -> int:
        threads: int = sum(self._client.nthreads().values())
        return max(1, AHEAD * threads) - len(self._jobs)

    @property
    def busy(self) -> int:
        return len(self._jobs)

    def begin(self, job: Job) -> None:
        interpreter = self._free if isinstance(job, Batch | Inquiry) and job.free else None
        future = self._client.submit(
            do_here, job, code_name(), interpreter, retries=RETRIES, pure=False, key=None
        )
        self._jobs[future] = job
        future.add_done_callback(self._over.put)

    def wait(self, timeout: float) -> list[Ended]:
        ended: list[Ended] = []
        try:
            while True:
                future = self._over.get(timeout=0.0 if ended else timeout)
                ended.append(self._ended(future, self._jobs.pop(future)))
        except Empty:
            return ended

    def _ended(self, future: Any, job: Job) -> Ended:
        error = future.exception()
        if error is not None:  # no machine could do it
            return Ended(job, error=f"{type(error).__name__}: {error}", died=True)
        ended: Ended = future.result()
        return ended

    def stop(self) -> None:
        self._client.cancel(list(self._jobs), force=True)
        self._jobs.clear()
        self._client.run(end_here, wait=False)
        self._client.close(timeout=ANSWER_S)


def do_here(job: Job, code: str, interpreter: str | None) -> Ended:
    """Do a job on this machine, in a process of ours; runs in a dask worker, which keeps that process."""
    import distributed

    return do_in(_crews(distributed.get_worker()), job, code, interpreter)


def do_in(crews: Crews, job: Job, code: str, interpreter: str | None) -> Ended:
    """Have a job done by a crew that has nothing to do, or a new one."""
    if code_name() != code:
        return Ended(job, error="its machine has other code than the campaign")
    idle = crews.setdefault(interpreter, SimpleQueue())
    try:
        crew = idle.get_nowait()
    except Empty:
        crew = Crew(1, interpreter=interpreter or sys.executable, pinned=False)
    crew.begin(job)
    while not (ended := crew.wait(LOOK_S)):
        pass
    idle.put(crew)
    return ended[0]


async def end_here(dask_worker: Any) -> None:
    """End the processes that a dask worker keeps and that have nothing to do; nobody waits for it."""
    for idle in _crews(dask_worker).values():
        while not idle.empty():
            idle.get().stop()


def _crews(dask_worker: Any) -> Crews:
    crews: Crews = dask_worker.__dict__.setdefault("vmsmp_crews", {})
    return crews
