"""The timing of a free run: seeded stalls shake it, and CPUs that are spawned together start together.

They start from a spin, else the first would be done before the second begins.
"""

from __future__ import annotations

import time
from typing import Final, Protocol

from vmsmp.engine.free_cpu import FreeCpu
from vmsmp.engine.workers import gil_enabled

#: Turns for which a CPU spins for its start before it gives its core to one that is still to come.
START_SPINS: Final = 300
#: Seconds that CPUs spawned together wait for one another.
START_S: Final = 0.005

GIL: Final = gil_enabled()


class Run(Protocol):
    """The execution, as a CPU that waits for its start sees it."""

    halting: bool


class Timing:
    """Stalls a CPU once in `perturb` operations (0: never), and lets the boot CPU's CPUs go as one."""

    __slots__ = ("_perturb", "starting")

    def __init__(self, perturb: int) -> None:
        self._perturb = perturb
        #: CPUs spawned by the boot CPU that have not been let go.
        self.starting: list[FreeCpu] = []

    def next_stall(self, cpu: FreeCpu) -> int:
        """Draw the operation before which the CPU stalls next."""
        if not self._perturb:
            return 1 << 62
        return cpu.nops + 1 + int(cpu.rng("perturb").expovariate(1.0 / self._perturb))

    @staticmethod
    def stall(cpu: FreeCpu) -> None:
        """A short delay: mostly give the host a chance to switch, now and then much longer."""
        draw = cpu.rng("perturb").random()
        if draw < 0.7:
            time.sleep(0)
        elif draw < 0.98:
            time.sleep(draw * 1e-4)
        else:
            time.sleep(1e-3)

    @staticmethod
    def await_start(cpu: FreeCpu, run: Run) -> None:
        """Spin until the CPU is let go, or the run ends; it still stands still then."""
        cpu.blocked = True
        spins = 0
        while not cpu.started and not run.halting:
            spins += 1
            if GIL or spins > START_SPINS:
                time.sleep(0)
        if run.halting:  # the halt may have come before this CPU was there to be told
            cpu.fuse = 0

    def release(self) -> None:
        """The boot CPU goes on after its spawns: once all have arrived, they start as one."""
        starting, self.starting = self.starting, []
        deadline = time.monotonic() + START_S
        while not all(cpu.blocked for cpu in starting) and time.monotonic() < deadline:
            time.sleep(0)
        for cpu in starting:
            cpu.started = True
