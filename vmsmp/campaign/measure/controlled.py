"""The controlled engine against its bound, a bare step loop.

The loop has pooled threads, the same hand-off, pinned to the same core, a random pick before every step and a
log of it; no operations, no objects, no checks.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from vmsmp.campaign.measure.figure import Figure
from vmsmp.campaign.options import options_for
from vmsmp.campaign.runner import Runner
from vmsmp.engine import trace
from vmsmp.engine.flag import Flag
from vmsmp.engine.workers import PATIENCE_S, Worker, WorkerPool, current_core, give, take
from vmsmp.library import find_scenario
from vmsmp.machine import Machine
from vmsmp.sched.names import make_scheduler

#: CPUs of the controlled measurements, and turns of their loops.
CPUS = 3
TURNS = 300


def bare_steps(pool: WorkerPool, steps: int = 20_000) -> float:
    """Steps a second of the bare loop: what no engine of this kind can beat."""
    workers = [pool.worker(n) for n in range(1, CPUS + 1)]
    draw = random.Random(1).random
    finished = Flag()
    log: list[int] = []

    def body(me: Worker, others: list[Worker]) -> None:
        while len(log) < steps:
            nxt = others[int(draw() * CPUS)]
            log.append(id(nxt))
            if nxt is not me:
                give(nxt.baton, 1)
                take(me.baton)
        # pass the end around so that nobody sleeps on
        log.append(0)
        if len(log) >= steps + CPUS:
            finished.set()
        else:
            give(others[(others.index(me) + 1) % CPUS].baton, 1)

    for worker in workers:
        worker.job = lambda worker=worker: body(worker, workers)
    start = time.perf_counter()
    give(workers[0].baton, 1)
    try:
        finished.wait()
    except KeyboardInterrupt:
        pool.abandoned = not finished.wait(PATIENCE_S)  # the loop comes to its end alone
        raise
    return len(log) / (time.perf_counter() - start)


def on_cells(m: Machine) -> None:
    """Loads and stores of a cell that all share."""
    word = m.cell(0)

    def turn() -> None:
        for _ in range(TURNS):
            word.store(word.load() + 1)

    for _ in range(CPUS):
        m.spawn(turn)


def on_locks(m: Machine) -> None:
    """Lock and unlock, with a load and a store inside."""
    lock = m.spinlock("bench")
    word = m.cell(0)

    def turn() -> None:
        for _ in range(TURNS // 2):
            lock.acquire()
            word.store(word.load() + 1)
            lock.release()

    for _ in range(CPUS):
        m.spawn(turn)


def controlled_steps(
    pool: WorkerPool,
    program: Callable[[Machine], None],
    sched: str,
    *,
    check: bool,
    locks: str,
    seconds: float,
) -> float:
    """Steps a second of the controlled engine."""
    runner = Runner(pool, program, options_for(program, locks=locks, max_steps=10**7), check=check)
    scheduler = make_scheduler(sched, 1)
    steps = 0
    start = time.perf_counter()

    def loop() -> None:
        nonlocal steps
        while not steps or time.perf_counter() - start < seconds:
            scheduler.begin()
            machine = runner.run(scheduler, 1)
            steps += trace.count_steps(runner.engine.execution.log)
            machine.close()

    pool.drive(loop)
    return steps / (time.perf_counter() - start)


@dataclass
class _Case:
    """One workload, measured again and again; its rates, and their ratios to the bound of the same moment."""

    name: str
    program: Callable[[Machine], None]
    sched: str
    check: bool
    locks: str
    goal: float | None
    rates: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)

    def measure(self, pool: WorkerPool, seconds: float, bound: float) -> None:
        """Take one more measurement."""
        rate = controlled_steps(
            pool, self.program, self.sched, check=self.check, locks=self.locks, seconds=seconds
        )
        self.rates.append(rate)
        self.ratios.append(rate / bound)

    def figure(self, unchecked: _Case | None = None) -> Figure:
        """The medians, compared to the same workload with checkers off if that is given."""
        rate, ratio = statistics.median(self.rates), statistics.median(self.ratios)
        note = ""
        if unchecked is not None:
            part = statistics.median(on / off for on, off in zip(self.ratios, unchecked.ratios, strict=True))
            note = f"{part:.2f} of its speed with checkers off"
        return Figure(self.name, rate, "steps/s", ratio, self.goal, note)


def _cases() -> list[_Case]:
    one_colour, page_storm, faults = (
        find_scenario(name) for name in ("alloc_storm_one_colour", "page_storm", "faults_against_munmap")
    )
    return [
        _Case("cells, random walk, checkers off", on_cells, "random", False, "atomic", 0.6),
        _Case("cells, random walk, checkers on", on_cells, "random", True, "atomic", 0.35),
        _Case("cells, pct:3, checkers off", on_cells, "pct:3", False, "atomic", None),
        _Case("spinlock atomic, random walk, checkers off", on_locks, "random", False, "atomic", None),
        _Case("spinlock atomic, random walk, checkers on", on_locks, "random", True, "atomic", 0.35),
        _Case("spinlock exact, random walk, checkers off", on_locks, "random", False, "exact", None),
        _Case("spinlock exact, random walk, checkers on", on_locks, "random", True, "exact", 0.25),
        _Case("page allocation, random walk, checkers off", one_colour, "random", False, "atomic", None),
        _Case("page allocation, random walk, checkers on", one_colour, "random", True, "atomic", None),
        _Case("pages, random walk, checkers off", page_storm, "random", False, "atomic", None),
        _Case("pages, random walk, checkers on", page_storm, "random", True, "atomic", None),
        _Case("faults, random walk, checkers off", faults, "random", False, "atomic", None),
        _Case("faults, random walk, checkers on", faults, "random", True, "atomic", None),
    ]


def controlled_figures(seconds: float, rounds: int = 3) -> list[Figure]:
    """The controlled engine against the bare loop, interleaved so that drift hits both."""
    cases = _cases()
    slot = seconds / (rounds * (len(cases) + 1))
    bounds = []
    with WorkerPool(current_core()) as pool:
        for _ in range(rounds):
            for case in cases:
                bounds.append(bare_steps(pool))
                case.measure(pool, slot, bounds[-1])
    bound = Figure(f"bare step loop, {CPUS} CPUs", statistics.median(bounds), "steps/s", note="the bound")
    by_name = {case.name: case for case in cases}
    return [bound, *(case.figure(by_name.get(_unchecked(case.name))) for case in cases)]


def _unchecked(name: str) -> str:
    """The name of the same workload with checkers off; of one without checkers, no name."""
    return name.replace("checkers on", "checkers off") if name.endswith("checkers on") else ""
