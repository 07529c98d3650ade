"""Who runs next, as the engine asks it: the interface of every scheduler.

A scheduler is asked only where there is a choice: `pick` gets at least two candidates (or one and
some whose sleep it may end), in order of index.  It must draw from its own stream and never look at
the clock, at addresses or at the order of a set.  The algorithms are in `sched`.
"""

from __future__ import annotations

from vmsmp.engine.cpu import Cpu
from vmsmp.engine.machine import Machine


class Scheduler:
    """Picks the CPU that runs next.  One instance serves all executions of a search."""

    #: Whether it is asked at every step, also where only one CPU can run.
    sees_all = False
    #: Whether a run goes on after a failure without the CPU that failed, so that all of it is seen.
    finishes = False
    #: Whether it goes through a space of schedules, so that no run of its own may be put in between.
    systematic = False
    #: Whether a space that is used up has really been seen whole.
    complete = True

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

    def is_over(self) -> bool:
        """Whether nobody waits for more executions: what takes long between two of them may be left."""
        return False

    def ended(self, machine: Machine) -> None:
        """The execution is over, and what every CPU stands before is still there to be seen."""

    def share(self) -> float:
        """Of a systematic search between two runs: the share of its tree that is explored.

        The branches of a node count alike, so it is the probability that a random descent (Knuth, 1975)
        ends in a run that has been made.
        """
        return 0.0

    def choose(self, cpu: Cpu, n: int, drawn: int) -> int:
        """Choose data: a number below `n`; `drawn` is what the CPU's own stream of the seed says."""
        return drawn
