"""Rules of records, asked of whatever was written last.

In the controlled engine the record that an operation wrote is judged at the next arrival, when that
step is over and all CPUs stand before their next operation: by the rules of its type for what was
written.  In the free engine, which has no steps, all records are judged at every rendezvous, and rules
of single accesses, stores to words and uses of freed words are not.
Events of the subsystem and uses of freed memory (INV-UAF) are judged when they happen.
The rules themselves are in `check.vm`; this module knows no kernel structure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from vmsmp.check.ledger import Ledger
from vmsmp.check.rules import Broken, Rule, Rules, Span, SystemRules
from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.identity import FIRST_BLOCK, FIRST_NAMED
from vmsmp.records.field import Field
from vmsmp.records.observer import RecordObserver
from vmsmp.records.pool import Block, record_of
from vmsmp.records.record import PART_BITS, Record
from vmsmp.sync.lock import Lock
from vmsmp.sync.observer import LockObserver
from vmsmp.vm.observer import VmObserver

_RESERVED: Final = FIRST_BLOCK << ops.CPU_BITS + ops.KIND_BITS
_NAMED: Final = FIRST_NAMED << ops.KIND_BITS
# Asked at every step, so without a look into another module.
_RECORD: Final = ~PART_BITS
_PART: Final = PART_BITS & ~ops.KIND_MASK
_KIND: Final = ops.KIND_MASK
_ATOMIC_STORE: Final = ops.ATOMIC_STORE
_NONE: Final = Rules(Record)

#: A record, what to ask by the part of it that is written, and its rules.
_Known = tuple[Record, dict[int, tuple[Rule, ...]], Rules]


class Records(RecordObserver, LockObserver, VmObserver):
    """Asks the rules; `ledger` knows which shares are out."""

    def __init__(
        self, ledger: Ledger, rules: Iterable[Rules], system: Iterable[SystemRules], *, parallel: bool = False
    ) -> None:
        self.ledger = ledger
        self._rules = tuple(rules)
        self._system = tuple(system)
        # by type, checked twins included
        self._of = {type_: r for r in self._rules for type_ in (r.record, r.record.checked)}
        self._asked_by_part = {type_: _by_part(rules) for type_, rules in self._of.items()}
        self._guarded = {
            r.record.fields[name]: rule
            for r in self._rules
            for name, rule in r.guarded.items()
            if not parallel
        }
        self._events = {type_: rule for part in self._system for type_, rule in part.events.items()}
        # what was written by the step under way, and the rules to be asked after it
        self._touched: Any = None
        self._asked: tuple[Rule, ...] = ()
        # by code: the record that operations are about, and by which part of it is written what to ask;
        # None for one without rules
        self._known: dict[int, _Known | None] = {}
        self._opens = not parallel
        # what CPUs are in the middle of
        self._spans: dict[Cpu, Span] = {}
        # whether there is freed memory that somebody could still touch
        self._any_freed = False

    def begin(self, machine: Any) -> None:
        self._touched = None
        self._asked = ()
        self._known = {}
        self._spans = {}
        self._any_freed = False

    # -- after a step ---------------------------------------------------------------------------

    def op(self, cpu: Cpu, code: int) -> None:
        asked = self._asked
        if asked:
            self._asked = ()
            for rule in asked:
                broken = rule(self._touched, self.ledger)
                if broken is not None:
                    self.tell(cpu.machine, self._touched, broken)
                    break
        if self._spans and cpu in self._spans:
            self._go_on(cpu, code)
        if (code & 1 or self._any_freed) and _RESERVED <= code < _NAMED:
            base = code & _RECORD
            known = self._known[base] if base in self._known else self._look_up(cpu.machine, code)
            if known is not None:
                self._touched, by_part, rules = known
                self._asked = by_part.get(code & _PART, ())
                if rules.opens is not None and self._opens and code & 1:
                    span = rules.opens(cpu, self._touched, code)
                    if span is not None:
                        self._spans[cpu] = span
                if code & _KIND == _ATOMIC_STORE and not rules.stored:
                    text = "an atomic word is stored to, and what others changed meanwhile is lost"
                    self.tell(cpu.machine, self._touched, Broken("INV-PB7", text))
                if self._any_freed and self._touched.freed:
                    self._too_late(cpu, self._touched)

    def _go_on(self, cpu: Cpu, code: int) -> None:
        """Judge what the CPU was in the middle of, if its next operation does not belong to it."""
        span = self._spans[cpu]
        if not span.lasts(code):
            del self._spans[cpu]
            found = span.broken()
            if found is not None:
                self.tell(cpu.machine, *found)

    def _look_up(self, machine: Any, code: int) -> _Known | None:
        """The record that an operation is about, and what to ask of it, if there is anything."""
        ident = code >> ops.KIND_BITS
        record = record_of(machine, ident)
        if record is None:
            return None
        rules = self._of.get(type(record))
        known = None if rules is None else (record, self._asked_by_part[type(record)], rules)
        if isinstance(machine.block_of(ident)[0], Block):
            self._known[code & _RECORD] = known
        return known

    def tell(self, machine: Any, thing: Record, broken: Broken | None) -> None:
        """Fail the execution with that broken rule, unless it has failed already."""
        if broken is not None and machine.violation is None:
            name, text, joint = broken
            machine.fail(
                "queue" if name.startswith("INV-Q") else "accounting",
                f"{name}: {thing.klass}{joint}{text}",
                [f"{thing} is {thing.dump()}", *self.ledger.history(thing)],
            )

    # -- when they happen -----------------------------------------------------------------------

    def event(self, cpu: Cpu, event: Any) -> None:
        rule = self._events.get(type(event))
        found = rule(cpu, event) if rule is not None else None
        if found is not None:
            self.tell(cpu.machine, *found)

    def watched(self, cpu: Cpu, record: Record, field: Field, write: bool) -> None:
        if record.freed:
            self._too_late(cpu, record)
        elif write and field in self._guarded:
            self.tell(cpu.machine, record, self._guarded[field](cpu, record, field, self.ledger))

    def wants(self, cpu: Cpu, lock: Lock, mode: str) -> None:
        if self._any_freed and lock.guards is not None and lock.guards.freed:
            self._too_late(cpu, lock.guards)

    def acquired(self, cpu: Cpu, lock: Lock, mode: str, tried: bool) -> None:
        if self._any_freed:
            self.wants(cpu, lock, mode)

    def freed(self, cpu: Cpu, record: Record) -> None:
        self._any_freed |= record.mortal
        rule = self._of.get(type(record), _NONE).freed
        if rule is not None:
            self.tell(cpu.machine, record, rule(record, self.ledger))

    def _too_late(self, cpu: Cpu, thing: Record) -> None:
        if cpu.machine.violation is None:
            cpu.machine.fail(
                "use-after-free",
                f"INV-UAF: {thing.klass} used after it was freed",
                [f"{cpu} uses it", *self.ledger.history(thing)],
            )

    # -- standing still -------------------------------------------------------------------------

    def quiescent(self, machine: Any) -> None:
        vm = machine.vm
        if vm is None:
            return
        pools = {pool.type: pool for pool in vm.pools}
        for n in range(max((len(rules.at_rest) for rules in self._rules), default=0)):
            for rules in self._rules:
                for rule in rules.at_rest[n : n + 1]:
                    for thing in pools.get(rules.record, ()):
                        broken = rule(thing, self.ledger)
                        if broken is not None:
                            self.tell(machine, thing, broken)

    def end(self, machine: Any) -> None:
        vm = machine.vm
        if vm is None:
            return
        for part in self._system:
            for leak in part.leaks:
                for thing, (name, text, _) in leak(vm):
                    facts = [f"{thing} is {thing.dump()}", *self.ledger.history(thing)]
                    machine.fail("leak", f"{name}: {thing.klass}: {text}", facts)
        for part in self._system:
            for rule in part.sums:
                found = rule(vm)
                if found is not None:
                    self.tell(machine, *found)


def _by_part(rules: Rules) -> dict[int, tuple[Rule, ...]]:
    """What to ask by the part of a record that an operation's code names."""
    fields = {f.part: rules.written.get(name, ()) for name, f in rules.record.fields.items()}
    return dict.fromkeys(rules.record.own_parts, rules.written.get("", ())) | fields
