"""What the page layer costs: page operations a second by CPUs and colours, and the size of a machine.

A page operation is one allocation and its free.  The bound is the same on one CPU, or in a small
machine, measured in the same run.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from vmsmp.campaign.free_run import run
from vmsmp.campaign.measure import Figure
from vmsmp.campaign.outcome import Outcome
from vmsmp.campaign.search import Runner, options_for
from vmsmp.engine.workers import WorkerPool, current_core
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


def _run_once(runner: Runner) -> None:
    scheduler = make_scheduler("rr", 1)
    scheduler.begin()
    machine = runner.run(scheduler, 1)
    if machine.violation is not None:
        raise RuntimeError(f"the measurement failed: {machine.violation.message}")
    machine.close()


def size_figures(pages: int = MANY_PAGES) -> list[Figure]:
    """Boot a large machine and a small one: seconds, bytes a page, and what an allocation costs."""
    boots: dict[int, float] = {}
    grown: dict[int, float] = {}
    rates: dict[int, float] = {}

    def measured(count: int) -> Callable[[Machine], None]:
        def program(m: Machine) -> None:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            start = time.perf_counter()
            vm = m.boot(pages=count, l2_size=1024)
            boots[count] = time.perf_counter() - start
            grown[count] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
            for pindex in range(ALLOCATIONS):  # locks are made on first use
                _allocate(vm, pindex)
            start = time.perf_counter()
            for pindex in range(ALLOCATIONS):
                _allocate(vm, pindex)
            rates[count] = ALLOCATIONS / (time.perf_counter() - start)

        return program

    with WorkerPool(current_core()) as pool:
        for count in (FEW_PAGES, pages):
            program = measured(count)
            runner = Runner(pool, program, options_for(program, max_steps=10**9), check=False)
            pool.drive(partial(_run_once, runner))
    return [
        Figure(f"boot of {pages:,} pages", pages / boots[pages], "pages/s", note=f"{boots[pages]:.1f} s"),
        Figure(
            f"memory of {pages:,} pages", grown[pages] / pages, "bytes/page", note="growth of the process"
        ),
        Figure(
            f"allocation among {pages:,} pages",
            rates[pages],
            "alloc+free/s",
            rates[pages] / rates[FEW_PAGES],
            note=f"to one among {FEW_PAGES:,}",
        ),
    ]
