"""The base policy: who runs where a schedule says nothing.

A schedule is a list of exceptions from it, so a change here changes what every schedule line means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.engine import ops

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu


def mask_of(cpus: list[Cpu]) -> int:
    """Return the CPUs as a bit mask of their indices."""
    mask = 0
    for cpu in cpus:
        mask |= 1 << cpu.index
    return mask


def gave_way(current: Cpu) -> bool:
    """Whether `current` stands before an operation that gives way."""
    return not current.done and current.pending in ops.GIVING_WAY


def base_policy(current: Cpu, run: list[Cpu], gave_way: bool) -> Cpu:
    """Pick from `run` as the deterministic policy does that preemptions are exceptions from.

    Stay on the current CPU; if it cannot run, take the lowest-numbered runnable one; if it gave
    way, the next one in turn.  Never choose a CPU whose sleep would have to be ended.
    """
    if gave_way:
        later = [cpu for cpu in run if not cpu.alarmed and cpu is not current]
        for cpu in later:
            if cpu.index > current.index:
                return cpu
        if later:
            return later[0]
    elif current in run and not current.alarmed:
        return current
    for cpu in run:
        if not cpu.alarmed:
            return cpu
    return run[0]
