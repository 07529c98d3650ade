"""The normal form of a run: one order of its steps that is the same for all runs of its trace.

Neighbouring independent steps are swapped until every CPU goes on as long as it can; where it cannot, the
lowest-numbered one that can comes next.  The result has few switches and reads well, and its digest is the
same for failures that differ only in the order of independent steps.
"""

from __future__ import annotations

from typing import Final

from vmsmp.engine import ops, trace
from vmsmp.sched.effects import Event
from vmsmp.sched.partial_order import PartialOrder

#: The longest run to normalize, in steps: the order takes memory by their square.
LIMIT: Final = 20_000
#: How many IPIs and reacquired tokens, which depend on everything, a run of that length may have.
WIDE: Final = 50


def order_of(log: list[int]) -> PartialOrder:
    """Return the happens-before order of a run."""
    return PartialOrder(Event(cpu, code) for cpu, code in trace.steps(log))


def grouped(order: PartialOrder, wanted: int | None = None) -> list[int]:
    """Return the numbers of the steps, or of those in the bit mask `wanted`, in normal form."""
    waiting: dict[int, list[int]] = {}
    for n in range(len(order.events) - 1, -1, -1):
        if wanted is None or wanted >> n & 1:
            waiting.setdefault(order.events[n].cpu, []).append(n)
    chosen: list[int] = []
    done = 0
    current = 0
    while waiting:
        ready = [cpu for cpu in sorted(waiting) if not order.before[waiting[cpu][-1]] & ~done]
        current = current if current in ready else ready[0]
        n = waiting[current].pop()
        if not waiting[current]:
            del waiting[current]
        chosen.append(n)
        done |= 1 << n
    return chosen


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


def causes(order: PartialOrder, cpu: int) -> int:
    """Return the CPU's last step and all that happens before it, as a bit mask."""
    steps = [n for n, event in enumerate(order.events) if event.cpu == cpu]
    return order.before[steps[-1]] | 1 << steps[-1] if steps else 0


def digest(log: list[int], cpu: int | None = None) -> str:
    """Name the run's trace, the same on every interpreter; "" for a run that is too long.

    With `cpu`, name only what led to the last step of that CPU.
    """
    everywhere = sum(code & ops.KIND_MASK in ops.EVERYWHERE for code in log if code >= 0)
    if len(log) * (everywhere + 1) > LIMIT * (WIDE + 1) or len(log) > LIMIT:
        return ""
    order = order_of(log)
    return trace.digest(as_log(order, grouped(order, None if cpu is None else causes(order, cpu))))
