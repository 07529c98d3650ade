"""Rules of records, evaluated for the record that was written last.

In the controlled engine the record that an operation wrote is judged at the next arrival, when that
step is over and all CPUs are stopped before their next operation: by the rules of its type for what was
written, and by other judges of what steps write (`rules.Judge`).  Only this observer is shown operations, for
all of them: one call for each at every step would cost more than their work.
In the free engine, which has no steps, all records are judged at every rendezvous, but not single accesses,
stores to words and uses of freed words.
Events of the subsystem and uses of freed memory (INV-UAF) are judged when they happen.  What is broken at an
event of the free engine is broken at a second look, too: others may change what a rule looks at meanwhile.
The rules themselves are in `check.vm`; this module knows no kernel structure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, NamedTuple

from vmsmp.check.ledger import Ledger
from vmsmp.check.rules import NOTHING, Before, Broken, Judge, Judged, Opens, Rule, Rules, Span, SystemRules
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


#: A rule for events: the record and its broken rule, or None.
EventRule = Callable[[Cpu, Any], tuple[Record, Broken] | None]
#: What comes of looking at a list, a table or a tree of the model that another thread is changing.
_TORN: Final = (AttributeError, LookupError, RuntimeError, TypeError, ValueError)


class _Rare(NamedTuple):
    """What only few operations do."""

    #: The span that the operation begins, if it begins one.
    opens: Opens | None
    #: Whether it stores to a word that must not be stored to.
    loses: bool


#: What to do about an operation: its record, the rules to evaluate once its step is over, and who sees it
#: before it happens.
Plan = tuple[Any, tuple[Rule, ...], Before | None]


def at_a_second_look(rule: EventRule) -> EventRule:
    """The same rule where other CPUs run meanwhile: it is broken only if it is so twice."""

    def twice(cpu: Cpu, event: Any) -> tuple[Record, Broken] | None:
        try:
            return rule(cpu, event) and rule(cpu, event)
        except _TORN:
            return None

    return twice


def tell(ledger: Ledger, machine: Any, thing: Record, broken: Broken | None) -> None:
    """Fail the execution with that broken rule of a record, unless it has failed already."""
    if broken is not None and machine.violation is None:
        name, text, joint = broken
        machine.fail(
            "queue" if name.startswith("INV-Q") else "accounting",
            f"{name}: {thing.klass}{joint}{text}",
            [f"{thing} is {thing.dump()}", *ledger.history(thing)],
        )


class Records(RecordObserver, LockObserver, VmObserver):
    """Evaluates the rules, and asks the judges beside them; `ledger` knows which shares are out."""

    def __init__(
        self,
        ledger: Ledger,
        rules: Iterable[Rules],
        system: Iterable[SystemRules],
        *judges: Judge,
        parallel: bool = False,
    ) -> None:
        self.ledger = ledger
        self._others = judges
        self._rules = tuple(rules)
        self._system = tuple(system)
        # by type, checked twins included
        self._of = {type_: r for r in self._rules for type_ in (r.record, r.record.checked)}
        # plans for the records of a type, by the part and the kind of operation, as a code has them
        self._of_types: dict[type, dict[int, Judged]] = {}
        self._guarded = {
            r.record.fields[name]: rule
            for r in self._rules
            for name, rule in r.guarded.items()
            if not parallel
        }
        self._events = {
            type_: at_a_second_look(rule) if parallel else rule
            for part in self._system
            for type_, rule in part.events.items()
        }
        # what the step in progress wrote, and the rules to evaluate after it
        self._touched: Any = None
        self._asked: tuple[Rule, ...] = ()
        # by the code of operations on it: a record; None for what is no record
        self._known: dict[int, Record | None] = {}
        # by code: what to do about the operations of this run
        self._plans: dict[int, Plan] = {}
        self._parallel = parallel
        # who is shown every operation, and whether there is any reason to look at more than writes
        self._looks: list[Before] = []
        self._alert = False
        # the spans that CPUs are in
        self._spans: dict[Cpu, Span] = {}
        # freed memory that a CPU could still access, by the code of operations on it
        self._freed: dict[int, Record] = {}

    def begin(self, machine: Any) -> None:
        self._touched = None
        self._asked = ()
        self._known = {}
        self._plans = {}
        self._looks = []
        self._alert = False
        self._spans = {}
        self._freed = {}

    # -- after a step ---------------------------------------------------------------------------

    def op(self, cpu: Cpu, code: int) -> None:
        # at every step, so all in one function, with the most frequent exits first
        if self._asked:
            asked, self._asked = self._asked, ()
            touched = self._touched
            for rule in asked:
                broken = rule(touched, self.ledger)
                if broken is not None:
                    self.tell(cpu.machine, touched, broken)
                    break
        if self._alert:
            if self._freed and code & _RECORD in self._freed:
                self._too_late(cpu, self._freed[code & _RECORD])
            if self._spans and cpu in self._spans:
                self._go_on(cpu, code)
            for look in self._looks:
                look(cpu, code)
        if code & 1:
            try:
                self._touched, self._asked, before = self._plans[code]
            except KeyError:
                self._touched, self._asked, before = self._appoint(cpu.machine, code)
            if before is not None:
                before(cpu, code)

    def show(self, look: Before) -> None:
        """Show every operation to `look`, too, from the next one on."""
        if look not in self._looks:
            self._looks.append(look)
            self._alert = True

    def hide(self, look: Before) -> None:
        """Show it no more of them."""
        self._looks = [other for other in self._looks if other != look]  # it may be looked through now

    def _handle(self, rare: _Rare, cpu: Cpu, code: int) -> None:
        """Begin a span with the operation, or fail it for overwriting changes of other CPUs."""
        record = self._touched
        if rare.opens is not None:
            span = rare.opens(cpu, record, code)
            if span is not None:
                self._spans[cpu] = span
                self._alert = True
        if rare.loses:
            text = "an atomic word is stored to, and what others changed meanwhile is lost"
            self.tell(cpu.machine, record, Broken("INV-PB7", text))

    def _go_on(self, cpu: Cpu, code: int) -> None:
        """Judge the CPU's span, if its next operation does not belong to it."""
        span = self._spans[cpu]
        record = self._look_up(cpu.machine, code & _RECORD)
        if type(record) not in self._of or not span.lasts(record, code):
            del self._spans[cpu]
            found = span.broken()
            if found is not None:
                self.tell(cpu.machine, *found)

    def _look_up(self, machine: Any, base: int) -> Record | None:
        """The record whose own operations have that code, if there is one."""
        if base not in self._known:
            self._known[base] = record_of(machine, base >> ops.KIND_BITS)
        return self._known[base]

    def _appoint(self, machine: Any, code: int) -> Plan:
        """Plan for operations of that code: as for all records of a type, or for what is no record."""
        record = self._look_up(machine, code & _RECORD)
        if record is None:
            judged = self._judged_by_all(machine, record, code)
            plan = judged.about, judged.rules, judged.before
        else:
            of_type = self._of_types.setdefault(type(record), {})
            part = code & PART_BITS
            if part not in of_type:
                of_type[part] = self._judged_by_all(machine, record, code)
            judged = of_type[part]
            plan = record, judged.rules, judged.before
        self._plans[code] = plan
        return plan

    def _judged_by_all(self, machine: Any, record: Record | None, code: int) -> Judged:
        """What all judges together do about operations of that code; mostly one of them does anything."""
        plan = self._judged(record, code) if record is not None and type(record) in self._of else NOTHING
        for other in self._others:
            judged = other.judged(machine, record, code)
            if judged is not NOTHING:
                plan = judged if plan is NOTHING else plan.after(judged)
        return plan

    def _judged(self, record: Record, code: int) -> Judged:
        """By the rules of its type."""
        rules = self._of[type(record)]
        kind = ops.kind_of(code)
        field = record.field_of(code)
        rare = _Rare(
            opens=rules.opens.get(kind) if not self._parallel else None,
            loses=kind == ops.ATOMIC_STORE and not rules.stored,
        )
        asked = rules.asked(field.name if field is not None else "", kind)
        return Judged(asked, partial(self._handle, rare)) if any(rare) else Judged(asked)

    def tell(self, machine: Any, thing: Record, broken: Broken | None) -> None:
        """Fail the execution with that broken rule, unless it has failed already."""
        tell(self.ledger, machine, thing, broken)

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
            self._alert = True
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
