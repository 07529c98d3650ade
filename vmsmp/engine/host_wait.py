"""Telling that a controlled run hangs in the host.

One CPU runs at a time.  If it waits for a lock of the host (`threading.Lock` and its like) that another CPU
took and still holds at a visible operation, nobody can ever run again, and no step will come at which a
checker could say so.  `HostWaits` looks from outside, now and then: the log has not grown, and the thread of
the CPU whose turn it is sleeps in the host, called from the program itself.  Seen so often in a row, it is a
hang.

Wall time decides only when that is said; no verdict on the program depends on it.
"""

from __future__ import annotations

import linecache
from types import FrameType
from typing import Any, Final

from vmsmp.engine import source
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.source import Role

#: Looks in a row, about a second apart, after which a CPU that sleeps in the host hangs.
LOOKS: Final = 5
#: The host's own locks and queues: whoever waits in one of these modules was called by the next frame.
_HOST: Final = ("threading", "queue")
#: Modules of debuggers, which may wait as long as they like.
_DEBUGGERS: Final = ("bdb", "pdb", "pydevd", "_pydevd_bundle", "debugpy")


class HostWaits:
    """Looks at one engine's executions from outside; any thread may ask."""

    def __init__(self) -> None:
        self._seen: object = None
        self._looks = 0

    def look(self, current: Cpu | None, progress: object) -> str:
        """Return what hangs, or "" while nothing does.

        `current` is the CPU whose turn it is; `progress` differs from the last look's if it got on.
        """
        frame = _waiting_frame(current) if current is not None else None
        if current is None or frame is None or progress != self._seen:
            self._seen, self._looks = progress, 0
            return ""
        self._looks += 1
        return _told(current, frame) if self._looks >= LOOKS else ""


def _waiting_frame(cpu: Cpu) -> FrameType | None:
    """The program's frame in which the CPU's thread sleeps in the host, None if it does not."""
    if cpu.done or not _sleeps(cpu.thread.native_id):
        return None
    frame = source.current_frames().get(cpu.thread.ident or 0)
    while frame is not None and _module(frame) in _HOST:
        frame = frame.f_back
    if frame is None or source.role_of(frame) is not Role.PROGRAM or _debugged(frame):
        return None
    return frame


def _sleeps(thread: int | None) -> bool:
    """Whether the host has put that thread to sleep; False where the host does not tell."""
    try:
        with open(f"/proc/self/task/{thread}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] in "SD"
    except (OSError, IndexError):
        return False


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__") or "").partition(".")[0]


def _debugged(frame: FrameType | None) -> bool:
    """Whether the thread stands in a debugger: Python's, or `vmsmp ddb` at its prompt."""
    while frame is not None:
        if _module(frame) in _DEBUGGERS or frame.f_globals.get("__name__") == "vmsmp.campaign.debugger":
            return True
        frame = frame.f_back
    return False


def _told(cpu: Cpu, frame: FrameType) -> str:
    """What hangs, in lines: who waits where, and where the others stand."""
    machine: Any = cpu.machine
    place = source.place_of(frame.f_code, frame.f_lineno)
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
    lines = [
        f"{cpu} waits in the host, outside every visible operation, and no other CPU can run meanwhile",
        f"  {cpu} waits at {place}" + (f": {line}" if line else ""),
    ]
    for other in machine.survey():
        if other.cpu != cpu.index and not other.done and other.frames:
            where = " < ".join(str(one) for one in other.frames[:2])
            lines.append(f"  cpu{other.cpu} stands before {other.before}, at {where}")
    lines.append(
        "  a lock of the host (threading.Lock and its like) must not be held across a visible operation: "
        "use a lock of the machine, such as m.spinlock(), or let go of it first"
    )
    return "\n".join(lines)
