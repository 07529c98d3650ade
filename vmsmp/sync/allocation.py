"""Allocated memory: records of cells that are freed, and may be used after that by mistake.

Models: malloc and free, as far as lifetime goes.
`free` overwrites one field after the other, each with one visible operation, like an allocator that fills
freed memory with junk; from that operation on every access to the field is a failure of kind
"use-after-free", and so is a second `free`.  The memory is never allocated again, so no error is hidden by a
new owner.  Memory that is not freed when all CPUs have ended is a leak (`check.leak`).
A field is a plain cell; a field made of `m.atomic(...)` stays an atomic word.
Locks: none; the program decides who may free.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, NoReturn

from vmsmp.engine import ops, source
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.verdict import FailureKind
from vmsmp.sync.atomic import Atomic
from vmsmp.sync.cell import Cell
from vmsmp.sync.services import Services

#: How a report shows this module's frames (`engine.source`).
FRAMES = "machinery"
#: Names that a field cannot have.
TAKEN: Final = frozenset(("free", "freed", "history", "state"))


class Deed(NamedTuple):
    """What a CPU did with the memory, where, and at which position in the run."""

    cpu: Cpu
    did: str
    at: int
    place: str

    def __str__(self) -> str:
        step = self.cpu.machine.engine.step_at(self.at)
        return f"step {step}: {self.cpu} {self.did} at {self.place}"


class Allocation:
    """A record of cells, one an attribute: `thing.key.load()`."""

    def __init__(self, machine: Services, name: str | None, values: dict[str, Any]) -> None:
        if not values or TAKEN & values.keys():
            raise ValueError(f"allocate: give at least one field, named none of {', '.join(sorted(TAKEN))}")
        self._machine = machine
        ident = machine.enroll(self)
        self._name = name or f"allocation {ident & 63}.{ident >> 6}"
        self.freed = False
        self._host = machine.engine.host_lock()
        self._cells: list[Cell[Any] | Atomic] = []
        self._dead: set[int] = set()
        for key, value in values.items():
            cell = value if isinstance(value, Atomic) else machine.cell(value, f"{self._name}.{key}")
            self._guard(cell)
            self._cells.append(cell)
            vars(self)[key] = cell
        self._deeds = [self._deed("allocated it")]

    def __getattr__(self, name: str) -> Any:
        """Called only for names that are no fields; it also tells type checkers that there are fields."""
        raise AttributeError(f"{self!r} has no field {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse to replace the cell of a field."""
        if not name.startswith("_") and name != "freed":
            raise AttributeError(f"{self!r}: use .{name}.store(...) to change the field {name!r}")
        super().__setattr__(name, value)

    def free(self) -> None:
        """Free the record: one visible operation for each field.

        Fails with kind "use-after-free" if it has been freed before.
        """
        deed = self._deed("frees it")
        for cell in self._cells:
            kind = ops.ATOMIC_STORE if isinstance(cell, Atomic) else ops.STORE
            self._machine.point(cell.ident << ops.KIND_BITS | kind)
            with self._host:
                again = cell.ident in self._dead
                self._dead.add(cell.ident)
                if not again and not self.freed:
                    self.freed = True
                    self._deeds.append(deed)
            if again:
                self._fail(f"{self._name} freed twice", deed)

    def history(self) -> list[str]:
        """Who allocated it, and who freed it, oldest first."""
        return [str(deed) for deed in self._deeds]

    def _guard(self, cell: Cell[Any] | Atomic) -> None:
        """Have every access test, in its own step, whether the field has been freed."""

        def point(code: int) -> None:
            self._machine.point(code)
            if cell.ident in self._dead:
                self._fail(f"{cell.name} used after it was freed", self._deed("uses it"))

        cell.watch(point)

    def _fail(self, message: str, deed: Deed) -> NoReturn:
        self._machine.fail(FailureKind.USE_AFTER_FREE, message, [*self.history(), str(deed)])

    def _deed(self, did: str) -> Deed:
        cpu = self._machine.engine.current
        here = source.standing(limit=1)  # nowhere, if it is all that the CPU was given to do
        place = str(here[0]) if here else "its start"
        return Deed(cpu, did, self._machine.engine.position(cpu), place)

    def state(self) -> str:
        return "freed" if self.freed else "allocated"

    def __repr__(self) -> str:
        return self._name
