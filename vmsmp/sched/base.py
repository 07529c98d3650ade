"""The base policy that schedules are written against, and the strings that name schedulers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from vmsmp.engine.scheduler import Scheduler
from vmsmp.errors import UsageError

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu


def mask_of(cpus: list[Cpu]) -> int:
    """The CPUs as a bit mask of their indices."""
    mask = 0
    for cpu in cpus:
        mask |= 1 << cpu.index
    return mask


def base_policy(current: Cpu, run: list[Cpu], gave_way: bool) -> Cpu:
    """The deterministic policy that a schedule's preemptions are exceptions from.

    Go on with the current CPU; if it cannot, with the lowest-numbered runnable one; if it gave
    way, with the next one in turn.  A CPU whose sleep would have to be ended is never chosen.
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


def make_scheduler(name: str, seed: int) -> Scheduler:
    """Build the scheduler that a `sched` string names.

    Raises: UsageError naming the string and what there is.
    """
    from vmsmp.sched.dfs import DepthFirst
    from vmsmp.sched.dpor import Dpor
    from vmsmp.sched.pct import Pct
    from vmsmp.sched.portfolio import Portfolio
    from vmsmp.sched.pos import Pos
    from vmsmp.sched.random_walk import RandomWalk, RoundRobin, StickyWalk
    from vmsmp.sched.surw import Surw
    from vmsmp.sched.urw import Urw

    kind, _, argument = name.partition(":")
    known: dict[str, Callable[[], Scheduler]] = {
        "portfolio": lambda: Portfolio(seed),
        "random": lambda: RandomWalk(seed),
        "sticky": lambda: StickyWalk(seed),
        "pos": lambda: Pos(seed),
        "urw": lambda: Urw(seed),
        "surw": lambda: Surw(seed),
        "rr": RoundRobin,
        "dfs": DepthFirst,
        "dpor": Dpor,
    }
    if name in known:
        return known[kind]()
    bound = int(argument) if re.fullmatch("[0-9]{1,6}", argument) else -1
    if kind == "pct" and 1 <= bound <= 100:
        return Pct(bound, seed)
    if kind == "dfs" and bound >= 0:
        return DepthFirst(bound)
    if kind == "delay" and bound >= 0:
        return DepthFirst(delays=bound)
    raise UsageError(
        f"unknown scheduler {name!r}: use portfolio, random, sticky, rr, pct:D (D from 1 to 100), pos, urw, "
        "surw, dfs, dfs:P, delay:D or dpor"
    )
