"""Linearizability: whether some order of a history's operations explains all their results.

An operation takes effect in one moment between its call and its return; a history is linearizable if
there are such moments in whose order a sequential specification gives every recorded result.  The
search is Wing and Gong's (Testing and verifying concurrent objects, JPDC 1993), with Lowe's cache of
what was linearized and the state it left (Testing for linearizability, 2017).  A history is split by
the specification's key, since it is linearizable if each part is (P-compositionality; Herlihy and
Wing 1990, Horn and Kroening 2015).

`History` records in a program.  It performs no visible operation and makes no object of the machine,
so a run has the same digest with it and without.  Searches that run one execution of each trace
(`dpor`) may leave out the one whose calls and returns are ordered so that it fails: equal traces
agree on results, not on which of two independent operations was over first.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, Self, runtime_checkable

from vmsmp.errors import UsageError

if TYPE_CHECKING:
    from types import TracebackType

    from vmsmp.engine.machine import Machine

#: Steps of the specification before a search gives up.
BUDGET: Final = 100_000
#: How much of a long order, and how many of many states, an explanation shows.
_SHOWN_ORDER: Final = 12
_SHOWN_STATES: Final = 4
_SHOWN_TEXT: Final = 80


class _AnyResult(Enum):
    """The type of `ANY`."""

    ANY = "?"


#: The result of an operation that has not returned: whatever the specification allows.  It is not None,
#: which is a result like any other.
ANY: Final = _AnyResult.ANY


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a history, from its call to its return.

    One that returned at 3 is over before one that is called at 4; at equal stamps they overlap.
    `ret` is None while it is pending: it may have taken effect or not.  `commit` is when it did, if
    somebody said so.

    Raises: UsageError for one that returns before it is called.
    """

    cpu: int
    name: str
    args: tuple[Any, ...] = ()
    result: Any = None
    call: int = 0
    ret: int | None = None
    commit: int | None = None

    def __post_init__(self) -> None:
        if self.ret is not None and self.ret < self.call:
            raise UsageError(f"{self} returns before it is called")

    def __str__(self) -> str:
        result = "?" if self.ret is None else show(self.result)
        return f"cpu{self.cpu} {self.name}({', '.join(show(a) for a in self.args)}) -> {result}"

    def when(self) -> str:
        """From where to where it lasted."""
        return f"{self.call}..{self.ret if self.ret is not None else ''}"


class Specification(Protocol):
    """What the operations mean when they come one after another."""

    def initial(self) -> Hashable:
        """The state before the first operation."""

    def step(self, state: Any, name: str, args: tuple[Any, ...], result: Any) -> Iterable[Hashable]:
        """The states after the operation; none if it cannot give `result` there, or any for `ANY`."""

    def key(self, name: str, args: tuple[Any, ...]) -> Hashable | None:
        """The part of the history that it belongs to, or None if it may concern all of it.

        Where no operation has None each part is looked at alone, from the initial state.
        """


@runtime_checkable
class Telling(Protocol):
    """A specification that can say what would have been right."""

    def results(self, state: Any, name: str, args: tuple[Any, ...]) -> Iterable[Any]:
        """The results that the operation may give in `state`."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a search found.

    `order` is a linearization, or else the longest beginning of one, of the part `key`.  For an
    illegal history `refused` are the operations of which one had to come next, none of which could;
    `reasons` says why.  `states` are those that the specification may be in after `order`.
    """

    verdict: Literal["ok", "illegal", "unknown"]
    order: tuple[Operation, ...] = ()
    refused: tuple[Operation, ...] = ()
    reasons: tuple[str, ...] = ()
    states: tuple[Hashable, ...] = ()
    key: Hashable | None = None
    steps: int = 0
    operations: int = 0

    @property
    def ok(self) -> bool:
        return self.verdict == "ok"

    def explain(self, when: Callable[[Operation], str] = Operation.when) -> list[str]:
        """The verdict in a few lines: what can be put in order, and what cannot come after it.

        `when` says of an operation how long it lasted.
        """
        part = f" of {show(self.key)}" if self.key is not None else ""
        if self.ok:
            head = f"linearizable: {self.operations} operations{part}"
        elif self.verdict == "unknown":
            head = (
                f"unknown after {self.steps} steps: {len(self.order)} of {self.operations} operations{part}"
            )
            head += " in order so far"
        else:
            head = f"not linearizable: at most {len(self.order)} of {self.operations} operations{part}"
            head += " can be put in order"
        hidden = max(0, len(self.order) - _SHOWN_ORDER)
        lines = [head, *([f"  ... {hidden} before these"] if hidden else [])]
        lines += [f"  {op}  [{when(op)}]" for op in self.order[hidden:]]
        if self.refused:
            shown = " or ".join(show(state) for state in self.states[:_SHOWN_STATES])
            more = len(self.states) - _SHOWN_STATES
            lines.append(
                f"state then: {shown}{f' or {more} more' if more > 0 else ''}; none of these can be next:"
            )
            lines += [
                f"  {op}  [{when(op)}]: {why}" for op, why in zip(self.refused, self.reasons, strict=True)
            ]
        return lines


def show(value: Any) -> str:
    """A value in words that are the same in every process: no address, no order of a hash."""
    text = _text(value)
    return text if len(text) <= _SHOWN_TEXT else f"{text[: _SHOWN_TEXT - 3]}..."


def _text(value: Any) -> str:
    if isinstance(value, frozenset | set):
        return "{" + ", ".join(sorted(_text(one) for one in value)) + "}"
    if type(value) is tuple:
        inside = ", ".join(_text(one) for one in value)
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


# -- judging a history ----------------------------------------------------------------------------


def check(history: Iterable[Operation], spec: Specification, budget: int = BUDGET) -> Verdict:
    """Search for an order of the operations in which `spec` gives their results.

    `budget` bounds the steps of the specification, of all parts together; "unknown" when it is used
    up.  Pending operations may be left out.

    Raises: UsageError if the specification does not know an operation.
    """
    operations = list(history)
    parts = _parts(operations, spec)
    # The short ones first: a long one may use up the budget.
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
    """Replay operations in the order given, that of the moments in which they took effect.

    None if the specification gives their results in that order, else the first that does not fit, or
    that was over before one that stands before it was called.  Then another order may still do, which
    `check` searches for.
    """
    order = list(history)
    parted = all(spec.key(op.name, op.args) is not None for op in order)
    states: dict[Hashable | None, tuple[Hashable, ...]] = {}
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
    """The operations by key, in the order in which the keys come first."""
    groups: dict[Hashable | None, list[Operation]] = {}
    for op in history:
        key = spec.key(op.name, op.args)
        if key is None:
            return [(None, history)]
        groups.setdefault(key, []).append(op)
    return list(groups.items())


def _after(spec: Specification, states: Iterable[Hashable], op: Operation) -> tuple[Hashable, ...]:
    """The states that `op` may lead to from any of `states`, each once."""
    result = ANY if op.ret is None else op.result
    found: dict[Hashable, None] = {}
    for state in states:
        for after in spec.step(state, op.name, op.args, result):
            found[after] = None
    return tuple(found)


def _merged(orders: list[tuple[Operation, ...]]) -> tuple[Operation, ...]:
    """One order of all parts that keeps each part's own, and what was over before what."""
    if len(orders) == 1:
        return orders[0]
    moments: list[tuple[int, Operation]] = []
    for order in orders:
        # The earliest moment after those before it; no operation is over by then.
        moment = order[0].call if order else 0
        for op in order:
            moment = max(moment, op.call)
            moments.append((moment, op))
    moments.sort(key=lambda pair: pair[0])
    return tuple(op for _, op in moments)


class _Search:
    """Wing and Gong's search over one part.

    Calls and returns hang in a doubly linked list in the order of time.  What is linearized is lifted
    out of it, so the operations that may come next are the calls before the first return.  A
    specification that leaves a choice is followed through all its states at once.
    """

    def __init__(self, operations: Sequence[Operation], spec: Specification, budget: int) -> None:
        self.operations = operations
        self.spec = spec
        self.budget = budget
        self.steps = 0
        # At one stamp calls come before returns: the operations overlap.
        events = sorted(
            [(op.call, 0, n) for n, op in enumerate(operations)]
            + [(op.ret, 1, n) for n, op in enumerate(operations) if op.ret is not None]
        )
        # Entry 0 is the list's head.
        self.owner = [-1, *(n for _, _, n in events)]
        self.next = [*range(1, len(self.owner)), 0]
        self.prev = [len(events), *range(len(events))]
        self.calls = [0] * len(operations)
        self.returns = [0] * len(operations)
        for entry, (_, ends, n) in enumerate(events, 1):
            (self.returns if ends else self.calls)[n] = entry
        # invariant: the operations linearized, with the states before each
        self.stack: list[tuple[int, tuple[Hashable, ...]]] = []
        self.best: Verdict | None = None

    def run(self) -> Verdict:
        operations, owner = self.operations, self.owner
        calls, returns, after = self.calls, self.returns, self.next
        states: tuple[Hashable, ...] = (self.spec.initial(),)
        linearized = 0
        seen: set[tuple[int, frozenset[Hashable]]] = set()
        left = sum(op.ret is not None for op in operations)
        entry = after[0]
        while left:  # so there is a return ahead
            n = owner[entry]
            if entry == calls[n]:
                self.steps += len(states)
                if self.steps > self.budget:
                    self.steps = self.budget
                    self._keep("unknown", states)
                    break
                then = _after(self.spec, states, operations[n])
                config = (linearized | 1 << n, frozenset(then))
                if then and config not in seen:
                    seen.add(config)
                    self.stack.append((n, states))
                    linearized, states = config[0], then
                    self._lift(calls[n])
                    if returns[n]:
                        self._lift(returns[n])
                        left -= 1
                    entry = 0
                entry = after[entry]
            else:
                # It returned, so it had to come before what is left; all that could has been tried.
                self._keep("illegal", states)
                if not self.stack:
                    break
                n, states = self.stack.pop()
                linearized ^= 1 << n
                if returns[n]:
                    self._unlift(returns[n])
                    left += 1
                self._unlift(calls[n])
                entry = after[calls[n]]
        else:
            self._keep("ok", states)
        assert self.best is not None
        return replace(self.best, steps=self.steps, operations=len(operations))

    def _lift(self, entry: int) -> None:
        before, behind = self.prev[entry], self.next[entry]
        self.next[before], self.prev[behind] = behind, before

    def _unlift(self, entry: int) -> None:
        """Put back the entry that was lifted last."""
        self.next[self.prev[entry]] = self.prev[self.next[entry]] = entry

    def _keep(self, verdict: Literal["ok", "illegal", "unknown"], states: tuple[Hashable, ...]) -> None:
        """Remember the order reached, if none was longer.  Only the last verdict is for good."""
        best = self.best
        if verdict != "ok" and best is not None and len(best.order) >= len(self.stack):
            if verdict == "unknown":
                self.best = replace(best, verdict=verdict, refused=(), reasons=())
            return
        order = tuple(self.operations[n] for n, _ in self.stack)
        refused: list[Operation] = []
        if verdict == "illegal":
            entry = self.next[0]
            while entry == self.calls[self.owner[entry]]:
                refused.append(self.operations[self.owner[entry]])
                entry = self.next[entry]
        reasons = tuple(self._reason(states, op) for op in refused)
        self.best = Verdict(verdict, order, tuple(refused), reasons, states)

    def _reason(self, states: tuple[Hashable, ...], op: Operation) -> str:
        if not isinstance(self.spec, Telling):
            return "not possible"
        found: dict[str, None] = {}
        for state in states:
            for result in self.spec.results(state, op.name, op.args):
                found[show(result)] = None
        return f"it would give {' or '.join(list(found)[:_SHOWN_STATES])}" if found else "not possible at all"


# -- recording one --------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class Call:
    """An operation being recorded: set `result` inside the `with`.

    It stays pending if it is left by an exception, as it is when the execution ends in it.
    """

    history: History
    name: str
    args: tuple[Any, ...]
    result: Any = None
    cpu: int = field(default=0, init=False)
    call: int = field(default=0, init=False)
    ret: int | None = field(default=None, init=False)
    commit: int | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        self.history._begin(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None
    ) -> None:
        if kind is None:
            self.ret = self.history._stamp()


class History:
    """What a program's CPUs do to an object under test, with when each operation began and ended.

    Under control a stamp is how long the engine's log is; events between two visible operations count
    on from there, so that no two are at once and their order is exact.  In
    the free engine stamps are a shared count: an operation may seem to last longer than it did, which
    can hide a failure and never makes one.

    Use it inside programs:

        history = History(m)
        with history.operation("put", 3) as op:
            op.result = queue.put(3)
        ...
        m.join()
        history.judge(Queue())
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        # A host lock, for the free engine; nothing visible is done under it.
        self._host = threading.Lock()
        self._last = -1
        self._calls: list[Call] = []
        #: How long the log really was at each stamp.
        self._places: dict[int, int] = {}

    def operation(self, name: str, *args: Any) -> Call:
        """Record what is done inside `with` as one operation of the running CPU."""
        return Call(self, name, args)

    def commit(self, op: Call) -> None:
        """Say that `op` has taken effect with the visible operation just performed.

        Optional; of several the last one counts.  Where all operations have said so, judging takes
        linear time.  A wrong moment costs time, never a wrong verdict.
        """
        op.commit = self._stamp()

    @property
    def operations(self) -> tuple[Operation, ...]:
        """What was recorded, in the order of the calls."""
        return tuple(
            Operation(c.cpu, c.name, c.args, c.result, c.call, c.ret, c.commit) for c in list(self._calls)
        )

    def check(self, spec: Specification, budget: int = BUDGET) -> Verdict:
        """Whether what was recorded is linearizable: by the moments it committed, else by search."""
        operations = self.operations
        if all(op.commit is not None for op in operations if op.ret is not None):
            committed = sorted((op for op in operations if op.commit is not None), key=_committed)
            if check_commits(committed, spec) is None:
                return Verdict("ok", tuple(committed), steps=len(committed), operations=len(operations))
        return check(operations, spec, budget)

    def judge(self, spec: Specification, budget: int = BUDGET) -> Verdict:
        """Fail the execution with kind "linearizability" if what was recorded is not linearizable.

        Call it when no operation is under way any more, after `m.join()`.  An unknown verdict is not
        a failure; it is returned, as every other.
        """
        verdict = self.check(spec, budget)
        if verdict.verdict == "illegal":
            self.machine.fail(
                "linearizability",
                f"{type(spec).__name__}: no order of the operations explains their results",
                verdict.explain(Operation.when if self.machine.engine.parallel else self._steps()),
            )
        return verdict

    def _begin(self, call: Call) -> None:
        call.cpu = self.machine.curcpu.index
        with self._host:
            call.call = self._count()
            self._calls.append(call)

    def _stamp(self) -> int:
        with self._host:
            return self._count()

    def _count(self) -> int:
        # The free engine's log is empty, which leaves the count.
        place = len(self.machine.engine.log)
        self._last = max(self._last + 1, place)
        self._places[self._last] = place
        return self._last

    def _steps(self) -> Callable[[Operation], str]:
        """What says of an operation which steps of the report it lasted for: switches are none there."""
        steps = [0, *accumulate(int(code >= 0) for code in self.machine.engine.log)]

        def when(op: Operation) -> str:
            first = steps[self._places[op.call]]
            if op.ret is None:
                return f"step {first}.."
            last = steps[self._places[op.ret]] - 1
            return (
                f"step {first}" if last == first else f"step {first}..{last}" if last > first else "no step"
            )

        return when


def _committed(op: Operation) -> int:
    assert op.commit is not None
    return op.commit
