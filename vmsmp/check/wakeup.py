"""Lost wakeups: a CPU keeps sleeping although what it waits for has happened.

All proofs are made when no CPU can run and before any timeout fires:
  * the caller's predicate (`overdue`) says that the sleep should be over;
  * the CPU sleeps but is on no sleep queue (INV-SL1): a wakeup removed it before it slept;
  * a wakeup of its ident was sent before it announced the sleep, and it has read what the sender had written
    by then only before the sender wrote it (`check.looks`).
A sleep that only its timeout would end is reported too, since the kernel hides lost wakeups behind timeouts;
but without one of these proofs it counts as a delay.  If no timeout will come, two more proofs are enough:
  * a wakeup that woke no CPU was sent before the sleep, and the sleeper has read nothing newer;
  * what the sleeper read has changed since, and no wakeup followed.
INV-SL3, INV-SL4, INV-LK7, INV-MX5.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from types import CodeType
from typing import Any

from vmsmp.check.deadlock import waits_for
from vmsmp.check.looks import Looks
from vmsmp.engine import source
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.machine import Machine
from vmsmp.engine.wait import WaitEnd, WaitMode
from vmsmp.sync.ident import ident_name
from vmsmp.sync.observer import LockObserver
from vmsmp.sync.thread import TDF_TSLEEPQ


@dataclass(slots=True, eq=False)
class Call:
    """A wakeup: its ident and domain, its sender, its place in the log, and its line of code."""

    asleep: tuple[Any, int]
    cpu: Cpu
    at: int
    code: CodeType
    instruction: int
    #: Where in the log the sender's previous wakeup of this ident is, or -1.
    before: int
    #: Whether it woke a sleeping CPU; one that was only interlocked does not count.
    woke: bool = False
    #: What the sender wrote since its previous wakeup of this ident: by object, where in the log.
    wrote: dict[int, int] = field(default_factory=dict)

    def __str__(self) -> str:
        step = self.cpu.machine.engine.step_at(self.at)
        place = source.place_of(self.code, source.line_of(self.code, self.instruction))
        return f"step {step}: {self.cpu} sent a wakeup to {ident_name(self.asleep[0])} at {place}"


class LostWakeup(LockObserver):
    """Checks every sleeper when the machine is stopped.

    Without a log of the run (`logged`) only the first two proofs are possible.
    """

    def __init__(self, *, logged: bool = True) -> None:
        self._logged = logged
        self._looks: Looks
        # invariant: every wakeup, by the name of its ident, in the order of the log
        self._calls: dict[str, list[Call]] = {}
        # the last one of each CPU to each name
        self._last: dict[tuple[Cpu, str], Call] = {}
        # for how many of them `wrote` is filled in
        self._told = 0
        self._in_order: list[Call] = []
        # where in the log each CPU last announced a sleep, and where it was last woken
        self._announced: dict[Cpu, int] = {}
        self._since: dict[Cpu, int] = {}

    def begin(self, machine: Machine) -> None:
        self._looks = Looks(machine)
        self._calls = {}
        self._last = {}
        self._told = 0
        self._in_order = []
        self._announced = {}
        self._since = {}

    # -- what happens ---------------------------------------------------------------------------

    def interlocked(self, cpu: Cpu, ident: Any) -> None:
        if self._logged:
            self._announced[cpu] = len(cpu.machine.engine.log)

    def wakeup(self, cpu: Cpu, ident: Any, domain: int, woke: int) -> None:
        if self._logged:
            frame = source.caller()
            at = len(cpu.machine.engine.log)
            name = ident_name(ident)
            last = self._last.get((cpu, name))
            before = -1 if last is None else last.at if last.at < at else last.before
            call = Call((ident, domain), cpu, at, frame.f_code, frame.f_lasti, before)
            self._calls.setdefault(name, []).append(call)
            self._last[cpu, name] = call
            self._in_order.append(call)

    def woken(self, cpu: Cpu, ident: Any, why: WaitEnd) -> None:
        if not self._logged:
            return
        self._looks.woken(cpu.index)
        self._since[cpu] = len(cpu.machine.engine.log)
        if why in (WaitEnd.WAKEUP, WaitEnd.BEFORE):
            calls = self._calls.get(ident_name(ident), [])
            first = bisect_left(calls, self._announced.get(cpu, 0), key=attrgetter("at"))
            if first < len(calls):  # that one reached it; later ones came while it was on its way
                calls[first].woke |= why is WaitEnd.WAKEUP
                self._since[cpu] = calls[first].at

    # -- verdicts -------------------------------------------------------------------------------

    def idle(self, machine: Machine) -> None:
        sleepers = [c for c in machine.cpus if c.wants is not None and c.wants.mode is WaitMode.SLEEP]
        for cpu in sleepers:
            assert cpu.wants is not None
            name = ident_name(cpu.wants.what)
            tail = "; only its timeout would wake it" if cpu.deadline is not None else ""
            reason = cpu.wants.overdue() if cpu.wants.overdue is not None else None
            if reason is not None:
                machine.fail("lost-wakeup", f"{name}: {reason}", [f"{cpu} sleeps on {name}{tail}"])
            if not cpu.td.td_flags & TDF_TSLEEPQ:
                machine.fail(
                    "lost-wakeup",
                    f"{name}: its wakeup came after the interlock, and it slept anyway",
                    [f"{cpu} sleeps and is on no sleep queue any more{tail}"],
                )
        if self._logged and sleepers:
            self._read(machine)
            final = all(cpu.deadline is None for cpu in machine.cpus)
            for cpu in sleepers:
                if cpu.wants is not None and cpu.wants.overdue is None:  # else the predicate decides
                    self._judge(machine, cpu, final=final)

    def _read(self, machine: Machine) -> None:
        """Read the log, and fill in what the senders of wakeups had written."""
        for call in self._in_order[self._told :]:
            self._looks.read_to(call.at)
            written = self._looks.wrote.get(call.cpu.index, {})
            call.wrote = {what: at for what, at in written.items() if at >= call.before}
        self._told = len(self._in_order)
        self._looks.read_to(len(machine.engine.log))

    def _judge(self, machine: Machine, sleeper: Cpu, *, final: bool) -> None:
        """Fail if the sleeper has missed a wakeup.  `final`: no timeout will ever come."""
        assert sleeper.wants is not None
        name = ident_name(sleeper.wants.what)
        tail = "; only its timeout would wake it" if sleeper.deadline is not None else ""
        for call in self._missed(sleeper):
            late, knows = self._compare(sleeper, call)
            if (late and (final or not knows)) or (final and not call.woke and not knows):
                passed = call.woke and call.at > self._announced.get(sleeper, -1)
                what = "went to another CPU" if passed else "came before the sleep"
                seen = f"{sleeper} had looked before that, and sleeps" if late else f"{sleeper} sleeps"
                machine.fail(
                    "lost-wakeup",
                    f"{name}: its wakeup {what}",
                    [f"{call}, which did not reach {sleeper}", f"{seen}{tail}"],
                )
        if final and not _holds_up(sleeper, machine):
            self._judge_silence(machine, sleeper, name)

    def _missed(self, sleeper: Cpu) -> Iterator[Call]:
        """Yield the wakeups of its ident that others sent since it last woke, last first: it missed them."""
        assert sleeper.wants is not None
        asleep = (sleeper.wants.what, sleeper.td.td_wdomain)
        since = self._since.get(sleeper, -1)
        for call in reversed(self._calls.get(ident_name(asleep[0]), ())):
            if call.at <= since:
                return
            if call.cpu is not sleeper and call.asleep == asleep:
                yield call

    def _compare(self, sleeper: Cpu, call: Call) -> tuple[bool, bool]:
        """Whether the sleeper read anything that the sender wrote before it was written, and after."""
        looked = self._looks.looked.get(sleeper.index, {})
        seen = [(looked[what], at) for what, at in call.wrote.items() if what in looked]
        return any(look < at for look, at in seen), any(look > at for look, at in seen)

    def _judge_silence(self, machine: Machine, sleeper: Cpu, name: str) -> None:
        """Fail if something that the sleeper read has changed, and no wakeup followed."""
        # others touch a lock, or the inside of another primitive, for many reasons
        inside = {getattr(owner, "ident", None) for owner in machine.words.values()}
        stale = {
            what: by
            for what, by in self._looks.writers_since(sleeper.index).items()
            if what not in inside and not hasattr(machine.find(what), "holders")
        }
        if not stale:
            return
        what, (writer, at) = max(stale.items(), key=lambda item: item[1][1])
        thing = machine.find(what)
        step = machine.engine.step_at(at)
        sent = [str(call) for call in self._in_order if call.cpu.index == writer and call.at > at]
        machine.fail(
            "lost-wakeup",
            f"{name}: what it had looked at changed, and no wakeup followed",
            [
                f"step {step}: {machine.cpus[writer]} changed {getattr(thing, 'name', thing)}, "
                f"which {sleeper} had looked at before it slept",
                *(sent[:3] or [f"{machine.cpus[writer]} sent no wakeup after that"]),
            ],
        )


def _holds_up(sleeper: Cpu, machine: Machine) -> bool:
    """Whether another CPU waits for a lock that the sleeper holds."""
    waiting = (c for c in machine.cpus if c.wants is not None and c.wants.mode is not WaitMode.JOIN)
    return any(sleeper in waits_for(cpu) for cpu in waiting)
