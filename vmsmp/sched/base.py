"""The interface of every scheduler, and the strings that name them.

A scheduler is asked only where there is a choice: `pick` gets at least two candidates (or one whose
sleep it may end), in order of index.  It must draw from its own stream and never look at the clock,
at addresses or at the order of a set.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from vmsmp.errors import UsageError

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu


class Scheduler:
    """Picks the CPU that runs next.  One instance serves all executions of a search."""

    #: Whether it follows a recorded run; the engine then leaves every pick to it.
    replays = False
    #: Whether it enumerates: then `begin` may say that everything has been seen.
    systematic = False

    def begin(self) -> bool:
        """Start the next execution; False when the search space is exhausted."""
        return True

    def pick(self, current: Cpu, run: list[Cpu]) -> Cpu:
        """Choose from `run`; `current` arrived last and may not be among them."""
        raise NotImplementedError

    def spawned(self, cpu: Cpu) -> None:
        """A new CPU exists."""

    def yielded(self, cpu: Cpu) -> None:
        """`cpu` cannot get on by itself: it yields, spins or failed a try."""

    def choose(self, cpu: Cpu, n: int, drawn: int) -> int:
        """Choose data: a number below `n`; `drawn` is what the CPU's own stream of the seed says."""
        return drawn


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
    from vmsmp.sched.pct import Pct
    from vmsmp.sched.portfolio import Portfolio
    from vmsmp.sched.random_walk import RandomWalk, RoundRobin

    kind, _, argument = name.partition(":")
    known: dict[str, Callable[[], Scheduler]] = {
        "portfolio": lambda: Portfolio(seed),
        "random": lambda: RandomWalk(seed),
        "rr": RoundRobin,
        "dfs": DepthFirst,
    }
    if name in known:
        return known[kind]()
    bound = int(argument) if re.fullmatch("[0-9]{1,6}", argument) else -1
    if kind == "pct" and 1 <= bound <= 100:
        return Pct(bound, seed)
    if kind == "dfs" and bound >= 0:
        return DepthFirst(bound)
    raise UsageError(
        f"unknown scheduler {name!r}: use portfolio, random, rr, pct:D (D from 1 to 100), dfs or dfs:P"
    )
