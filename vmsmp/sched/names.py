"""Schedulers by the names that users give them: `random`, `pct:3`, `dpor`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vmsmp.errors import UsageError, quoted
from vmsmp.sched.dfs import DepthFirst
from vmsmp.sched.dpor import Dpor
from vmsmp.sched.pct import Pct
from vmsmp.sched.portfolio import Portfolio
from vmsmp.sched.pos import Pos
from vmsmp.sched.random_walk import RandomWalk, RoundRobin, StickyWalk
from vmsmp.sched.surw import Surw
from vmsmp.sched.urw import Urw

if TYPE_CHECKING:
    from vmsmp.engine.scheduler import Scheduler

_NUMBER: Final = re.compile("[0-9]{1,6}")


@dataclass(frozen=True, slots=True)
class Parameter:
    """The number after a name's colon: the letter it is shown as, and its range."""

    letter: str
    least: int
    most: int | None = None

    def parse(self, text: str) -> int | None:
        """Return the number, or None if `text` is none in range."""
        if not _NUMBER.fullmatch(text):
            return None
        value = int(text)
        return value if self.least <= value <= (value if self.most is None else self.most) else None


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to name a scheduler.  `make` takes the seed and the parameter (0 without one)."""

    name: str
    make: Callable[[int, int], Scheduler]
    about: str
    parameter: Parameter | None = None

    @property
    def form(self) -> str:
        """How to write it: `rr`, `pct:D`."""
        return f"{self.name}:{self.parameter.letter}" if self.parameter else self.name

    @property
    def usage(self) -> str:
        """The form, with the parameter's range if it has an upper bound."""
        parameter = self.parameter
        if parameter is None or parameter.most is None:
            return self.form
        return f"{self.form} ({parameter.letter} from {parameter.least} to {parameter.most})"


CHOICES: Final = (
    Choice("portfolio", lambda seed, _: Portfolio(seed), "POS, SURW and PCT in turn"),
    Choice("random", lambda seed, _: RandomWalk(seed), "a uniform random walk"),
    Choice("sticky", lambda seed, _: StickyWalk(seed), "a random walk that mostly stays on its CPU"),
    Choice("rr", lambda _seed, _: RoundRobin(), "round robin"),
    Choice("pct", lambda seed, depth: Pct(depth, seed), "PCT for bugs of depth D", Parameter("D", 1, 100)),
    Choice("pos", lambda seed, _: Pos(seed), "partial order sampling"),
    Choice("urw", lambda seed, _: Urw(seed), "every interleaving alike"),
    Choice("surw", lambda seed, _: Surw(seed), "orders of one object's accesses alike"),
    Choice("dfs", lambda _seed, _: DepthFirst(), "every schedule"),
    Choice("dfs", lambda _seed, bound: DepthFirst(bound), "at most P preemptions", Parameter("P", 0)),
    Choice("delay", lambda _seed, bound: DepthFirst(delays=bound), "at most D delays", Parameter("D", 0)),
    Choice("dpor", lambda _seed, _: Dpor(), "one schedule for each order of dependent operations"),
)


def about(name: str) -> str:
    """Say in a few words what the scheduler of that name runs; the name itself if there is none."""
    base, colon, _ = name.partition(":")
    for choice in CHOICES:
        if choice.name == base and (choice.parameter is not None) == bool(colon):
            return choice.about
    return name


def make_scheduler(name: str, seed: int) -> Scheduler:
    """Build the scheduler that a `sched` string names.

    Raises: UsageError that names the string and lists the choices.
    """
    base, colon, argument = name.partition(":")
    for choice in CHOICES:
        if choice.name != base or (choice.parameter is not None) != bool(colon):
            continue
        value = 0 if choice.parameter is None else choice.parameter.parse(argument)
        if value is not None:
            return choice.make(seed, value)
    *usages, last = (choice.usage for choice in CHOICES)
    raise UsageError(f"unknown scheduler {quoted(name)}: use {', '.join(usages)} or {last}")
