"""What the page layer costs: page operations a second by CPUs and colours, and the size of a machine.

A page operation is one allocation and its free.  The bound is the same on one CPU, or in a small
machine, measured in the same run.
"""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from vmsmp.campaign.free_run import run
from vmsmp.campaign.measure.figure import Figure
from vmsmp.campaign.options import options_for
from vmsmp.campaign.outcome import Outcome
from vmsmp.campaign.runner import Runner, runner_for
from vmsmp.engine.limits import MOST_STEPS
from vmsmp.machine import Machine
from vmsmp.sched.names import make_scheduler
from vmsmp.vm.system import VmSystem
from vmsmp.vm.vm_page.alloc import vm_page_alloc
from vmsmp.vm.vm_page.flags import VM_ALLOC_NORMAL
from vmsmp.vm.vm_page.free import vm_page_free

#: Numbers of colours of the curve.
COLOURS = (1, 4, 16, 64, 1024)
PAGES = 4096
MANY_PAGES, FEW_PAGES = 1_000_000, 1_000
ALLOCATIONS = 2_000
#: What a boot of PAGES may take of a free run's time.
BOOT_S = 0.2


@dataclass(frozen=True, slots=True)
class Throughput:
    """Page operations a second, and which share of the grants of queue locks had to wait."""

    rate: float
    contested: float


def _allocate(vm: VmSystem, pindex: int) -> None:
    m = vm_page_alloc(vm, None, pindex, VM_ALLOC_NORMAL)
    assert m is not None
    vm_page_free(m)


def page_storm(cpus: int, colours: int, counts: list[int], began: list[float]) -> Callable[[Machine], None]:
    """Each CPU allocates and frees for ever, in its own share of the colours; `began` says since when."""

    def program(m: Machine) -> None:
        vm = m.boot(pages=PAGES, l2_size=colours, topology=(1, cpus, 1))

        def turn(n: int) -> None:
            done = 0
            while True:
                _allocate(vm, done)
                done += 1
                counts[n] = done

        began.append(time.perf_counter())
        for n in range(cpus):
            m.spawn(turn, n)
        m.join()

    return program


def throughput(cpus: int, colours: int, seconds: float) -> Throughput:
    """Run the storm freely, checkers off."""
    counts = [0] * cpus
    began: list[float] = []
    storm = page_storm(cpus, colours, counts, began)
    outcome: Outcome = run(storm, engine="free", time_s=BOOT_S + seconds, perturb=0, check=False)
    elapsed = time.perf_counter() - began[0] if began else 0.0
    if outcome.failure is not None:
        raise RuntimeError(f"the page storm failed: {outcome.failure.message}")
    queues = [lock for lock in outcome.locks if lock.name.startswith("pq.")]
    taken = sum(lock.acquisitions for lock in queues)
    contested = sum(lock.contested for lock in queues)
    return Throughput(sum(counts) / elapsed if elapsed else 0.0, contested / taken if taken else 0.0)


def page_figures(seconds: float, rounds: int = 3) -> list[Figure]:
    """One CPU, two on disjoint colours, two on one colour, interleaved so that drift hits all."""
    cases: list[tuple[str, int, int, float | None]] = [
        ("1 CPU", 1, 64, None),
        ("2 CPUs, 64 colours", 2, 64, 1.5),
        ("2 CPUs, 1 colour", 2, 1, None),
    ]
    slot = max(0.1, seconds / (rounds * len(cases)))
    found: dict[str, list[Throughput]] = {name: [] for name, *_ in cases}
    for _ in range(rounds):
        for name, cpus, colours, _goal in cases:
            found[name].append(throughput(cpus, colours, slot))
    one = statistics.median(t.rate for t in found["1 CPU"])
    figures = []
    for name, _cpus, _colours, goal in cases:
        rate = statistics.median(t.rate for t in found[name])
        contested = statistics.median(t.contested for t in found[name])
        note = f"{contested:.1%} of queue grants contested"
        figures.append(
            Figure(f"free, pages, {name}", rate, "alloc+free/s", rate / one if one else 0.0, goal, note)
        )
    return figures


def colour_curve(seconds: float, cpus: int = 2) -> list[tuple[int, Throughput]]:
    """Throughput against the number of colours."""
    slot = max(0.1, seconds / len(COLOURS))
    return [(colours, throughput(cpus, colours, slot)) for colours in COLOURS]


def run_once(runner: Runner) -> None:
    """Run the runner's program once, and let it go.

    Raises: RuntimeError if it failed.
    """
    scheduler = make_scheduler("rr", 1)
    scheduler.begin()
    machine = runner.run(scheduler, 1)
    if machine.violation is not None:
        raise RuntimeError(f"the measurement failed: {machine.violation.message}")
    machine.close()


def _resident() -> int:
    """How many bytes of this process are in memory now (its maximum a process has from its parent)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@dataclass
class Sizes:
    """What booting machines of several sizes came to, by their number of pages.

    `grown` is by how many bytes the process grew; one that has let memory go before grows by less.
    """

    allocations: int
    boots: dict[int, float] = field(default_factory=dict)
    grown: dict[int, float] = field(default_factory=dict)
    rates: dict[int, float] = field(default_factory=dict)

    def measure(self, pages: int) -> None:
        """Boot a machine of that size and allocate in it."""

        def program(m: Machine) -> None:
            before = _resident()
            start = time.perf_counter()
            vm = m.boot(pages=pages, l2_size=1024)
            self.boots[pages] = time.perf_counter() - start
            self.grown[pages] = _resident() - before
            for pindex in range(self.allocations):  # locks are made on first use
                _allocate(vm, pindex)
            start = time.perf_counter()
            for pindex in range(self.allocations):
                _allocate(vm, pindex)
            self.rates[pages] = self.allocations / (time.perf_counter() - start)

        with runner_for(program, options_for(program, max_steps=MOST_STEPS), check=False, hang_s=0) as runner:
            runner.drive(partial(run_once, runner))


def boot_sizes(allocations: int, *counts: int) -> Sizes:
    """Boot machines of so many pages one after the other, and allocate so often in each."""
    sizes = Sizes(allocations)
    for pages in counts:
        sizes.measure(pages)
    return sizes


def size_figures(pages: int = MANY_PAGES) -> list[Figure]:
    """Boot a small machine and a large one: seconds, bytes a page, and what an allocation costs.

    They are booted in a process of their own, whose growth is theirs.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        sizes = fresh.submit(boot_sizes, ALLOCATIONS, FEW_PAGES, pages).result()
    boot, size, rate = sizes.boots[pages], sizes.grown[pages] / pages, sizes.rates[pages]
    ratio = rate / sizes.rates[FEW_PAGES]
    return [
        Figure(f"boot of {pages:,} pages", pages / boot, "pages/s", note=f"{boot:.1f} s"),
        Figure(f"memory of {pages:,} pages", size, "bytes/page", note="growth of the process"),
        Figure(
            f"allocation among {pages:,} pages",
            rate,
            "alloc+free/s",
            ratio,
            note=f"to one among {FEW_PAGES:,}",
        ),
    ]
