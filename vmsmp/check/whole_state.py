"""The state of a whole machine as a value, to test whether a run has come back to it.

It has all that the next steps depend on, as far as Python shows it: virtual time, positions of random
numbers, every word, lock and field, each CPU's next operation, and the variables of the program's own
functions with everything reachable from them.  An opaque object (an iterator, a file) never compares equal.

Deviations: the position of a `for` loop is taken from its variable if it goes over `range`, `m.rounds` or
`enumerate`; any other loop never compares equal.  Global variables of modules, and attributes of the kernel's
Python objects other than fields, are left out.  An object that vmsmp makes in each turn of a loop (for a wait
for a token) never compares equal, so the state of such a run never comes back.
"""

from __future__ import annotations

import dis
from collections.abc import Iterator
from enum import Enum
from functools import lru_cache
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, Final

from vmsmp.engine import source
from vmsmp.engine.source import Role

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu
    from vmsmp.engine.machine import Machine

#: The most parts of a state that are compared; a state with more never compares equal.
MOST: Final = 20_000

#: The calls that make a counted loop, and how many instructions such a call may have.
_COUNTING: Final = ("range", "rounds", "enumerate")
_CALL: Final = 16
#: Instructions without an effect.
_NOTHING: Final = ("CACHE", "EXTENDED_ARG", "NOP", "NOT_TAKEN", "RESUME")
_PLAIN: Final = frozenset((type(None), bool, int, float, complex, str, bytes, range, slice, type(...)))
#: Types without state, or without state that a program changes.
_FIXED: Final = (type, ModuleType, BuiltinFunctionType, CodeType, Enum, property)


class _Self:
    """An object that compares equal only to itself."""

    __slots__ = ("it",)

    def __init__(self, it: object) -> None:
        self.it = it

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Self) and self.it is other.it

    def __hash__(self) -> int:
        return id(self.it)


def state_of(machine: Machine) -> object:
    """Return the machine's state, which compares equal to another one if nothing has changed."""
    look = _Look()
    frames = source.current_frames()
    return (
        machine.ticks,
        tuple(_of_cpu(cpu, look, frames.get(cpu.thread.ident or 0)) for cpu in machine.cpus),
        tuple(look.at(thing) for thing in _things(machine)),
    )


def _things(machine: Machine) -> Iterator[Any]:
    """The values of everything that has an identity."""
    for thing in machine.identities:
        if hasattr(thing, "value"):
            yield thing.value
        elif hasattr(thing, "state"):
            yield thing.state()
    for finder in machine.identities.finders():
        for place, record in sorted(getattr(finder, "records", {}).items()):
            yield place
            for name in record.fields:
                yield record.peek(name)


def _of_cpu(cpu: Cpu, look: _Look, frame: FrameType | None) -> object:
    """Return what a CPU's next operations depend on."""
    rngs = tuple((name, rng.getstate()) for name, rng in sorted(cpu.rngs.items()))
    held = tuple((_Self(hold.lock), hold.mode) for hold in cpu.held)
    stack = []
    while frame is not None and not cpu.done:
        if source.role_of(frame) is not Role.MACHINERY:
            stack.append(_of_frame(frame, look))
        frame = frame.f_back
    wait = cpu.pending, cpu.done, cpu.deadline, cpu.wait_end, cpu.alarmed
    return *wait, held, rngs, tuple(stack), cpu.latched, cpu.closed


def _of_frame(frame: FrameType, look: _Look) -> object:
    variables = frame.f_locals
    for names in _loop_variables(frame.f_code, frame.f_lasti):
        if not any(type(variables.get(name)) is int for name in names):
            return object()  # the number of turns left is unknown
    return _Self(frame.f_code), frame.f_lasti, look.at_all(variables)


@lru_cache(512)
def _loop_variables(code: CodeType, at: int) -> tuple[tuple[str, ...], ...]:
    """The variables that give the positions of the `for` loops around an instruction, by loop.

    A loop over anything but counted turns has none, since its items may be equal; nor has one of a
    comprehension, which on CPython 3.11 is in a frame of its own.
    """
    found = []
    instructions = [one for one in dis.get_instructions(code) if one.opname not in _NOTHING]
    for n, instruction in enumerate(instructions):
        if instruction.opname == "FOR_ITER" and instruction.offset < at < instruction.argval:
            before = [one for one in instructions[:n] if one.opname != "GET_ITER"][-_CALL:]
            counts = before[-1].opname.startswith("CALL") and any(one.argval in _COUNTING for one in before)
            found.append(tuple(_stored(instructions[n + 1 : n + 8])) if counts else ())
    return tuple(found)


def _stored(instructions: list[dis.Instruction]) -> Iterator[str]:
    """The variables that the first of these instructions store to."""
    for n, instruction in enumerate(instructions):
        name, value = instruction.opname, instruction.argval
        if name == "STORE_FAST_LOAD_FAST":  # from CPython 3.13 on two in one
            yield value[0]
            return
        if name.startswith("STORE_"):
            yield from [value] if isinstance(value, str) else value
        elif n or not name.startswith("UNPACK_"):
            return


class _Look:
    """One traversal of objects, each visited once."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}
        self._left = MOST

    def at(self, value: Any) -> object:
        """Return an immutable value that stands for `value`, equal for two that are alike."""
        kind = type(value)
        if kind in _PLAIN:
            return kind, value
        if isinstance(value, _FIXED) or kind.__module__.partition(".")[0] == "vmsmp":
            return _Self(value)  # vmsmp's own objects that matter have identities
        if id(value) in self._seen:
            return "seen", self._seen[id(value)]
        self._seen[id(value)] = len(self._seen)
        self._left -= 1
        return object() if self._left < 0 else self._into(value)

    def at_all(self, parts: dict[Any, Any]) -> object:
        """All keys and values, in order."""
        return tuple((self.at(key), self.at(value)) for key, value in parts.items())

    def _into(self, value: Any) -> object:
        kind = type(value)
        if kind in (list, tuple):
            return kind, tuple(map(self.at, value))
        if kind is dict:
            return kind, self.at_all(value)
        if kind in (set, frozenset):
            return kind, frozenset(map(self.at, value))
        if kind is FunctionType:
            return _Self(value.__code__), tuple(
                self.at(cell.cell_contents) for cell in value.__closure__ or ()
            )
        if kind is MethodType:
            return _Self(value.__func__), self.at(value.__self__)
        return self._attributes(value)

    def _attributes(self, value: Any) -> object:
        """The attributes of an object of the program's own."""
        slots = [name for cls in type(value).__mro__ for name in _slots(cls)]
        own = getattr(value, "__dict__", None)
        if own is None and not slots:
            return object()  # opaque
        parts = {name: getattr(value, name) for name in slots if hasattr(value, name)}
        return _Self(value), self.at_all(parts), self.at_all(own or {})


def _slots(cls: type) -> tuple[str, ...]:
    declared = vars(cls).get("__slots__", ())
    names = (declared,) if isinstance(declared, str) else tuple(declared)
    return tuple(name for name in names if name not in ("__dict__", "__weakref__"))
