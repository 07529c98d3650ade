"""The search for an order of a history's operations that explains their results.

It is Wing and Gong's (Testing and verifying concurrent objects, JPDC 1993), with Lowe's cache of the
operations linearized and the state they left (Testing for linearizability, 2017).  A history is split by
the specification's key, since it is linearizable if each part is (P-compositionality; Herlihy and
Wing 1990, Horn and Kroening 2015).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from vmsmp.check.linearize.operation import ANY, Operation
from vmsmp.check.linearize.specification import Specification
from vmsmp.check.linearize.verdict import Status, Verdict, refusal_reason

#: Steps of the specification before a search gives up.
BUDGET: Final = 100_000

States = tuple[Hashable, ...]


def check(history: Iterable[Operation], spec: Specification, budget: int = BUDGET) -> Verdict:
    """Search for an order of the operations in which `spec` gives their results.

    `budget` bounds the steps of the specification over all parts; the verdict is "unknown" when it is
    exhausted.  Pending operations may be left out.

    Raises: UsageError if the specification does not know an operation.
    """
    operations = list(history)
    parts = _parts(operations, spec)
    # Short ones first: a long one may use up the budget.
    parts.sort(key=lambda part: len(part[1]))
    orders: list[tuple[Operation, ...]] = []
    used = 0
    for key, members in parts:
        verdict = _Search(members, spec, budget - used).run()
        used += verdict.steps
        if not verdict.ok:
            return replace(verdict, key=key, steps=used)
        orders.append(verdict.order)
    return Verdict("ok", _merged(orders), steps=used, operations=len(operations))


def check_commits(history: Iterable[Operation], spec: Specification) -> Operation | None:
    """Replay the operations in the order given, that in which they took effect.

    Return None if the specification gives their results in that order.  Otherwise return the first
    operation that does not fit, or that was over before an earlier one was called.  Another order may
    still explain them, which `check` searches for.
    """
    order = list(history)
    parted = all(spec.key(op.name, op.args) is not None for op in order)
    states: dict[Hashable | None, States] = {}
    latest = None
    for op in order:
        latest = op.call if latest is None else max(latest, op.call)
        key = spec.key(op.name, op.args) if parted else None
        after = _after(spec, states[key] if key in states else (spec.initial(),), op)
        if not after or (op.ret is not None and op.ret < latest):
            return op
        states[key] = after
    return None


def _parts(history: list[Operation], spec: Specification) -> list[tuple[Hashable | None, list[Operation]]]:
    """Return the operations by key, in the order in which the keys first occur."""
    groups: dict[Hashable | None, list[Operation]] = {}
    for op in history:
        key = spec.key(op.name, op.args)
        if key is None:
            return [(None, history)]
        groups.setdefault(key, []).append(op)
    return list(groups.items())


def _after(spec: Specification, states: Iterable[Hashable], op: Operation) -> States:
    """Return the states that `op` may lead to from any of `states`, each once."""
    result = ANY if op.ret is None else op.result
    found: dict[Hashable, None] = {}
    for state in states:
        for after in spec.step(state, op.name, op.args, result):
            found[after] = None
    return tuple(found)


def _merged(orders: list[tuple[Operation, ...]]) -> tuple[Operation, ...]:
    """Return one order of all parts that keeps each part's order and real time."""
    if len(orders) == 1:
        return orders[0]
    moments: list[tuple[int, Operation]] = []
    for order in orders:
        # The earliest moment after the operations before; no operation is over by then.
        moment = order[0].call if order else 0
        for op in order:
            moment = max(moment, op.call)
            moments.append((moment, op))
    moments.sort(key=lambda pair: pair[0])
    return tuple(op for _, op in moments)


class _Timeline:
    """Calls and returns in a doubly linked list, in the order of time; entry 0 is its head."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        # At one stamp calls come before returns: the operations overlap.
        events = sorted(
            [(op.call, 0, n) for n, op in enumerate(operations)]
            + [(op.ret, 1, n) for n, op in enumerate(operations) if op.ret is not None]
        )
        #: By entry, the number of its operation.
        self.owner = [-1, *(n for _, _, n in events)]
        self.next = [*range(1, len(self.owner)), 0]
        self._prev = [len(events), *range(len(events))]
        #: By operation, the entries of its call and its return (0: it is pending).
        self.calls = [0] * len(operations)
        self.returns = [0] * len(operations)
        for entry, (_, ends, n) in enumerate(events, 1):
            (self.returns if ends else self.calls)[n] = entry

    def lift(self, n: int) -> None:
        """Take out the call and the return of an operation."""
        for entry in (self.calls[n], self.returns[n]):
            if entry:
                before, behind = self._prev[entry], self.next[entry]
                self.next[before], self._prev[behind] = behind, before

    def unlift(self, n: int) -> None:
        """Put back the operation that was lifted last."""
        for entry in (self.returns[n], self.calls[n]):
            if entry:
                self.next[self._prev[entry]] = self._prev[self.next[entry]] = entry

    def minimal(self) -> list[int]:
        """Return the operations called before the first return: one of them has to come next."""
        found: list[int] = []
        entry = self.next[0]
        while entry == self.calls[self.owner[entry]]:
            found.append(self.owner[entry])
            entry = self.next[entry]
        return found


class _Search:
    """Wing and Gong's search over one part.

    Operations linearized are lifted out of the timeline, so those that may come next are the calls
    before the first return.  If the specification leaves a choice, all its states are followed at once.
    """

    def __init__(self, operations: Sequence[Operation], spec: Specification, budget: int) -> None:
        self.operations = operations
        self.spec = spec
        self.budget = budget
        self.steps = 0
        self.timeline = _Timeline(operations)
        # invariant: the operations linearized, with the states before each
        self.stack: list[tuple[int, States]] = []
        self.linearized = 0
        self.states: States = (spec.initial(),)
        #: How many operations that returned are not linearized.
        self.left = sum(op.ret is not None for op in operations)
        self.seen: set[tuple[int, frozenset[Hashable]]] = set()
        self.best: Verdict | None = None

    def run(self) -> Verdict:
        owner, calls, following = self.timeline.owner, self.timeline.calls, self.timeline.next
        entry = following[0]
        while self.left:  # so there is a return ahead
            n = owner[entry]
            if entry == calls[n]:
                self.steps += len(self.states)
                if self.steps > self.budget:
                    self.steps = self.budget
                    self._keep("unknown")
                    break
                entry = following[0 if self._linearize(n) else entry]
            else:
                # A return: its operation had to come before all that is left, and everything was tried.
                self._keep("illegal")
                if not self.stack:
                    break
                entry = following[calls[self._backtrack()]]
        else:
            self._keep("ok")
        assert self.best is not None
        return replace(self.best, steps=self.steps, operations=len(self.operations))

    def _linearize(self, n: int) -> bool:
        """Put the operation next, if it can be and that has not been tried."""
        after = _after(self.spec, self.states, self.operations[n])
        config = (self.linearized | 1 << n, frozenset(after))
        if not after or config in self.seen:
            return False
        self.seen.add(config)
        self.stack.append((n, self.states))
        self.linearized, self.states = config[0], after
        self.timeline.lift(n)
        self.left -= self.timeline.returns[n] > 0
        return True

    def _backtrack(self) -> int:
        """Take back the operation linearized last and return it."""
        n, self.states = self.stack.pop()
        self.linearized ^= 1 << n
        self.timeline.unlift(n)
        self.left += self.timeline.returns[n] > 0
        return n

    def _keep(self, verdict: Status) -> None:
        """Remember the order reached unless a longer one is known.  The last verdict counts."""
        best = self.best
        if verdict != "ok" and best is not None and len(best.order) >= len(self.stack):
            if verdict == "unknown":
                self.best = replace(best, verdict=verdict, refused=(), reasons=())
            return
        order = tuple(self.operations[n] for n, _ in self.stack)
        refused = [self.operations[n] for n in self.timeline.minimal()] if verdict == "illegal" else []
        reasons = tuple(refusal_reason(self.spec, self.states, op) for op in refused)
        self.best = Verdict(verdict, order, tuple(refused), reasons, self.states)
