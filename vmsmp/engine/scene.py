"""How the CPUs of a free execution stood as it failed, told without a fault of the host.

With the GIL one thread looks at all others.  Without it they run on, their frames go away while somebody
looks at them, and CPython with them: only a thread's own are safe.  So a CPU says where it stands as it ends.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from types import FrameType

from vmsmp.engine.free_cpu import FreeCpu
from vmsmp.engine.machine import CpuSnapshot
from vmsmp.engine.source import left_at
from vmsmp.engine.timing import GIL


def in_sight() -> dict[int, FrameType] | None:
    """The frames that the caller may look at while CPUs run, by thread identity; None for all."""
    return None if GIL else {threading.get_ident(): sys._getframe(1)}


def say(cpu: FreeCpu, error: BaseException) -> None:
    """Keep where the CPU stood as `error`, its own or a `Halt`, left its program; on its own thread."""
    cpu.stood = left_at(error.__traceback__)


def completed(scene: Sequence[CpuSnapshot], cpus: Sequence[FreeCpu]) -> tuple[CpuSnapshot, ...]:
    """The scene of a failure, with what CPUs have said themselves since."""
    return tuple(one if one.done or one.frames else replace(one, frames=cpus[one.cpu].stood) for one in scene)
