"""What memory-management units cost: the size of a machine with them, and accesses that hit and that walk."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass
from functools import partial

from vmsmp.campaign.measure.figure import Figure
from vmsmp.campaign.measure.pages import MANY_PAGES, run_once
from vmsmp.campaign.options import options_for
from vmsmp.campaign.runner import runner_for
from vmsmp.engine.limits import MOST_CPUS, MOST_STEPS
from vmsmp.machine import Machine
from vmsmp.mmu.space import AddressSpace

ACCESSES = 2_000
_VA = 0x1000


@dataclass
class _Measured:
    """What one machine came to."""

    boot: float = 0.0
    grown: int = 0
    hits: float = 0.0
    walks: float = 0.0


def mmu_figures(frames: int = MANY_PAGES, cpus: int = MOST_CPUS) -> list[Figure]:
    """Boot a machine with so many frames and CPUs, each of which stores to its own page; then access one."""
    found = _Measured()

    def program(m: Machine) -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        mmu = m.mmu(frames=frames)
        space = AddressSpace(mmu, "process")

        def process(n: int) -> None:
            space.enter(_VA * n, mmu.memory.take("process"))
            space.activate()
            m.curcpu.store(_VA * n, n)

        for n in range(cpus):
            m.spawn(process, n + 2)
        m.join()
        found.boot = time.perf_counter() - start
        found.grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        process(1)
        found.hits = _rate(m)
        found.walks = _rate(m, flush=True)

    with runner_for(program, options_for(program, max_steps=MOST_STEPS), check=False, hang_s=0) as runner:
        runner.drive(partial(run_once, runner))
    machine = f"{frames:,} frames and {cpus + 1} CPUs"
    return [
        Figure(f"boot of {machine}", frames / found.boot, "frames/s", note=f"{found.boot:.2f} s"),
        Figure(f"memory of {machine}", found.grown / frames, "bytes/frame", note="growth of the process"),
        Figure("loads that hit the TLB", found.hits, "loads/s"),
        Figure(
            "loads that walk", found.walks, "loads/s", found.walks / found.hits, note="with a flush; to a hit"
        ),
    ]


def _rate(m: Machine, *, flush: bool = False) -> float:
    """Loads a second, each after a flush or none."""
    cpu = m.curcpu
    start = time.perf_counter()
    for _ in range(ACCESSES):
        if flush:
            cpu.mmu.invlpg(_VA)
        cpu.load(_VA)
    return ACCESSES / (time.perf_counter() - start)
