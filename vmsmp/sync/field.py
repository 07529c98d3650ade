"""Shared records: structures of the kernel whose every field names its lock by letter.

A class marked `@record(legend=...)` declares its fields with `field("S+Q")` or `word()`.  The letters
are the kernel's own (the permission matrix in `vm_page.h`); the legend gives each its meaning and a
predicate.  `+` means both, `|` either, `""` anybody.

  * a *field* is a plain slot.  Where a checker wants to see accesses, the machine makes instances of
    `checked` twins instead, whose slots are guarded; else an access costs what a slot costs.  What a
    lock protects is no visible operation: whoever obeys the letters cannot tell.
  * a *hint* is a read without the lock, which the reader knows may be stale; it is a visible
    operation of its own, and so is a store that such readers must be able to miss (`publish`).
  * a *word* is atomic, with the operations of `sync.atomic`, in a quarter of an `Atomic`'s memory:
    identity and name come from its record.

Every instance owns STRIDE identities, one a field, so an operation says which field it is about.  The
record's spinlock is made when it is first wanted: a machine of a million pages has no million locks.

Locks: none of its own.  Ghost shares (`took`, `gave`) are written down by the CPU that takes them, in
the step of the operation that takes them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, Protocol, TypeVar

from vmsmp.engine import ops
from vmsmp.engine.wait import Hold
from vmsmp.sync.atomic import AtomicOps, FreeAtomicOps

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu
    from vmsmp.engine.hooks import Hooks
    from vmsmp.machine import Machine
    from vmsmp.sync.spinlock import Spinlock

#: What a report makes of this module's frames (`engine.source`).
FRAMES = "machinery"
#: Identities of one record: itself, its spinlock and that one's word, then its fields.
STRIDE: Final = 32
SPIN: Final = 1
FIRST_FIELD: Final = 3
_FIELD_SHIFT: Final = ops.CPU_BITS + ops.KIND_BITS


class Letter(NamedTuple):
    """What a letter stands for, in words and as a predicate over (cpu, record)."""

    text: str
    holds: Callable[[Cpu, Any], bool]


class Home(Protocol):
    """What a record hangs off: the subsystem that made it."""

    machine: Machine
    engine: Any
    hooks: Hooks
    point: Callable[[int], None]
    making: Any


class Field:
    """One declared field: its letters for reading and writing, and how to look at it unseen."""

    __slots__ = ("atomic", "format", "name", "offset", "peek", "poke", "read", "write")

    def __init__(self, read: str, write: str, format: Callable[[Any], str], atomic: bool) -> None:
        self.read = read
        self.write = write
        self.format = format
        self.atomic = atomic
        self.name = ""
        self.offset = 0
        self.peek: Callable[[Any], Any]
        self.poke: Callable[[Any, Any], None]


def field(read: str, write: str | None = None, format: Callable[[Any], str] = repr) -> Any:
    """Declare a plain field; `write` is as `read` if not given."""
    return Field(read, read if write is None else write, format, atomic=False)


def word(format: Callable[[Any], str] = repr) -> Any:
    """Declare an atomic word; `format` puts its value into words for a report."""
    return Field("", "", format, atomic=True)


class Word(AtomicOps):
    """An atomic word inside a record.  One subclass a field, made by `record`."""

    __slots__ = ("owner", "value")

    declared: ClassVar[Field]
    _shift: ClassVar[int]

    def __init__(self, owner: Any, value: Any) -> None:
        self.owner = owner
        self.value = value

    @property
    def _code(self) -> int:  # type: ignore[override]  # computed here, stored elsewhere
        code: int = self.owner.code
        return code + self._shift

    @property
    def _point(self) -> Callable[[int], None]:  # type: ignore[override]  # computed here, stored elsewhere
        point: Callable[[int], None] = self.owner.vm.point
        return point

    @property
    def _engine(self) -> Any:  # type: ignore[override]  # computed here, stored elsewhere
        return self.owner.vm.engine

    @property
    def format(self) -> Callable[[Any], str]:  # type: ignore[override]  # computed here, stored elsewhere
        return self.declared.format

    @property
    def ident(self) -> int:
        return self._code >> ops.KIND_BITS

    @property
    def name(self) -> str:  # type: ignore[override]  # computed here, stored elsewhere
        return f"{self.owner.name}.{self.declared.name}"


class FreeWord(Word, FreeAtomicOps):
    """The same where CPUs are parallel: one host lock serves all words of a record."""

    __slots__ = ()

    @property
    def _host(self) -> Any:  # type: ignore[override]  # computed here, stored elsewhere
        return self.owner.host


class Record:
    """Base of shared structures.  `code` is the operation code of doing kind 0 to the record itself.

    `name` is what reports call it, `klass` the same without instance numbers.
    """

    __slots__ = ("_spin", "code", "host", "vm")

    kind: ClassVar[str] = "record"
    #: Further slots, of no concern to anybody's lock.
    plain: ClassVar[tuple[str, ...]] = ()
    legend: ClassVar[Mapping[str, Letter]] = {}
    fields: ClassVar[dict[str, Field]] = {}
    checked: ClassVar[type]
    words: ClassVar[dict[str, type[Word]]] = {}
    free_words: ClassVar[dict[str, type[Word]]] = {}

    code: int
    vm: Any
    host: Any

    def settle(self, vm: Any, ident: int | None) -> None:
        """Give a new instance its home and its identities: a part of a reserved run, or its own."""
        self.vm = vm
        if ident is None:
            ident = vm.machine.reserve(STRIDE, self.at)
        self.code = ident << ops.KIND_BITS
        self.host = threading.Lock() if vm.engine.parallel else None
        self._spin: Spinlock | None = None

    @property
    def ident(self) -> int:
        return self.code >> ops.KIND_BITS

    @property
    def name(self) -> str:
        raise NotImplementedError

    @property
    def klass(self) -> str:
        """The name without instance numbers, for signatures."""
        return self.name.partition("[")[0]

    @property
    def spin(self) -> Spinlock:
        """The record's spinlock."""
        return self._spin or self._make_spin()

    def _make_spin(self) -> Spinlock:
        with self.vm.making:
            if self._spin is None:
                ident = self.ident + (SPIN << ops.CPU_BITS)
                self._spin = self.vm.machine.spinlock(f"{self.name}.spin", ident=ident)
            return self._spin

    # -- unlocked accesses ----------------------------------------------------------------------

    def hint(self, name: str) -> Any:
        """Read a field without its lock: one visible operation, and the value may be stale."""
        declared = self.fields[name]
        self.vm.point(self.code + (declared.offset << _FIELD_SHIFT) + ops.LOAD)
        return declared.peek(self)

    def publish(self, name: str, value: Any) -> None:
        """Store a field that others read as a hint: one visible operation, with what its letters ask for."""
        declared = self.fields[name]
        self.vm.point(self.code + (declared.offset << _FIELD_SHIFT) + ops.STORE)
        setattr(self, name, value)

    def changing(self, name: str) -> Any:
        """The container in a field, about to be changed in place: as a write, to whoever checks."""
        vm = self.vm
        declared = self.fields[name]
        for hook in vm.hooks.access:
            hook(vm.engine.current, self, declared, True)
        return declared.peek(self)

    def peek(self, name: str) -> Any:
        """Look at a field or word unseen: for checkers, reports and assertions."""
        declared = self.fields[name]
        value = declared.peek(self)
        return value.value if declared.atomic else value

    # -- shares ---------------------------------------------------------------------------------

    def took(self, share: str, *, own: bool = True) -> None:
        """The running CPU took a share with the operation just performed.

        `own` shares are in the CPU's hands and only it gives them back; others are merely counted.
        """
        vm = self.vm
        cpu = vm.engine.current
        if own:
            cpu.held.append(Hold(self, share))
        for hook in vm.hooks.took:
            hook(cpu, self, share)

    def gave(self, share: str, *, own: bool = True) -> None:
        """The running CPU gave a share back with the operation just performed."""
        vm = self.vm
        cpu = vm.engine.current
        for hook in vm.hooks.gave:
            hook(cpu, self, share)
        if own:
            cpu.let_go(self, share)

    @property
    def holders(self) -> list[tuple[Cpu, str]]:
        """Who has a share of it in hand, and which."""
        cpus = self.vm.machine.cpus
        return [(cpu, hold.mode) for cpu in cpus for hold in list(cpu.held) if hold.lock is self]

    # -- reports --------------------------------------------------------------------------------

    def at(self, offset: int) -> Any:
        """The object whose identity is `offset` after the record's own."""
        if offset == SPIN:
            return self.spin
        if offset == SPIN + 1:
            return getattr(self.spin, "lock", None)
        for declared in self.fields.values():
            if declared.offset == offset:
                return declared.peek(self) if declared.atomic else FieldView(self, declared)
        return self

    def state(self) -> str:
        """The record in a few words, for the row of a report."""
        return "the record"

    def dump(self) -> str:
        """All of the record, in a line."""
        return self.state()

    def __repr__(self) -> str:
        return self.name


class FieldView(NamedTuple):
    """A plain field as the object of an operation, for reports."""

    record: Record
    declared: Field

    @property
    def name(self) -> str:
        return f"{self.record.name}.{self.declared.name}"

    def state(self) -> str:
        return self.declared.format(self.declared.peek(self.record))


class _Guard:
    """A data descriptor over a slot that tells the checkers of every access."""

    __slots__ = ("declared",)

    def __init__(self, declared: Field) -> None:
        self.declared = declared

    def __get__(self, thing: Any, owner: Any = None) -> Any:
        vm = thing.vm
        for hook in vm.hooks.access:
            hook(vm.engine.current, thing, self.declared, False)
        return self.declared.peek(thing)

    def __set__(self, thing: Any, value: Any) -> None:
        vm = thing.vm
        for hook in vm.hooks.access:
            hook(vm.engine.current, thing, self.declared, True)
        self.declared.poke(thing, value)


R = TypeVar("R")


def record(*, legend: Mapping[str, Letter] | None = None) -> Callable[[type[R]], type[R]]:
    """Make a class of shared records from its declarations: slots, words and the checked twin."""

    def make(cls: type[R]) -> type[R]:
        fields = {name: f for name, f in vars(cls).items() if isinstance(f, Field)}
        space = {
            n: v for n, v in vars(cls).items() if n not in fields and n not in ("__dict__", "__weakref__")
        }
        space["__slots__"] = (*space.pop("plain", ()), *fields)
        space["fields"] = fields
        space["legend"] = legend or {}
        made: Any = type(cls.__name__, cls.__bases__, space)
        made.words = {}
        made.free_words = {}
        guards: dict[str, Any] = {"__slots__": (), "__doc__": cls.__doc__, "__module__": cls.__module__}
        for offset, (name, declared) in enumerate(fields.items(), FIRST_FIELD):
            assert offset < STRIDE
            slot = made.__dict__[name]
            declared.name, declared.offset = name, offset
            declared.peek, declared.poke = slot.__get__, slot.__set__
            if declared.atomic:
                shape = {"__slots__": (), "declared": declared, "_shift": offset << _FIELD_SHIFT}
                made.words[name] = type(f"{cls.__name__}.{name}", (Word,), shape)
                made.free_words[name] = type(f"{cls.__name__}.{name}", (FreeWord,), shape)
            elif declared.read or declared.write:
                guards[name] = _Guard(declared)
        made.checked = type(cls.__name__, (made,), guards)
        result: type[R] = made
        return result

    return make
