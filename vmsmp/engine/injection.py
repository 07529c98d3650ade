"""Waits that the scheduler may end: timeouts that fire early and wakeups that nobody sent.

While there are any, the CPUs that wait so are candidates at every pick beside those that can run.
"""

from __future__ import annotations

from bisect import insort
from operator import attrgetter
from typing import Final

from vmsmp.engine.controlled_cpu import ControlledCpu
from vmsmp.engine.options import Options
from vmsmp.engine.wait import WaitEnd

#: Timeouts and spurious wakeups that the search may inject into one CPU in one execution.
INJECTIONS: Final = 4

_by_index = attrgetter("index")


def may_end(options: Options, cpu: ControlledCpu, timeout: int | None) -> bool:
    """Whether the scheduler may end the wait that `cpu` begins."""
    if cpu.injections >= INJECTIONS:
        return False
    return options.spurious or (timeout is not None and options.timeouts == "any")


def add(alarmed: list[ControlledCpu], cpu: ControlledCpu) -> None:
    """`cpu` waits and the scheduler may end that; the list stays in order of index."""
    cpu.alarmed = True
    insort(alarmed, cpu, key=_by_index)


def candidates(alarmed: list[ControlledCpu], run: list[ControlledCpu]) -> list[ControlledCpu]:
    """Who can be picked, in order of index."""
    return sorted([*run, *alarmed], key=_by_index)


def inject(options: Options, cpu: ControlledCpu) -> WaitEnd:
    """End the wait of `cpu`, in one way after the other; say how."""
    timed = cpu.deadline is not None and options.timeouts == "any"
    ways = [WaitEnd.TIMEOUT] if timed else []
    if options.spurious:
        ways.append(WaitEnd.SPURIOUS)
    cpu.wait_end = ways[cpu.injections % len(ways)]
    cpu.injections += 1
    return cpu.wait_end
