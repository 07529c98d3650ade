"""A worker process: it does one job after another, in an interpreter that the campaign chose.

    python -P -m vmsmp.campaign.worker DESCRIPTOR CORE PARENT

Jobs come through the pipe of that descriptor.  What goes back is None now and then while a job is at work,
and in the end a pair: what the job came to, or why it could not be done.  Ctrl-C and its like are for the
parent; the process ends with it, however that ends.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
import traceback
from multiprocessing.connection import Connection
from typing import Any, Final

from vmsmp.campaign.batch import Job
from vmsmp.campaign.settle import settle

#: Seconds between two signs of life.
ALIVE_S: Final = 0.5
#: What `prctl` calls the signal that a process gets when its parent dies.
_PR_SET_PDEATHSIG: Final = 1


def end_with(parent: int) -> None:
    """Have the host kill this process when its parent, which has that number, is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was gone before this could be said
        os._exit(1)


def serve(pipe: Any) -> None:
    """Do jobs until the pipe ends."""
    while True:
        try:
            job: Job = pipe.recv()
            pipe.send(None)
            pipe.send(_done(job, pipe))
        except (EOFError, OSError):
            return


def _done(job: Job, pipe: Any) -> tuple[Any, str]:
    """What a job comes to, or why it could not be done."""
    said = time.monotonic()

    def alive() -> None:
        nonlocal said
        if time.monotonic() - said >= ALIVE_S:
            said = time.monotonic()
            pipe.send(None)

    try:
        return job.do(alive), ""
    except OSError:
        raise
    except Exception:
        return None, traceback.format_exc().rstrip()


def main(words: list[str]) -> None:
    """Settle on a core, if one is given, and serve the pipe that the parent has made."""
    descriptor, core, parent = words
    settle(int(core) if core else None)
    end_with(int(parent))
    serve(Connection(int(descriptor)))


if __name__ == "__main__":
    main(sys.argv[1:])
