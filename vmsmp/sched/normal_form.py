"""The normal form of a run: one order of its steps that is the same for all runs of its trace.

Neighbouring steps that do not depend on each other are swapped until every CPU goes on as long as it
can; where it cannot, the lowest-numbered one that can comes next.  So the form is also the order with
few switches that reads best, and its digest tells failures apart that differ in more than the order of
independent steps.
"""

from __future__ import annotations

from typing import Final

from vmsmp.engine import ops, trace
from vmsmp.sched.partial_order import Event, Trace

#: Steps of a run beyond which it is not looked for: its order takes memory by the square of them.
LIMIT: Final = 20_000
#: So many IPIs and taking again of tokens, which depend on everything, are borne in a run of that length.
WIDE: Final = 50


def order_of(log: list[int]) -> Trace:
    """What happens before what in the run."""
    return Trace(Event(cpu, code) for cpu, code in trace.steps(log))


def grouped(order: Trace, wanted: int | None = None) -> list[int]:
    """The numbers of the steps (of those in the bit mask `wanted`, if there is one) in normal form."""
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


def as_log(order: Trace, numbers: list[int]) -> list[int]:
    """These steps in this order, as a log."""
    log: list[int] = []
    current = 0
    for n in numbers:
        cpu, code = order.events[n]
        if cpu != current:
            log.append(-1 - cpu)
            current = cpu
        log.append(code)
    return log


def causes(order: Trace, cpu: int) -> int:
    """The last step of the CPU and all that had to come before it, as a bit mask."""
    steps = [n for n, event in enumerate(order.events) if event.cpu == cpu]
    return order.before[steps[-1]] | 1 << steps[-1] if steps else 0


def digest(log: list[int], cpu: int | None = None) -> str:
    """Name the run's trace: the same for all its runs, on every interpreter; "" for a run beyond `LIMIT`.

    With a `cpu` it names only what led to the last step of that one.
    """
    everywhere = sum(code & ops.KIND_MASK in ops.EVERYWHERE for code in log if code >= 0)
    if len(log) * (everywhere + 1) > LIMIT * (WIDE + 1) or len(log) > LIMIT:
        return ""
    order = order_of(log)
    return trace.digest(as_log(order, grouped(order, None if cpu is None else causes(order, cpu))))
