"""Livelock: CPUs run without making progress.

The engine notices when only spinning is left, or when the step limit is reached (in its second half picks
are fair).  This observer reports which steps each CPU repeats, and which CPUs wait for locks that others
got meanwhile.  Near the step limit it looks for a lasso (`check.lasso`), to report since when the same steps
repeat.  It says that the run is endless only if the whole state has come back, too: other runs that repeat
their steps may count something that the steps do not show.  INV-PG1.
"""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import Any

from vmsmp.check.lasso import Loop, loop_at_end
from vmsmp.check.whole_state import state_of
from vmsmp.engine import trace
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.machine import Machine
from vmsmp.engine.observer import Observer
from vmsmp.engine.stepping import may_end
from vmsmp.sync.lock import Lock

#: The last steps that are searched for repetition if there is no lasso.
WINDOW = 400
#: The message for a run that has come back to a state.
COMES_BACK = "the same steps come back, and what they use is as it was"
#: How many operations of one iteration a report shows per CPU.
_SHOWN = 12


class Livelock(Observer):
    """Reports an endless run, naming the repeated steps."""

    free = False

    def __init__(self) -> None:
        # when to look next; the loop, if any, when its watch began, and the state then
        self._next = 0
        self._turn: list[int] = []
        self._since = 0
        self._state: object = None
        #: Whether the state has been looked at since, and was the same each time.
        self._comes_back: bool | None = None
        #: By waiting CPU: its wait, and how often the lock had been granted when the watch began.
        self._waits: dict[Cpu, tuple[Any, int]] = {}

    def begin(self, machine: Machine) -> None:
        self._next = machine.options.max_steps * 7 // 8
        self._turn = []
        self._state = self._comes_back = None
        self._waits = {}

    def late(self, machine: Machine) -> None:
        now = len(machine.engine.log)
        if now < self._next:
            return
        if self._turn:
            self._comes_back = self._comes_back is not False and state_of(machine) == self._state
            # comparing states is slow, so it is done rarely: after one turn, two, four and so on
            self._next = now + (now - self._since if self._comes_back else machine.options.max_steps)
            return
        log = machine.engine.log[:-1]  # the last operation is not performed yet and may fail
        loop = loop_at_end(log, machine.options.fair_from)
        if loop is None:
            self._next = machine.options.max_steps + 1
            return
        self._turn, self._since, self._next = log[-loop.length :], now, now + loop.length
        self._state = state_of(machine)
        self._waits = {
            cpu: (cpu.wants, cpu.wants.what.acquisitions)
            for cpu in machine.cpus
            if cpu.wants is not None and isinstance(cpu.wants.what, Lock)
        }

    def endless(self, machine: Machine, why: str) -> None:
        log = machine.engine.log[:-1]
        fair = machine.options.fair_from
        loop = loop_at_end(log, fair) if len(log) > fair else None
        if loop is None:
            machine.fail(
                "livelock", why, _circles(machine, log) + self._waiting(machine) + _at_limit(machine)
            )
        same = self._comes_back and loop.entered < self._since
        facts = _turn(machine, log, loop) + self._waiting(machine)
        if same:
            machine.fail("livelock", COMES_BACK, facts)
        machine.fail("livelock", why, facts + _at_limit(machine))

    def _waiting(self, machine: Machine) -> list[str]:
        """Describe what each CPU waits for, and how often others got it meanwhile."""
        facts = []
        for cpu in machine.cpus:
            if cpu.wants is None:
                continue
            wait, grants = self._waits.get(cpu, (None, 0))
            passed = cpu.wants.what.acquisitions - grants if wait is cpu.wants else 0
            others = f", which others got {passed} times meanwhile: it starves" if passed else ""
            facts.append(f"{cpu} wants: {cpu.wants.mode} {cpu.wants.what}{others}")
        return facts


def _circles(machine: Machine, log: list[int]) -> list[str]:
    """Describe each CPU's most frequent recent operations."""
    start = max(0, len(log) - WINDOW)
    while start and log[start] >= 0:
        start -= 1  # back to a mark that says which CPU's steps follow
    facts = []
    for index, done in sorted(_by_cpu(log[start:]).items()):
        often = sorted(Counter(done).items(), key=lambda item: (-item[1], item[0]))[:4]
        said = ", ".join(f"{machine.describe(code)} x{times}" for code, times in often)
        facts.append(f"{machine.cpus[index]} repeats: {said}")
    return facts


def _at_limit(machine: Machine) -> list[str]:
    """Say that the run may end, if it is its limit that has ended it."""
    limit = machine.options.max_steps
    return [may_end(limit)] if len(machine.engine.log) > limit else []


def _turn(machine: Machine, log: list[int], loop: Loop) -> list[str]:
    """Describe one iteration of a loop."""
    turn = log[-loop.length :]
    start = next((n for n, code in enumerate(turn) if code < 0), None)
    if start is None:  # only one CPU runs
        turn.insert(0, -1 - machine.engine.current.index)
    else:
        turn = turn[start:] + turn[:start]
    steps = trace.count_steps(log[: loop.entered])
    count = trace.count_steps(turn)
    again = f"the same {count} steps go" if count > 1 else "the same step goes"
    before = " or before" if loop.entered <= machine.options.fair_from else ""
    facts = [f"from step {steps}{before} on {again} round:"]
    for index, done in sorted(_by_cpu(turn).items()):
        folded = [(machine.describe(code), len(list(same))) for code, same in groupby(done)]
        said = [f"{text} x{times}" if times > 1 else text for text, times in folded]
        more = f", ... {len(said) - _SHOWN} more" if len(said) > _SHOWN else ""
        facts.append(f"{machine.cpus[index]} goes round: {', '.join(said[:_SHOWN])}{more}")
    return facts


def _by_cpu(log: list[int]) -> dict[int, list[int]]:
    """Return each CPU's operations; the log starts with a mark that names the running CPU."""
    done: dict[int, list[int]] = {}
    for index, code in trace.steps(log):
        done.setdefault(index, []).append(code)
    return done
