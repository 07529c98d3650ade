"""What a search for a linearization found, and its explanation."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Final, Literal

from vmsmp.check.linearize.operation import Operation, show
from vmsmp.check.linearize.specification import KnowsResults, Specification

#: How many operations of a long order, and how many states, an explanation shows.
_SHOWN_ORDER: Final = 12
_SHOWN_STATES: Final = 4

Status = Literal["ok", "illegal", "unknown"]
When = Callable[[Operation], str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a search found.

    `order` is a linearization of the part `key`, or else the longest beginning of one.  For an illegal
    history `refused` are the operations of which one had to come next, though none could; `reasons`
    says why.  `states` are those that the specification may be in after `order`.
    """

    verdict: Status
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

    def explain(self, when: When = Operation.when) -> list[str]:
        """Return the verdict in a few lines: what can be put in order, and what cannot come after it.

        `when` says how long an operation lasted.
        """
        hidden = max(0, len(self.order) - _SHOWN_ORDER)
        lines = [self._headline(), *([f"  ... {hidden} before these"] if hidden else [])]
        lines += [f"  {op}  [{when(op)}]" for op in self.order[hidden:]]
        return lines + (self._refusal(when) if self.refused else [])

    def _headline(self) -> str:
        part = f" of {show(self.key)}" if self.key is not None else ""
        ordered = f"{len(self.order)} of {self.operations} operations{part}"
        if self.ok:
            return f"linearizable: {self.operations} operations{part}"
        if self.verdict == "unknown":
            return f"unknown after {self.steps} steps: {ordered} in order so far"
        return f"not linearizable: at most {ordered} can be put in order"

    def _refusal(self, when: When) -> list[str]:
        shown = " or ".join(show(state) for state in self.states[:_SHOWN_STATES])
        more = len(self.states) - _SHOWN_STATES
        return [
            f"state then: {shown}{f' or {more} more' if more > 0 else ''}; none of these can be next:",
            *(f"  {op}  [{when(op)}]: {why}" for op, why in zip(self.refused, self.reasons, strict=True)),
        ]


def refusal_reason(spec: Specification, states: Iterable[Hashable], op: Operation) -> str:
    """Say why `op` cannot come next in any of `states`."""
    if not isinstance(spec, KnowsResults):
        return "not possible"
    found: dict[str, None] = {}
    for state in states:
        for result in spec.results(state, op.name, op.args):
            found[show(result)] = None
    return f"it would give {' or '.join(list(found)[:_SHOWN_STATES])}" if found else "not possible at all"
