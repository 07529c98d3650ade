"""What the engines cost, as ratios to this machine's own limits measured in the same run.

The bound of the controlled engine is a bare step loop: pooled threads, the same hand-off, pinned to
the same core, a random pick before every step and a log of it; no operations, no objects, no checks.
The bound of the free engine is itself on one CPU.
"""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vmsmp.campaign.free_run import run
from vmsmp.campaign.search import Runner, options_for
from vmsmp.engine import trace
from vmsmp.engine.workers import Worker, WorkerPool, current_core, give, take
from vmsmp.machine import Machine
from vmsmp.sched.base import make_scheduler

#: CPUs of the controlled measurements, and turns of their loops.
CPUS = 3
TURNS = 300


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement: a rate, the limit it is compared to, and the goal if there is one."""

    name: str
    rate: float
    unit: str
    ratio: float | None = None
    goal: float | None = None
    note: str = ""


def bare_steps(pool: WorkerPool, steps: int = 20_000) -> float:
    """Steps a second of the bare loop: what no engine of this kind can beat."""
    workers = [pool.worker(n) for n in range(1, CPUS + 1)]
    draw = random.Random(1).random
    finished = threading.Event()
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
    finished.wait()
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
        while time.perf_counter() - start < seconds:
            scheduler.begin()
            machine = runner.run(scheduler, 1)
            steps += trace.count_steps(runner.engine.execution.log)
            machine.close()

    pool.drive(loop)
    return steps / (time.perf_counter() - start)


def controlled_figures(seconds: float, rounds: int = 3) -> list[Figure]:
    """The controlled engine against the bare loop, interleaved so that drift hits both."""
    cases = [
        ("cells, random walk, checkers off", on_cells, "random", False, "atomic", 0.6),
        ("cells, random walk, checkers on", on_cells, "random", True, "atomic", 0.35),
        ("cells, pct:3, checkers off", on_cells, "pct:3", False, "atomic", None),
        ("spinlock atomic, random walk, checkers off", on_locks, "random", False, "atomic", None),
        ("spinlock atomic, random walk, checkers on", on_locks, "random", True, "atomic", 0.35),
        ("spinlock exact, random walk, checkers off", on_locks, "random", False, "exact", None),
        ("spinlock exact, random walk, checkers on", on_locks, "random", True, "exact", 0.25),
    ]
    slot = seconds / (rounds * (len(cases) + 1))
    rates: dict[str, list[float]] = {name: [] for name, *_ in cases}
    ratios: dict[str, list[float]] = {name: [] for name, *_ in cases}
    bounds = []
    with WorkerPool(current_core()) as pool:
        for _ in range(rounds):
            for name, program, sched, check, locks, _goal in cases:
                bound = bare_steps(pool)
                bounds.append(bound)
                rate = controlled_steps(pool, program, sched, check=check, locks=locks, seconds=slot)
                rates[name].append(rate)
                ratios[name].append(rate / bound)
    figures = [Figure(f"bare step loop, {CPUS} CPUs", statistics.median(bounds), "steps/s", note="the bound")]
    for name, _program, _sched, _check, _locks, goal in cases:
        figures.append(
            Figure(name, statistics.median(rates[name]), "steps/s", statistics.median(ratios[name]), goal)
        )
    return figures


def ledger(figures: Sequence[Figure]) -> list[str]:
    """Where the time of a step goes, a line for each workload that was measured both ways."""
    rates = {figure.name: figure.rate for figure in figures}
    bare = next((rate for name, rate in rates.items() if name.startswith("bare step loop")), 0.0)
    lines = []
    for name, off in rates.items():
        on = rates.get(name.replace("checkers off", "checkers on"), 0.0)
        if not name.endswith("checkers off") or not (bare and off and on):
            continue
        parts = {
            "pick and hand-off": 1e9 / bare,
            "point, log and operation": 1e9 / off - 1e9 / bare,
            "checkers": 1e9 / on - 1e9 / off,
        }
        told = ", ".join(f"{ns:,.0f} {part}" for part, ns in parts.items())
        lines.append(f"{name.removesuffix(', checkers off')}: {1e9 / on:,.0f} ns a step: {told}")
    return lines


def hammer(cpus: int, *, shared: bool) -> Callable[[Machine], None]:
    """Each CPU takes and drops a spinlock for ever: its own, or the one that all share."""

    def program(m: Machine) -> None:
        locks = [m.spinlock(f"lock[{n}]") for n in range(1 if shared else cpus)]

        def turn(n: int) -> None:
            lock = locks[n % len(locks)]
            while True:
                lock.acquire()
                lock.release()

        for n in range(cpus):
            m.spawn(turn, n)
        m.join()

    return program


def free_figures(seconds: float, locks: str = "exact", rounds: int = 3) -> list[Figure]:
    """The free engine on one CPU, on two with a lock each, and on two with one lock."""
    cases = [
        ("1 CPU", hammer(1, shared=True), None),
        ("2 CPUs, disjoint spinlocks", hammer(2, shared=False), 1.5),
        ("2 CPUs, one spinlock", hammer(2, shared=True), None),
    ]
    slot = max(0.2, seconds / (rounds * len(cases)))
    rates: dict[str, list[float]] = {name: [] for name, *_ in cases}
    notes: dict[str, str] = {}
    for _ in range(rounds):
        for name, program, _goal in cases:
            outcome = run(program, engine="free", locks=locks, time_s=slot, perturb=0)
            taken = sum(lock.acquisitions for lock in outcome.locks)
            contested = sum(lock.contested for lock in outcome.locks)
            rates[name].append(taken / outcome.seconds)
            notes[name] = f"{contested / taken:.1%} of grants contested" if taken else ""
    one = statistics.median(rates["1 CPU"])
    figures = []
    for name, _program, goal in cases:
        rate = statistics.median(rates[name])
        figures.append(Figure(f"free, {locks}, {name}", rate, "grants/s", rate / one, goal, notes[name]))
    return figures
