"""Telling that a controlled run hangs: a CPU does not arrive at its next visible operation.

One CPU runs at a time.  If it computes without end, or waits in the host for what cannot come (a
`threading.Lock` that another CPU took and still holds at a visible operation), no step will come at which a
checker could say so.  `Hangs` looks from outside, now and then, so that a step costs nothing: the log has not
grown since the last look, and the thread of the CPU whose turn it is has used processor time, or sleeps.
It hangs once it has computed for a bound of seconds in one step, or slept for somewhat longer.

What vmsmp itself computes (a pick, a check, the boot of a large machine) is no hang, nor is what stands in
a debugger.  One call into C that keeps the GIL (a regular expression that tracks back for ever) leaves nobody
to look: it is not told while it lasts, nor after it if the step ends with it, and Ctrl-C waits for it.

The bound is the only place where real time counts.  No schedule depends on it: an execution that ends by
itself within the bound is not touched, and one that does not is given up.
"""

from __future__ import annotations

import linecache
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final

from vmsmp.engine import source
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.machine import CpuSnapshot, Machine
from vmsmp.engine.source import Role
from vmsmp.engine.trouble import is_machinery_s
from vmsmp.engine.verdict import FailureKind, Violation

#: Seconds of processor time in one step after which a CPU hangs, where nobody says otherwise.
HANG_S: Final = 1.0
#: How many times as long it may sleep in the host.
PATIENCE: Final = 4.0
#: Seconds between two looks.
LOOK_S: Final = 0.25
#: How often, and after how many seconds each, a hanging CPU is looked at to see what it does.
SAMPLES: Final = 8
SAMPLE_S: Final = 0.003
#: The host's own locks and queues: whoever waits in one of these modules was called by the next frame.
_HOST: Final = ("threading", "queue")
#: Modules of debuggers, in which a thread may stand as long as it likes.
_DEBUGGERS: Final = ("bdb", "pdb", "pydevd", "_pydevd_bundle", "debugpy")
#: Clock ticks of the host in a second.
_TICKS: Final = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass(frozen=True, slots=True)
class Hang:
    """A run that hangs: the verdict, how every CPU stood and what it did last, and the run up to there.

    `unwinding`: the run has ended, and the program goes on.
    """

    violation: Violation
    scene: tuple[CpuSnapshot, ...]
    recent: tuple[tuple[str, tuple[str, ...]], ...]
    log: list[int]
    draws: list[int]
    seed: int
    unwinding: bool


@dataclass(slots=True)
class _Usage:
    """What a thread has done: seconds of processor time, and whether it sleeps."""

    seconds: float
    asleep: bool


class Hangs:
    """Looks at one engine's executions from outside, always from the same thread."""

    def __init__(self) -> None:
        self._seen: object = None
        self._began = 0.0
        self._last = 0.0
        self._computed = 0.0
        self._slept = 0.0

    def look(self, execution: Any, bound: float) -> Hang | None:
        """Return what hangs, or None while nothing does.

        `execution` is the one under way, `bound` the seconds of processor time that a step may take.
        """
        machine: Machine | None = getattr(execution, "machine", None)  # it forgets both when it is over
        current: Cpu | None = getattr(execution, "current", None)
        usage = usage_of(current.thread) if current is not None and not current.done else None
        seen = _standing(execution) if usage is not None else None
        if machine is None or current is None or usage is None or seen != self._seen:
            self._start(seen, usage)
            return None
        self._add(usage)
        if self._computed < bound and self._slept < PATIENCE * bound:
            return None
        computes = self._computed >= bound
        first = _stack(current)[::-1]
        frames = _where(current)
        if not frames or debugged(frames[0]) or _is_ours(machine, frames, computes=computes):
            self._start(seen, usage)
            return None
        if _standing(execution) != seen or current.done or _is_ours(machine, first, computes=computes):
            return None  # it got on while it was looked at, or what it waited for has just come to its end
        return _told(execution, machine, current, frames, computes=computes)

    def _start(self, seen: object, usage: _Usage | None) -> None:
        """Something got on: count from here."""
        self._seen = seen
        self._computed = self._slept = 0.0
        self._began = usage.seconds if usage is not None else 0.0
        self._last = time.monotonic()

    def _add(self, usage: _Usage) -> None:
        """Nothing got on since the last look: a thread that used no processor time meanwhile has slept."""
        now = time.monotonic()
        computed = usage.seconds - self._began
        if usage.asleep and computed <= self._computed:
            self._slept += min(now - self._last, 2 * LOOK_S)  # the whole machine may have slept
        self._computed, self._last = computed, now


def _standing(execution: Any) -> object:
    """What is the same as long as nothing gets on."""
    return id(execution), getattr(execution, "current", None), execution.progress()


def usage_of(thread: threading.Thread) -> _Usage | None:
    """What a thread has used, as the host tells; None where it does not."""
    try:
        with open(f"/proc/self/task/{thread.native_id}/stat", encoding="ascii", errors="replace") as stat:
            words = stat.read().rpartition(")")[2].split()
        return _Usage((int(words[11]) + int(words[12])) / _TICKS, words[0] in "SD")
    except (OSError, IndexError, ValueError):
        return None if sys.platform == "linux" else _Usage(time.process_time(), True)


def seconds_of(thread: threading.Thread) -> float:
    """Seconds of processor time that a thread has used; 0 where the host does not tell."""
    usage = usage_of(thread)
    return usage.seconds if usage is not None else 0.0


def sleeps(thread: threading.Thread) -> bool:
    """Whether a thread sleeps right now; so does one of which the host tells nothing."""
    usage = usage_of(thread)
    return usage is None or usage.asleep


def tool_attached() -> bool:
    """Whether a debugger traces this process."""
    tracer = sys.gettrace()
    monitoring = getattr(sys, "monitoring", None)
    if monitoring is not None and monitoring.get_tool(monitoring.DEBUGGER_ID) is not None:
        return True
    name = getattr(tracer, "__module__", None) or type(tracer).__module__
    return tracer is not None and str(name).partition(".")[0] in _DEBUGGERS


def debugged(frame: FrameType | None) -> bool:
    """Whether the thread stands in a debugger of Python's; ours is an observer like any other."""
    while frame is not None:
        if _module(frame) in _DEBUGGERS:
            return True
        frame = frame.f_back
    return False


def has_leave(machine: Machine, cpu: Cpu, used: float = -1.0) -> bool:
    """Whether the CPU may take as long as it likes: vmsmp itself works there, or somebody debugs.

    vmsmp works while it uses processor time: more than the `used` seconds of the look before.
    """
    frames = _where(cpu)
    if not frames or debugged(frames[0]):
        return bool(frames)
    return _is_ours(machine, frames, computes=True) and seconds_of(cpu.thread) > used


def _is_ours(machine: Machine, frames: list[FrameType], *, computes: bool) -> bool:
    """Whether it is vmsmp that takes so long, for a scheduler, an observer, or what the program asked for."""
    if any(is_machinery_s(frame) for frame in frames):
        return True
    inner = next((frame for frame in frames if _module(frame) not in _HOST), None)
    at_work = inner is not None and source.role_of(inner) is Role.MACHINERY
    return computes and (machine.setting_up or at_work)


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__") or "").partition(".")[0]


def _where(cpu: Cpu) -> list[FrameType]:
    """The frames in which the CPU's thread stays, the innermost first.

    It may call functions in its loop, so it is looked at several times: the frames that are always there
    lead to the loop.
    """
    kept = _stack(cpu)
    for _ in range(SAMPLES):
        time.sleep(SAMPLE_S)
        now = _stack(cpu)
        same = 0
        while same < min(len(kept), len(now)) and kept[same] is now[same]:
            same += 1
        kept = kept[:same]
    return kept[::-1]


def _stack(cpu: Cpu) -> list[FrameType]:
    """The frames of the CPU's thread, the outermost first."""
    frames: list[FrameType] = []
    frame = source.current_frames().get(cpu.thread.ident or 0)
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames[::-1]


def _told(
    execution: Any, machine: Machine, cpu: Cpu, frames: list[FrameType], *, computes: bool
) -> Hang | None:
    """What hangs, with all that can be known without any step of it; None if it is none of the program's."""
    frame = next((f for f in frames if _module(f) not in _HOST and source.role_of(f) is Role.PROGRAM), None)
    if frame is None:
        return None
    function = source.place_of(frame.f_code, source.line_at(frame)).function
    if execution.halting:
        what = f"goes on in {function} after its run has ended"
    elif computes:
        what = f"computes in {function} and arrives at no visible operation"
    else:
        what = f"waits in the host in {function}, outside every visible operation"
    scene = machine.survey()
    facts = (*_facts(cpu, frame, scene), *_advice(computes=computes, unwinding=execution.halting))
    violation = Violation(FailureKind.HANG, f"{cpu} {what}", facts, cpu.index, by_host=True)
    recent = tuple(
        (str(one), tuple(machine.describe(code) for code in execution.recent(one))) for one in machine.cpus
    )
    log, draws = execution.whole_log(), list(execution.draws)
    return Hang(violation, scene, recent, log, draws, machine.seed, execution.halting)


def _facts(cpu: Cpu, frame: FrameType, scene: tuple[CpuSnapshot, ...]) -> Iterator[str]:
    """Where it stands and what it holds, and where the others stand."""
    place = source.place_of(frame.f_code, source.line_at(frame))
    line = linecache.getline(frame.f_code.co_filename, place.line).strip()
    yield f"{cpu} is at {place}" + (f": {line}" if line else "")
    for one in scene:
        if one.cpu == cpu.index:
            yield f"{cpu} holds {', '.join(one.holds) or 'no lock'}"
        elif not one.done and one.frames:
            where = " < ".join(str(place) for place in one.frames[:2])
            yield f"cpu{one.cpu} stands before {one.before}, at {where}"


def _advice(*, computes: bool, unwinding: bool) -> Iterator[str]:
    if unwinding:
        yield "the end of a run is told by an exception, which no `except BaseException` may keep"
    elif not computes:
        yield (
            "a lock of the host (threading.Lock and its like) must not be held across a visible operation: "
            "use a lock of the machine, such as m.spinlock(), or let go of it first"
        )
    yield (
        "how long a step takes depends on the host: if this one would end, give it more time (hang_s, --hang)"
    )
