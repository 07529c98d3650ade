"""One run in a chosen engine, and free runs repeated until the time is up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from vmsmp.campaign.options import Program, options_for, words_for
from vmsmp.campaign.outcome import Failure, History, Outcome, signature_of
from vmsmp.campaign.search import search
from vmsmp.check import checkers
from vmsmp.engine.free import HANG_S, FreeEngine
from vmsmp.engine.hooks import Hooks
from vmsmp.engine.options import Options
from vmsmp.engine.schedule import program_name
from vmsmp.engine.workers import WorkerPool
from vmsmp.errors import UsageError
from vmsmp.library import is_scenario, own_place
from vmsmp.machine import Machine
from vmsmp.patches.catalogue import planted
from vmsmp.sync.lock import Lock, LockStatistics

#: Seconds that a single round has at least.
SHORTEST_S = 0.1
#: Last operations of a CPU that a failure shows.
RECENT = 16


def run(
    program: Program,
    *,
    engine: str = "free",
    seed: int = 0,
    cpus: int | None = None,
    locks: str | None = None,
    check: bool = True,
    time_s: float = 10.0,
    max_ops: int = 100_000_000,
    perturb: int = 200,
    repairs: Iterable[str] = (),
    mutants: Iterable[str] = (),
    pages: int | None = None,
    pressure: bool = False,
) -> Outcome:
    """Run `program` once: truly parallel where the build allows ("free"), or under control.

    A free run ends by itself, or after `time_s` seconds or `max_ops` operations, which is not a failure.
    `perturb` is the mean number of operations between two random stalls of a CPU, 0 for none.
    A controlled run follows one random schedule of `seed`.  `pages` and `pressure` are as in `explore`.

    Raises: UsageError for arguments that cannot be.
    """
    if engine not in ("free", "controlled"):
        raise UsageError(f"engine must be 'free' or 'controlled', not {engine!r}")
    options = options_for(
        program, locks=locks, cpus=cpus, pages=pages, pressure=pressure, repairs=repairs, mutants=mutants
    )
    if engine == "controlled":
        return _controlled_once(program, options, seed, check=check)
    with planted(options), WorkerPool() as pool:
        free = FreeEngine(pool, seconds=time_s, max_ops=max_ops, perturb=perturb)
        return free_once(free, program, options, seed, Hooks(checkers(check, free=True)))


def _controlled_once(program: Program, options: Options, seed: int, *, check: bool) -> Outcome:
    """One execution along a random schedule."""
    result = search(program, options, sched="random", schedules=1, seed=seed, check=check)
    failure = result.failure
    if failure is None:
        return Outcome(result.program, "", result.steps)
    return Outcome(result.program, failure.digest, result.steps, failure, failure.schedule)


def free_once(engine: FreeEngine, program: Program, options: Options, seed: int, hooks: Hooks) -> Outcome:
    """One free execution on a given engine."""
    execution = engine.prepare()
    machine = Machine(execution, seed=seed, options=options, hooks=hooks)
    machine.declared = getattr(program, "cpus", None)
    start = time.monotonic()
    execution.execute(machine, program)
    engine.pool.check()
    seconds = time.monotonic() - start
    name = program_name(program)
    failure = _failure(machine, program)
    operations = execution.operations()
    locks = _statistics(machine)
    if not engine.pool.abandoned:
        machine.close()
    return Outcome(name, "", operations, failure, "", operations, seconds, locks)


def _failure(machine: Machine, program: Program) -> Failure | None:
    """What went wrong in the execution just made, if anything did."""
    violation = machine.violation
    if violation is None:
        return None
    return Failure(
        kind=violation.kind,
        message=violation.message,
        signature=signature_of(violation),
        schedule="",
        digest="",
        facts=violation.facts,
        program=program_name(program),
        cpu=violation.cpu,
        engine="free",
        history=_history(machine),
        listed=is_scenario(program),
        place=own_place(program),
    )


def _statistics(machine: Machine) -> tuple[LockStatistics, ...]:
    found: list[Any] = [thing for thing in machine.identities if isinstance(thing, Lock)]
    if machine.vm is not None:
        found += [spin for pool in machine.vm.pools for spin in pool.spinlocks()]
    return tuple(lock.statistics() for lock in found if lock.acquisitions)


def _history(machine: Machine) -> History:
    """How every CPU stood, and the last operations of each."""
    recent = (
        (str(cpu), tuple(machine.describe(code) for code in machine.engine.recent(cpu)[-RECENT:]))
        for cpu in machine.cpus
    )
    return History(machine.scene, tuple(recent))


@dataclass
class FreeRounds:
    """What a series of free runs came to.  `locks` adds up the use of locks by name."""

    program: str
    rounds: int = 0
    operations: int = 0
    rendezvous: int = 0
    seconds: float = 0.0
    locks: dict[str, LockStatistics] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    interrupted: bool = False
    #: What the command line is told of the options, to run it in the same way again.
    arguments: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """The rounds for `--json`."""
        return {
            "program": self.program,
            "engine": "free",
            "rounds": self.rounds,
            "operations": self.operations,
            "rendezvous": self.rendezvous,
            "seconds": round(self.seconds, 3),
            "interrupted": self.interrupted,
            "locks": {
                name: {"acquisitions": lock.acquisitions, "contested": lock.contested}
                for name, lock in sorted(self.locks.items())
            },
            "counts": self.counts,
            "failures": [failure.as_dict() for failure in self.failures],
        }

    def add(self, outcome: Outcome) -> None:
        self.rounds += 1
        self.operations += outcome.operations
        for lock in outcome.locks:
            before = self.locks.get(lock.name)
            self.locks[lock.name] = LockStatistics(
                lock.name,
                lock.acquisitions + (before.acquisitions if before else 0),
                lock.contested + (before.contested if before else 0),
            )
        failure = outcome.failure
        if failure is not None:
            if failure.signature not in self.counts:
                self.failures.append(failure)
            self.counts[failure.signature] = self.counts.get(failure.signature, 0) + 1


def free_rounds(
    program: Program,
    *,
    time_s: float,
    options: Options,
    most: int | None = None,
    seed: int = 0,
    check: bool = True,
    perturb: int = 50,
    stop_at: int = 1,
    progress: Callable[[FreeRounds], None] | None = None,
    hang_s: float = HANG_S,
) -> FreeRounds:
    """Run `program` freely again and again, with a new seed each time, for `time_s` seconds.

    Ends early after `stop_at` failures, or `most` rounds.  Any time above 0 allows at least one round, which
    hangs when no CPU gets on for `hang_s` seconds (0: it never does).
    """
    arguments = (*words_for(program, options), *(() if check else ("--no-check",)))
    done = FreeRounds(program_name(program), arguments=arguments)
    start = time.monotonic()
    hooks = Hooks(checkers(check, free=True))
    with planted(options), WorkerPool() as pool:
        engine = FreeEngine(pool, perturb=perturb, hang_s=hang_s)
        try:
            while sum(done.counts.values()) < stop_at and not pool.abandoned:
                left = time_s - (time.monotonic() - start)
                if done.rounds == most or (left <= 0 and (done.rounds or time_s <= 0)):
                    break
                engine.seconds = max(left, SHORTEST_S)
                done.add(free_once(engine, program, options, seed + done.rounds, hooks))
                done.rendezvous += engine.execution.rendezvous.held
                done.seconds = time.monotonic() - start
                if progress is not None:
                    progress(done)
        except KeyboardInterrupt:
            done.interrupted = True
    done.seconds = time.monotonic() - start
    return done
