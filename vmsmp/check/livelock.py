"""Livelock: CPUs run and nothing comes of it.

Three ways to see it: only spinning on what nobody writes is left (the engine notices); on fair picks
the machine comes back to the same state again and again (`check.lasso`); the step limit is reached.
This observer says who turned in which circle, and who waited meanwhile for what others got.
"""

from __future__ import annotations

from collections import Counter
from itertools import groupby

from vmsmp.check.lasso import Lasso, Loop
from vmsmp.engine import ops, trace
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.machine import Machine
from vmsmp.engine.observer import Observer

#: Steps, from the end, in which a circle is looked for where there is no lasso.
WINDOW = 400
#: How many operations of one turn are shown of each CPU.
_SHOWN = 12


class Livelock(Observer):
    """Turns a run without end into a verdict that names the circle."""

    free = False

    def __init__(self) -> None:
        self._lasso: Lasso | None = None

    def begin(self, machine: Machine) -> None:
        self._lasso = None

    def late(self, machine: Machine) -> None:
        if self._lasso is None:
            self._lasso = Lasso(machine)
            return
        loop = self._lasso.step()
        if loop is not None:
            machine.fail("livelock", "the same state comes back again and again", _turn(machine, loop))

    def endless(self, machine: Machine, why: str) -> None:
        assert machine.engine.controlled
        log = machine.engine.log
        start = max(0, len(log) - WINDOW)
        while start and log[start] >= 0:
            start -= 1  # back to a mark that says whose steps these are
        facts = []
        for index, done in sorted(_by_cpu(log[start:]).items()):
            often = sorted(Counter(done).items(), key=lambda item: (-item[1], item[0]))[:4]
            said = ", ".join(f"{machine.describe(code)} x{times}" for code, times in often)
            facts.append(f"{machine.cpus[index]} repeats: {said}")
        machine.fail("livelock", why, facts + _waiting(machine, log[start:]))


def _turn(machine: Machine, loop: Loop) -> list[str]:
    """What is done in one turn of a loop."""
    engine = machine.engine
    assert engine.controlled
    steps = trace.count_steps(engine.log[: loop.entered])
    turn = list(loop.turn)
    if turn[0] >= 0:
        turn.insert(0, -1 - engine.current.index)  # a turn begins and ends with the same CPU
    facts = [f"from step {steps} on the same {trace.count_steps(turn)} steps go round, and always will:"]
    for index, done in sorted(_by_cpu(turn).items()):
        folded = [(machine.describe(code), len(list(same))) for code, same in groupby(done)]
        said = [f"{text} x{times}" if times > 1 else text for text, times in folded]
        more = f", ... {len(said) - _SHOWN} more" if len(said) > _SHOWN else ""
        facts.append(f"{machine.cpus[index]} goes round: {', '.join(said[:_SHOWN])}{more}")
    return facts + _waiting(machine, turn)


def _by_cpu(log: list[int]) -> dict[int, list[int]]:
    """The operations of each CPU; the log begins with whose turn it is."""
    done: dict[int, list[int]] = {}
    for index, code in trace.steps(log):
        done.setdefault(index, []).append(code)
    return done


def _waiting(machine: Machine, log: list[int]) -> list[str]:
    """Who waits for what, and how often others got it in these steps."""
    facts = []
    for cpu in machine.cpus:
        if cpu.wants is not None:
            passed = _got(log, cpu)
            others = f", which others got {passed} times meanwhile: it starves" if passed else ""
            facts.append(f"{cpu} wants: {cpu.wants.mode} {cpu.wants.what}{others}")
    return facts


_GETS = frozenset((ops.ACQUIRE, ops.ACQUIRE_SHARED, ops.TRY_ACQUIRE, ops.TRY_ACQUIRE_SHARED))


def _got(log: list[int], cpu: Cpu) -> int:
    """How often other CPUs got the lock that `cpu` wants."""
    ident = getattr(cpu.wants and cpu.wants.what, "ident", None)
    return sum(
        index != cpu.index and code >> ops.KIND_BITS == ident and code & ops.KIND_MASK in _GETS
        for index, code in trace.steps(log)
    )
