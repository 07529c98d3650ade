"""Executions and steps per second of vmsmp, its lower bound, and two similar tools, side by side.

    .venv/bin/python stress/compare.py [--seconds S]

Two small programs, with the same text for all: three CPUs that add to one word three times each, and
three transfers between two accounts with a lock each.  Everything is pinned to one core.  The other tools
are `frontrun` (random strategy) and `interleave-test` (random, by line); one that is not installed is
skipped: `pip install --prefer-binary frontrun==0.7.0 interleave-test==0.1.0` (Python 3.12 or later).
They instrument every line of unmarked Python, whereas vmsmp instruments declared operations.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from bare_engine import Bare

from vmsmp.campaign.options import options_for
from vmsmp.campaign.runner import Runner
from vmsmp.campaign.search import explore
from vmsmp.engine import trace
from vmsmp.engine.workers import WorkerPool, current_core
from vmsmp.machine import Machine
from vmsmp.sched.names import make_scheduler

# -- the programs, four times -------------------------------------------------------------------------


def vmsmp_lost_update(m: Machine) -> None:
    word = m.cell(0)

    def adder() -> None:
        for _ in range(3):
            word.store(word.load() + 1)

    for _ in range(3):
        m.spawn(adder)
    m.join()


def vmsmp_bank_transfer(m: Machine) -> None:
    accounts = [m.cell(100), m.cell(100)]
    locks = [m.spinlock("lock[0]"), m.spinlock("lock[1]")]

    def transfer() -> None:
        for n, amount in ((0, -10), (1, 10)):
            locks[n].acquire()
            accounts[n].store(accounts[n].load() + amount)
            locks[n].release()

    for _ in range(3):
        m.spawn(transfer)
    m.join()


def bare_lost_update(m: Bare) -> None:
    word = [0]

    def adder() -> None:
        for _ in range(3):
            m.store(word, m.load(word) + 1)

    for _ in range(3):
        m.spawn(adder)


def bare_bank_transfer(m: Bare) -> None:
    accounts = [[100], [100]]

    def transfer() -> None:
        for n, amount in ((0, -10), (1, 10)):
            m.lock(n)
            m.store(accounts[n], m.load(accounts[n]) + amount)
            m.unlock(n)

    for _ in range(3):
        m.spawn(transfer)


class Word:
    """The word to which three threads add."""

    def __init__(self) -> None:
        self.value = 0

    def add(self) -> None:
        for _ in range(3):
            value = self.value
            self.value = value + 1


class Bank:
    """Two accounts with a lock each."""

    def __init__(self) -> None:
        self.accounts = [100, 100]
        self.locks = [threading.Lock(), threading.Lock()]

    def transfer(self) -> None:
        for n, amount in ((0, -10), (1, 10)):
            with self.locks[n]:
                value = self.accounts[n]
                self.accounts[n] = value + amount


PROGRAMS = {
    "lost update 3x3": (vmsmp_lost_update, bare_lost_update, Word, Word.add),
    "bank transfer": (vmsmp_bank_transfer, bare_bank_transfer, Bank, Bank.transfer),
}

# -- who is measured ------------------------------------------------------------------------------------


def of_bare(program: Callable[[Bare], None], strategy: str, seconds: float) -> tuple[float, float]:
    engine = Bare(4, strategy)
    runs = 0
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        engine.execute(program)
        runs += 1
    spent = time.perf_counter() - start
    return runs / spent, engine.steps / spent


def of_vmsmp(
    program: Callable[[Machine], None], sched: str, seconds: float, *, check: bool
) -> tuple[float, float]:
    """Measure the engine under a scheduler, with every run logged, as the search runs it."""
    runs = steps = 0
    spent = 1.0
    with WorkerPool(current_core()) as pool:
        runner = Runner(pool, program, options_for(program), check=check)
        scheduler = make_scheduler(sched, 1)

        def loop() -> None:
            nonlocal runs, steps, spent
            start = time.perf_counter()
            while time.perf_counter() - start < seconds:
                scheduler.begin()
                runner.run(scheduler, 1).close()
                steps += trace.count_steps(runner.engine.execution.log)
                runs += 1
            spent = time.perf_counter() - start

        pool.drive(loop)
    return runs / spent, steps / spent


def of_explore(
    program: Callable[[Machine], None], sched: str, seconds: float, *, check: bool
) -> tuple[float, float]:
    """Measure what a user runs: `explore` with its certificate, and one run in 64 repeated."""
    result = explore(program, sched=sched, schedules=10**9, time_s=seconds, stop="never", check=check)
    return result.executions / result.seconds, result.steps / result.seconds


def of_interleave_test(make: Callable[[], object], body: Callable[..., None], seconds: float) -> float:
    import interleave_test

    def model() -> None:
        shared = make()
        for task in [interleave_test.spawn(body, shared) for _ in range(3)]:
            task.join()

    def rate(runs: int) -> float:
        start = time.perf_counter()
        interleave_test.explore(model, iterations=runs, seed=1, strategy="random", granularity="line")
        return runs / (time.perf_counter() - start)

    return rate(max(20, int(rate(20) * seconds)))


def of_frontrun(name: str, seconds: float) -> float:
    """Measure frontrun in a separate process, since it patches the locks of its own process."""
    command = [sys.executable, "-m", "frontrun.cli", sys.executable, __file__, "--frontrun", name]
    done = subprocess.run(
        [*command, "--seconds", str(seconds)], capture_output=True, text=True, check=True, timeout=600
    )
    return float(done.stdout.split()[-1])


def as_frontrun(name: str, seconds: float) -> float:
    import frontrun

    _, _, make, body = PROGRAMS[name]

    def rate(runs: int) -> float:
        start = time.perf_counter()
        frontrun.explore(make, [body] * 3, lambda _shared: True, strategy="random", max_attempts=runs, seed=1)
        return runs / (time.perf_counter() - start)

    return rate(max(20, int(rate(20) * seconds)))


def installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="of one measurement (default 1)")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each, interleaved (default 3)")
    parser.add_argument("--frontrun", metavar="PROGRAM", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.frontrun:
        print(as_frontrun(args.frontrun, args.seconds))
        return 0
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(f"Python {sys.version.split()[0]}, pinned to one core; medians of {args.rounds}\n")
    for name, (ours, bare, make, body) in PROGRAMS.items():
        cases: dict[str, Callable[[], tuple[float, float]]] = {}
        for strategy, sched in (("random", "random"), ("pct", "pct:3")):
            cases[f"bare, {strategy}"] = lambda s=strategy, p=bare: of_bare(p, s, args.seconds)
            cases[f"vmsmp, {strategy}, checkers off"] = lambda s=sched, p=ours: of_vmsmp(
                p, s, args.seconds, check=False
            )
            cases[f"vmsmp, {strategy}, checkers on"] = lambda s=sched, p=ours: of_vmsmp(
                p, s, args.seconds, check=True
            )
        for check in (False, True):
            case = f"explore, random, checkers {'on' if check else 'off'}"
            cases[case] = lambda p=ours, c=check: of_explore(p, "random", args.seconds, check=c)
        if installed("interleave_test"):
            cases["interleave-test, random by line"] = lambda m=make, b=body: (
                of_interleave_test(m, b, args.seconds),
                0.0,
            )
        if installed("frontrun"):
            cases["frontrun, random"] = lambda n=name: (of_frontrun(n, args.seconds), 0.0)
        rates: dict[str, list[tuple[float, float]]] = {case: [] for case in cases}
        for _ in range(args.rounds):
            for case, measure in cases.items():
                rates[case].append(measure())
        told = {
            case: (statistics.median(r for r, _ in found), statistics.median(s for _, s in found))
            for case, found in rates.items()
        }
        print(f"{name:<34} {'executions/s':>14} {'steps/s':>12} {'to bare':>8}")
        searched = told["explore, random, checkers off"][0]  # the other tools have no checkers either
        for case, (runs, steps) in told.items():
            line = f"  {case:<32} {runs:>14,.0f}"
            if steps:
                kind = "pct" if "pct" in case else "random"
                line += f" {steps:>12,.0f} {steps / told[f'bare, {kind}'][1]:>8.2f}"
            else:
                line += f"   vmsmp's explore is {searched / runs:.0f} times as fast"
            print(line)
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
