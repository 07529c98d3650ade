"""The normal form of a run: one order of its steps that is the same for all runs of its trace.

Neighbouring independent steps are swapped until every CPU goes on as long as it can; where it cannot, the
lowest-numbered one that can comes next.  The result has few switches and reads well, and its digest is the
same for failures that differ only in the order of independent steps.
"""

from __future__ import annotations

from typing import Final

from vmsmp.engine import trace
from vmsmp.sched.effects import Event
from vmsmp.sched.partial_order import Clock, PartialOrder

#: The longest run to normalize, in steps.
LIMIT: Final = 20_000


def order_of(log: list[int]) -> PartialOrder:
    """Return the happens-before order of a run."""
    return PartialOrder(Event(cpu, code) for cpu, code in trace.steps(log))


def grouped(order: PartialOrder, wanted: Clock | None = None) -> list[int]:
    """Return the numbers of the steps, or of those in `wanted` and before, in normal form."""
    waiting: dict[int, list[int]] = {}
    for cpu, mine in enumerate(order.steps):
        last = len(order.events) if wanted is None else wanted[cpu]
        if mine and mine[0] <= last:
            waiting[cpu] = [n for n in reversed(mine) if n <= last]
    chosen: list[int] = []
    # by CPU, the number of its last step that is chosen
    done = [-1] * len(order.steps)
    current = 0
    while waiting:
        if current not in waiting or not _is_next(order, waiting[current][-1], done):
            current = next(cpu for cpu in waiting if _is_next(order, waiting[cpu][-1], done))
        n = waiting[current].pop()
        if not waiting[current]:
            del waiting[current]
        chosen.append(n)
        done[current] = n
    return chosen


def _is_next(order: PartialOrder, n: int, done: list[int]) -> bool:
    """Whether all that comes before step n is done."""
    mine = order.events[n].cpu
    return all(last <= done[cpu] or cpu == mine for cpu, last in enumerate(order.clocks[n]))


def as_log(order: PartialOrder, numbers: list[int]) -> list[int]:
    """Return these steps in this order, as a log."""
    log: list[int] = []
    current = 0
    for n in numbers:
        cpu, code, _ = order.events[n]
        if cpu != current:
            log.append(-1 - cpu)
            current = cpu
        log.append(code)
    return log


def causes(order: PartialOrder, cpu: int) -> Clock:
    """Return the CPU's last step and all that happens before it."""
    mine = order.steps[cpu] if cpu < len(order.steps) else []
    return order.clocks[mine[-1]] if mine else (-1,) * len(order.steps)


def digest(log: list[int], cpu: int | None = None) -> str:
    """Name the run's trace, the same on every interpreter; "" for a run that is too long.

    With `cpu`, name only what led to the last step of that CPU.
    """
    if len(log) > LIMIT:
        return ""
    order = order_of(log)
    return trace.digest(as_log(order, grouped(order, None if cpu is None else causes(order, cpu))))
