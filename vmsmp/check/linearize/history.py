"""Recording a history in a program.

Recording performs no visible operation and makes no object of the machine, so a run has the same digest
with and without it.  A search that runs one execution of each trace (`dpor`) may miss the execution whose
calls and returns come in the order that fails: runs of one trace agree on results, but not on which of two
independent operations returns first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Self

from vmsmp.check.linearize.operation import Operation
from vmsmp.check.linearize.search import BUDGET, check, check_commits
from vmsmp.check.linearize.specification import Specification
from vmsmp.check.linearize.verdict import Verdict

if TYPE_CHECKING:
    from types import TracebackType

    from vmsmp.engine.machine import Machine


@dataclass(slots=True, eq=False)
class Call:
    """An operation being recorded: set `result` inside the `with`.

    It stays pending if an exception leaves the block, as happens when the execution ends in it.
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
        self.history.called(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None
    ) -> None:
        if kind is None:
            self.ret = self.history.stamp()

    def operation(self) -> Operation:
        """Return what is recorded so far as a value."""
        return Operation(self.cpu, self.name, self.args, self.result, self.call, self.ret, self.commit)


class History:
    """What a program's CPUs do to an object under test, and when each operation began and ended.

    Under control a stamp is the length of the engine's log; events between two visible operations count
    on from there, so that stamps are unique and in the exact order.  In the free engine stamps come from
    a shared counter: an operation may seem to last longer than it did, which can hide a failure and
    never makes one.

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
        #: By stamp, the true length of the log.
        self._log_lengths: dict[int, int] = {}

    def operation(self, name: str, *args: Any) -> Call:
        """Record what is done inside `with` as one operation of the running CPU."""
        return Call(self, name, args)

    def commit(self, op: Call) -> None:
        """Say that `op` has taken effect with the visible operation just performed.

        Optional; of several commits the last counts.  If every operation has one, judging takes linear
        time.  A wrong one costs time, never a wrong verdict.
        """
        op.commit = self.stamp()

    @property
    def operations(self) -> tuple[Operation, ...]:
        """What was recorded, in the order of the calls."""
        return tuple(call.operation() for call in list(self._calls))

    def check(self, spec: Specification, budget: int = BUDGET) -> Verdict:
        """Say whether the history is linearizable: try the order of commits, else search."""
        operations = self.operations
        if all(op.commit is not None for op in operations if op.ret is not None):
            committed = sorted((op for op in operations if op.commit is not None), key=_committed)
            if check_commits(committed, spec) is None:
                return Verdict("ok", tuple(committed), steps=len(committed), operations=len(operations))
        return check(operations, spec, budget)

    def judge(self, spec: Specification, budget: int = BUDGET) -> Verdict:
        """Fail the execution with kind "linearizability" if the history is not linearizable.

        Call it when no operation is in progress any more, after `m.join()`.  An unknown verdict is no
        failure; it is returned like any other.
        """
        verdict = self.check(spec, budget)
        if verdict.verdict == "illegal":
            self.machine.fail(
                "linearizability",
                f"{type(spec).__name__}: no order of the operations explains their results",
                verdict.explain(Operation.when if self.machine.engine.parallel else self._steps()),
            )
        return verdict

    def called(self, call: Call) -> None:
        """Record that the running CPU begins an operation."""
        call.cpu = self.machine.curcpu.index
        with self._host:
            call.call = self._count()
            self._calls.append(call)

    def stamp(self) -> int:
        """Return the current stamp; no two are equal."""
        with self._host:
            return self._count()

    def _count(self) -> int:
        # The free engine's log is empty, so only the counter counts there.
        length = len(self.machine.engine.log)
        self._last = max(self._last + 1, length)
        self._log_lengths[self._last] = length
        return self._last

    def _steps(self) -> Callable[[Operation], str]:
        """Return a function that says during which steps of the report an operation lasted.

        The report does not number switches, which the log holds.
        """
        steps = [0, *accumulate(int(code >= 0) for code in self.machine.engine.log)]

        def when(op: Operation) -> str:
            first = steps[self._log_lengths[op.call]]
            if op.ret is None:
                return f"step {first}.."
            last = steps[self._log_lengths[op.ret]] - 1
            if last < first:
                return "no step"
            return f"step {first}" if last == first else f"step {first}..{last}"

        return when


def _committed(op: Operation) -> int:
    assert op.commit is not None
    return op.commit
