"""Lasso: whether a run on fair picks has come back to where it was, and so will for ever.

Fair picks depend on nothing but the state.  So a run that stands twice in one state goes round from
there on: a stem and a loop, a lasso.  Compared are what every CPU stands before and who can run, the
time left of every sleep, the state of everything used in between, and the programs' frames with
their variables.  Not seen are plain data that no variable leads to and how far an iterator has got.
Therefore a loop must be gone round `ROUNDS` times before it counts.

The state to come back to is moved on in steps twice as long each time (Brent, BIT 1980), so a loop of
any length is found and only one state is kept.
"""

from __future__ import annotations

import sys
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from vmsmp.engine import ops
from vmsmp.engine.machine import current_frames, program_frames

if TYPE_CHECKING:
    from types import FrameType

    from vmsmp.engine.controlled import ControlledEngine
    from vmsmp.engine.cpu import Cpu
    from vmsmp.engine.machine import Machine

#: How often a loop is gone round before it counts: it may count its turns where nobody sees it.
ROUNDS: Final = 32
#: How deep into containers and the caller's own objects variables are compared, and how wide.
_DEPTH: Final = 4
_WIDTH: Final = 64


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop: the log entry at which it was entered first, and the entries of one turn."""

    entered: int
    turn: tuple[int, ...]


class Lasso:
    """Watches one run, from the first step on fair picks."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._engine = cast("ControlledEngine", machine.engine)
        self._log = machine.engine.log
        self._patience = 1
        self._drop()

    def _drop(self) -> None:
        """Take the present state as the one to come back to."""
        self._mark = _posture(self._engine)
        self._state = _frames(self.machine)
        self._at = self._entered = len(self._log)
        self._used: dict[int, Any] = {}
        self._turn: list[int] = []
        self._rounds = 0

    def step(self) -> Loop | None:
        """Look at the state before the step under way; the loop, if it is one."""
        machine, log = self.machine, self._log
        if _posture(self._engine) != self._mark or _frames(machine) != self._state:
            if len(log) - self._at > self._patience:
                self._patience *= 2
                self._drop()
            return None
        turn = log[self._at :]
        used = _used(machine, turn)
        if turn != self._turn or used != self._used:
            self._entered, self._rounds = self._at, 0
        self._turn, self._used, self._at = turn, used, len(log)
        self._rounds += 1
        return Loop(self._entered, tuple(turn)) if self._rounds >= ROUNDS else None


def _posture(engine: ControlledEngine) -> tuple[Any, ...]:
    """What every CPU stands before, who runs and could, and how long sleepers have yet to sleep."""
    cpus = engine.machine.cpus
    return (
        engine.current.index,
        [cpu.index for cpu in engine.run],
        [(cpu.done, cpu.pending, cpu.injections) for cpu in cpus],
        [cpu.deadline and cpu.deadline - engine.ticks for cpu in cpus],
    )


def _used(machine: Machine, turn: list[int]) -> dict[int, Any]:
    """The state of all that was used in a turn, by identity."""
    idents = {code >> ops.KIND_BITS for code in turn if code >= 0}
    things = {ident: machine.find(ident) for ident in sorted(idents) if ident}
    return {ident: thing.state() for ident, thing in things.items() if hasattr(thing, "state")}


def _frames(machine: Machine) -> list[Any]:
    """Where every CPU's program stands, and its variables and random numbers."""
    frames = current_frames()
    return [_program(cpu, frames) for cpu in machine.cpus if cpu.started and not cpu.done]


def _program(cpu: Cpu, frames: dict[int, FrameType]) -> list[Any]:
    own = frames.get(cpu.worker.thread.ident or 0)
    standing: list[Any] = [
        (frame.f_code, frame.f_lasti, {name: _value(v, _DEPTH) for name, v in frame.f_locals.items()})
        for frame in program_frames(own)
    ]
    standing += [rng.getstate() for rng in cpu.rngs.values()]
    return standing


class _Same:
    """An object that is equal to itself alone, whatever it says of that."""

    __slots__ = ("thing",)

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.thing is other.thing

    __hash__ = None  # type: ignore[assignment]  # compared in order only


def _value(value: Any, depth: int) -> Any:
    """A value as it is now, to be compared with what it is later."""
    if value is None or isinstance(value, int | str | bytes | float):
        return value
    if isinstance(value, set | frozenset):
        return _Same(value), frozenset(value)  # in no order
    if depth and isinstance(value, list | tuple | deque):
        return _several(value, list(value), depth)
    if depth and isinstance(value, dict):
        return _several(value, [*value.keys(), *value.values()], depth)
    inside = getattr(value, "__dict__", None)
    if depth and isinstance(inside, dict) and not _ours(value):
        return _several(value, list(inside.values()), depth)
    return _Same(value)


def _several(whole: Any, parts: list[Any], depth: int) -> tuple[_Same, int, list[Any]]:
    return _Same(whole), len(parts), [_value(part, depth - 1) for part in parts[:_WIDTH]]


def _ours(value: Any) -> bool:
    """Whether the object is of the machine: what is used of it has a state of its own."""
    return callable(value) or type(value).__module__.split(".")[0] in ("vmsmp", *sys.stdlib_module_names)
