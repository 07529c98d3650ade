"""Rules of records, evaluated for the record that was written last.

In the controlled engine the record that an operation wrote is judged at the next arrival, when that
step is over and all CPUs are stopped before their next operation: by the rules of its type for what was
written.  In the free engine, which has no steps, all records are judged at every rendezvous, but not single
accesses, stores to words and uses of freed words.
Events of the subsystem and uses of freed memory (INV-UAF) are judged when they happen.
The rules themselves are in `check.vm`; this module knows no kernel structure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from vmsmp.check.ledger import Ledger
from vmsmp.check.rules import Broken, Opens, Rule, Rules, Span, SystemRules
from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.records.field import Field
from vmsmp.records.observer import RecordObserver
from vmsmp.records.pool import record_of
from vmsmp.records.record import PART_BITS, Record
from vmsmp.sync.lock import Lock
from vmsmp.sync.observer import LockObserver
from vmsmp.vm.observer import VmObserver

# Tested at every step, so copied here to save the lookup in another module.
_RECORD: Final = ~PART_BITS
_NONE: Final = Rules(Record)


class _Rare(NamedTuple):
    """What only few operations do."""

    #: The span that the operation begins, if it begins one.
    opens: Opens | None
    #: Whether it stores to a word that must not be stored to.
    loses: bool


class _Judge(NamedTuple):
    """The rules for an operation, by its kind and by the part of the record that it is about."""

    #: The rules to evaluate once the step is over.
    rules: tuple[Rule, ...]
    rare: _Rare | None


#: Judges by the part of a record and the kind of operation, as in a code; made when first needed.
_Judges = dict[int, _Judge]


class Records(RecordObserver, LockObserver, VmObserver):
    """Evaluates the rules; `ledger` knows which shares are out."""

    of_records = True

    def __init__(
        self, ledger: Ledger, rules: Iterable[Rules], system: Iterable[SystemRules], *, parallel: bool = False
    ) -> None:
        self.ledger = ledger
        self._rules = tuple(rules)
        self._system = tuple(system)
        # by type, checked twins included
        self._of = {type_: r for r in self._rules for type_ in (r.record, r.record.checked)}
        self._judges: dict[type, _Judges] = {type_: {} for type_ in self._of}
        self._guarded = {
            r.record.fields[name]: rule
            for r in self._rules
            for name, rule in r.guarded.items()
            if not parallel
        }
        self._events = {type_: rule for part in self._system for type_, rule in part.events.items()}
        # what the step in progress wrote, and the rules to evaluate after it
        self._touched: Any = None
        self._asked: tuple[Rule, ...] = ()
        # by the code of operations on it: a record with its judges; None for one without rules
        self._known: dict[int, tuple[Record, _Judges] | None] = {}
        self._parallel = parallel
        # the spans that CPUs are in
        self._spans: dict[Cpu, Span] = {}
        # freed memory that a CPU could still access, by the code of operations on it
        self._freed: dict[int, Record] = {}

    def begin(self, machine: Any) -> None:
        self._touched = None
        self._asked = ()
        self._known = {}
        self._spans = {}
        self._freed = {}

    # -- after a step ---------------------------------------------------------------------------

    def op(self, cpu: Cpu, code: int) -> None:
        # at every step, so all in one function, with the most frequent exits first
        if self._asked:
            asked, self._asked = self._asked, ()
            for rule in asked:
                broken = rule(self._touched, self.ledger)
                if broken is not None:
                    self.tell(cpu.machine, self._touched, broken)
                    break
        base = code & _RECORD
        if self._freed and base in self._freed:
            self._too_late(cpu, self._freed[base])
        known = None
        if code & 1:
            try:
                known = self._known[base]
            except KeyError:
                known = self._look_up(cpu.machine, base)
        if self._spans and cpu in self._spans:
            self._go_on(cpu, known or self._look_up(cpu.machine, base), code)
        if known is None:
            return
        self._touched, judges = known
        try:
            self._asked, rare = judges[code & PART_BITS]
        except KeyError:
            self._asked, rare = self._appoint(self._touched, code)
        if rare is not None:
            self._handle(cpu, self._touched, code, rare)

    def _handle(self, cpu: Cpu, record: Record, code: int, rare: _Rare) -> None:
        """Begin a span with the operation, or fail it for overwriting changes of other CPUs."""
        if rare.opens is not None:
            span = rare.opens(cpu, record, code)
            if span is not None:
                self._spans[cpu] = span
        if rare.loses:
            text = "an atomic word is stored to, and what others changed meanwhile is lost"
            self.tell(cpu.machine, record, Broken("INV-PB7", text))

    def _go_on(self, cpu: Cpu, known: tuple[Record, _Judges] | None, code: int) -> None:
        """Judge the CPU's span, if its next operation does not belong to it."""
        span = self._spans[cpu]
        if known is None or not span.lasts(known[0], code):
            del self._spans[cpu]
            found = span.broken()
            if found is not None:
                self.tell(cpu.machine, *found)

    def _look_up(self, machine: Any, base: int) -> tuple[Record, _Judges] | None:
        """The record whose own operations have that code, with its judges; None if it has no rules."""
        record = record_of(machine, base >> ops.KIND_BITS)
        judges = self._judges.get(type(record))
        known = (record, judges) if record is not None and judges is not None else None
        self._known[base] = known
        return known

    def _appoint(self, record: Record, code: int) -> _Judge:
        """The judge of operations of the code's kind on that part of such a record."""
        rules = self._of[type(record)]
        kind = ops.kind_of(code)
        field = record.field_of(code)
        rare = _Rare(
            opens=rules.opens.get(kind) if not self._parallel else None,
            loses=kind == ops.ATOMIC_STORE and not rules.stored,
        )
        name = field.name if field is not None else ""
        judge = _Judge(rules.asked(name, kind), rare if any(rare) else None)
        self._judges[type(record)][code & PART_BITS] = judge
        return judge

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
            broken = self._guarded[field](cpu, record, field, self.ledger)
            if broken is not None:
                self.tell(cpu.machine, record, broken)

    def wants(self, cpu: Cpu, lock: Lock, mode: str) -> None:
        if self._freed and lock.guards is not None and lock.guards.freed:
            self._too_late(cpu, lock.guards)

    def acquired(self, cpu: Cpu, lock: Lock, mode: str, tried: bool) -> None:
        if self._freed:
            self.wants(cpu, lock, mode)

    def freed(self, cpu: Cpu, record: Record) -> None:
        if record.mortal:
            self._freed[record.code] = record
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
        things = {pool.type: list(pool) for pool in vm.pools}
        ledger = self.ledger
        for n in range(max((len(rules.at_rest) for rules in self._rules), default=0)):
            for rules in self._rules:
                for rule in rules.at_rest[n : n + 1]:
                    for thing in things.get(rules.record, ()):
                        broken = rule(thing, ledger)
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
