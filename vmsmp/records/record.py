"""The base class of shared records, and the decorator that makes a class from its declarations.

A class marked `@record(legend=...)` declares its slots with `field("S+Q")`, `word()` and `plain()`; its
constructor `(vm, ident=None, *, slot=value, ...)` is generated from them.

  * a *field* is a plain slot.  If a checker wants to see accesses, a pool makes instances of the `checked`
    twin instead, whose slots are guarded; otherwise an access costs no more than a slot's.  An access to a
    locked field is not a visible operation: code that holds the right locks cannot observe its timing.
    `record.raw_NAME` is the slot under another name, which no twin guards: rules and letters, evaluated at
    every step or access, read it unseen.  A class declares the types of those that are used.
  * a *hint* is a read without the lock, which the reader knows may be stale.  It is a visible operation, and
    so is a store that such readers must be able to miss (`publish`).  A reader who happens to hold what
    keeps writers away (`still`) sees what nobody can change meanwhile, so its hint is no operation.
  * a *word* is atomic, with the operations of `records.word`.  Some of its bits may have locks of their own.
    A twin's words report changes of such a bit without its letters.

Every record owns `STRIDE` identities: its own, its spinlock's, the spinlock word's, then one per field, so
an operation says which field it is about.  The spinlock is made on first use, so that a machine with a
million pages need not have a million locks.

Locks: none of its own.  The CPU that takes a ghost share (`took`, `gave`, `handed`, `taken_over`) records
it in the step of the operation that takes it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, ClassVar, Final, TypeVar

from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.identity import RECORD_BITS
from vmsmp.engine.wait import Hold
from vmsmp.records.field import REQUIRED, Bits, Field, FieldView, Plain
from vmsmp.records.home import Home, Spin
from vmsmp.records.letters import Legend, requirement
from vmsmp.records.share import Share
from vmsmp.records.word import FreeWord, Word

#: The number of identities of one record, and the offsets of its parts' identities.
STRIDE: Final = 1 << RECORD_BITS
SPIN: Final = 1
FIRST_FIELD: Final = 3
_FIELD_SHIFT: Final = ops.CPU_BITS + ops.KIND_BITS
#: The bits of an operation's code that hold the part of the record and the kind of operation.
#: Identities are reserved `STRIDE` per record, so the remaining bits name the record.
PART_BITS: Final = (STRIDE - 1 << _FIELD_SHIFT) | ops.KIND_MASK


class Record:
    """Base of shared structures.  `code` is the code of an operation of kind 0 on the record itself.

    `vm` is the subsystem that it belongs to.  `name` is its name in reports, `klass` the same without
    instance numbers.
    """

    __slots__ = ("code", "host", "in_progress", "spin_made", "vm")

    kind: ClassVar[str] = "record"
    legend: ClassVar[Legend] = {}
    fields: ClassVar[dict[str, Field]] = {}
    by_offset: ClassVar[dict[int, Field]] = {}
    #: The part bits of the record itself, of its spinlock and of the spinlock's word.
    own_parts: ClassVar[tuple[int, ...]] = tuple(n << _FIELD_SHIFT for n in range(FIRST_FIELD))
    checked: ClassVar[type]
    words: ClassVar[dict[str, type[Word]]] = {}
    free_words: ClassVar[dict[str, type[Word]]] = {}
    #: The words whose bits have locks of their own, with the twins of their classes.
    checked_words: ClassVar[dict[str, dict[type[Word], type[Word]]]] = {}
    #: Whether its memory has been returned to the allocator; only mortal records have a slot for it.
    freed: bool = False
    mortal: ClassVar[bool] = False

    code: int
    vm: Any
    host: Any
    #: The spinlock, if anybody has wanted it yet.
    spin_made: Spin | None
    #: Shares that were handed on and not taken over yet.
    in_progress: tuple[Share, ...]

    def __init__(self, vm: Home, ident: int | None = None, **values: Any) -> None:
        """Initialise the record; `record` generates this from the declarations.

        `ident` is the first of the identities reserved for it; with None, it reserves its own.
        """
        raise NotImplementedError

    def settle(self, vm: Home, ident: int | None) -> None:
        """Set a new record's home and identities."""
        self.vm = vm
        if ident is None:
            ident = vm.machine.reserve(STRIDE, self.at)
        self.code = ident << ops.KIND_BITS
        self.host = threading.Lock() if vm.engine.parallel else None
        self.spin_made = None
        self.in_progress = ()

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

    def guard(self) -> None:
        """Become the checked twin: show each access from now on."""
        self.__class__ = self.checked
        for name, twins in self.checked_words.items():
            word = getattr(self, name)
            word.__class__ = twins[type(word)]

    # -- the spinlock ---------------------------------------------------------------------------

    @property
    def spin(self) -> Spin:
        """The record's spinlock."""
        return self.spin_made or self._make_spin()

    def _make_spin(self) -> Spin:
        with self.vm.making:
            if self.spin_made is None:
                ident = self.ident + (SPIN << ops.CPU_BITS)
                self.spin_made = self.vm.machine.spinlock(f"{self.name}.spin", ident=ident)
            spin: Spin = self.spin_made
            return spin

    def spin_held(self) -> bool:
        """Whether any CPU holds the spinlock."""
        return self.spin_made is not None and bool(self.spin_made.holders)

    def spin_state(self) -> str:
        """The spinlock's state, as text for a report."""
        return self.spin_made.state() if self.spin_made is not None else "free"

    # -- unlocked accesses ----------------------------------------------------------------------

    def hint(self, name: str) -> Any:
        """Read a field without its lock: one visible operation; the value may be stale.

        Nothing that others see happens if the CPU holds what keeps them from changing it.
        """
        declared = self.fields[name]
        stands = declared.stands
        if stands is None or not stands(self.vm.engine.current, self):
            self.vm.point(self.code + declared.part + ops.LOAD)
        return declared.peek(self)

    def publish(self, name: str, value: Any) -> None:
        """Store a field that others read as a hint: one visible operation, under the locks of its letters."""
        declared = self.fields[name]
        self.vm.point(self.code + declared.part + ops.STORE)
        setattr(self, name, value)

    def changing(self, name: str) -> Any:
        """Return the container in a field, to be changed in place; checkers see a write."""
        vm = self.vm
        declared = self.fields[name]
        cpu = vm.engine.current
        for hook in vm.hooks.watched if self.mortal or declared.watch else ():
            hook(cpu, self, declared, True)
        if vm.hooks.unlocked and declared.may_write is not None and not declared.may_write(cpu, self):
            _tell(vm.hooks.unlocked, self, declared, True)
        return declared.peek(self)

    def peek(self, name: str) -> Any:
        """Read a field or word invisibly: for checkers, reports and assertions."""
        declared = self.fields[name]
        value = declared.peek(self)
        return value.value if declared.atomic else value

    # -- shares ---------------------------------------------------------------------------------

    def took(self, share: Share) -> None:
        """Record that the running CPU took a share with the operation just performed."""
        vm = self.vm
        cpu = vm.engine.current
        if share.owned:
            cpu.held.append(Hold(self, share))
        for hook in vm.hooks.took:
            hook(cpu, self, share)

    def gave(self, share: Share) -> None:
        """Record that the running CPU returned a share with the operation just performed."""
        vm = self.vm
        cpu = vm.engine.current
        for hook in vm.hooks.gave:
            hook(cpu, self, share)
        if share.owned:
            cpu.let_go(self, share)

    def handed(self, share: Share) -> None:
        """Record that the running CPU leaves an owned share to whoever finishes what it began.

        The share is nobody's, as a buffer's lock is with I/O in progress, until a CPU takes it over.
        """
        vm = self.vm
        cpu = vm.engine.current
        for hook in vm.hooks.handed:
            hook(cpu, self, share)
        if cpu.let_go(self, share):
            with self.host or nullcontext():
                self.in_progress += (share,)

    def taken_over(self, share: Share) -> bool:
        """Record that the running CPU finishes what another began; return whether a share was handed on."""
        vm = self.vm
        cpu = vm.engine.current
        with self.host or nullcontext():
            left = list(self.in_progress)
            if share not in left:
                return False
            left.remove(share)
            self.in_progress = tuple(left)
        cpu.held.append(Hold(self, share))
        for hook in vm.hooks.taken_over:
            hook(cpu, self, share)
        return True

    @property
    def holders(self) -> list[tuple[Cpu, Any]]:
        """The CPUs that hold an owned share of it, each with the share."""
        cpus = self.vm.machine.cpus
        return [(cpu, hold.mode) for cpu in cpus for hold in list(cpu.held) if hold.lock is self]

    # -- reports --------------------------------------------------------------------------------

    def at(self, offset: int) -> Any:
        """Return the object whose identity is the record's own plus `offset`."""
        if offset == SPIN:
            return self.spin
        if offset == SPIN + 1:
            return getattr(self.spin, "lock", None)
        declared = self.by_offset.get(offset)
        if declared is None:
            return self
        return declared.peek(self) if declared.atomic else FieldView(self, declared)

    def field_of(self, code: int) -> Field | None:
        """Return the field or word that an operation on this record is about, or None."""
        return self.by_offset.get(code - self.code >> _FIELD_SHIFT)

    def state(self) -> str:
        """The record's state in a few words, for a row of a report."""
        return "the record"

    def dump(self) -> str:
        """The record's whole state, in one line."""
        return self.state()

    def __repr__(self) -> str:
        return self.name


def has(cpu: Cpu, thing: Any, *modes: Any) -> bool:
    """Return whether the CPU holds `thing`, a lock or a record, in one of these modes or shares."""
    for hold in cpu.held:  # noqa: SIM110 - asked at every access to a field, where a generator is too slow
        if hold.lock is thing and hold.mode in modes:
            return True
    return False


#: The accessors of a guarded slot.  They name it, for a call of its descriptor costs twice as much.
_ACCESSORS: Final = """
def read(record):
    if not may_read(record.vm.engine.current, record):
        tell(record.vm.hooks.unlocked, record, declared, False)
    return record.raw_{name}

def read_mortal(record):
    if record.freed:
        tell(record.vm.hooks.watched, record, declared, False)
    if may_read is not None and not may_read(record.vm.engine.current, record):
        tell(record.vm.hooks.unlocked, record, declared, False)
    return record.raw_{name}

def write(record, value):
    if not may_write(record.vm.engine.current, record):
        tell(record.vm.hooks.unlocked, record, declared, True)
    record.raw_{name} = value

def write_watched(record, value):
    vm = record.vm
    cpu = vm.engine.current
    for hook in vm.hooks.watched:
        hook(cpu, record, declared, True)
    allowed = may_write is None or may_write(cpu, record)
    if not allowed:
        tell(vm.hooks.unlocked, record, declared, True)
    record.raw_{name} = value
    if allowed and {twice} and not may_write(cpu, record):
        tell(vm.hooks.unlocked, record, declared, True)
"""


def _guard(declared: Field, *, mortal: bool) -> property:
    """Return a property over a slot that reports each access without the locks of the field's letters.

    Of a mortal record it also reports reads after that was freed.  Of a field that is watched, or a mortal
    record's, it also reports the writes to the rules.  The letters of a watched field may depend on its own
    value (a page's token on its object), so a write must be allowed by the value that it replaces and by the
    one that it stores.
    It evaluates the letters itself: to call a checker at every access costs more than they do.
    """
    watched = declared.watch or mortal
    known: dict[str, Any] = {
        "__name__": __name__,  # a report leaves their frames out, too
        "declared": declared,
        "may_read": declared.may_read,
        "may_write": declared.may_write,
        "tell": _tell,
    }
    twice = declared.watch and declared.may_write is not None
    source = _ACCESSORS.format(name=declared.name, twice=twice)
    exec(compile(source, "<guards of a record>", "exec"), known)  # noqa: S102 - the name of a declared slot only
    read = known["read_mortal"] if mortal else declared.peek if declared.may_read is None else known["read"]
    unwatched = declared.poke if declared.may_write is None else known["write"]
    return property(read, known["write_watched"] if watched else unwatched)


def _declare_bits(made: Any, field: Field) -> None:
    """Give the bits of a word their predicates, and the word's classes their twins."""
    for bits in field.bits:
        bits.name = f"{field.name} {field.format(bits.mask)}"
        bits.stands = requirement(made.legend, bits.still)
        bits.may_write = requirement(made.legend, bits.write)
    classes = made.words[field.name], made.free_words[field.name]
    made.checked_words[field.name] = {cls: _guarded_word(cls, field.bits) for cls in classes}


def _guarded_word(cls: type[Word], parts: tuple[Bits, ...]) -> type[Word]:
    """Return the twin of a word's class that reports changes of bits without their letters."""
    slot: Any = Word.__dict__["value"]
    get, put = slot.__get__, slot.__set__
    guarded = [(bits, bits.may_write) for bits in parts if bits.may_write is not None]

    def change(word: Any, value: int) -> None:
        changed = get(word) ^ value
        if changed:
            owner = word.owner
            for bits, may_write in guarded:
                if changed & bits.mask and not may_write(owner.vm.engine.current, owner):
                    _tell(owner.vm.hooks.unlocked, owner, bits, True)
        put(word, value)

    return type(cls.__name__, (cls,), {"__slots__": (), "value": property(get, change)})


def _tell(hooks: tuple[Callable[..., None], ...], record: Any, declared: Field | Bits, write: bool) -> None:
    cpu = record.vm.engine.current
    for hook in hooks:
        hook(cpu, record, declared, write)


R = TypeVar("R")


def record(*, legend: Legend | None = None) -> Callable[[type[R]], type[R]]:
    """Make a record class from its declarations: constructor, slots, words and checked twin.

    The constructor calls the class's own `__post_init__`, if any, at its end.
    """

    def make(cls: type[R]) -> type[R]:
        declared = {name: d for name, d in vars(cls).items() if isinstance(d, Field | Plain)}
        fields = {name: d for name, d in declared.items() if isinstance(d, Field)}
        space = {
            n: v for n, v in vars(cls).items() if n not in declared and n not in ("__dict__", "__weakref__")
        }
        by_offset = dict(enumerate(fields.values(), FIRST_FIELD))
        assert not by_offset or max(by_offset) < STRIDE
        space.update(
            __slots__=tuple(declared),
            fields=fields,
            by_offset=by_offset,
            legend=legend or {},
            words={},
            free_words={},
            checked_words={},
        )
        space["mortal"] = "freed" in declared
        space["__init__"] = _constructor(declared, post_init="__post_init__" in space)
        made: Any = type(cls.__name__, cls.__bases__, space)
        guards: dict[str, Any] = {"__slots__": (), "__doc__": cls.__doc__, "__module__": cls.__module__}
        for (name, field), offset in zip(fields.items(), by_offset, strict=True):
            slot = made.__dict__[name]
            field.name, field.offset, field.part = name, offset, offset << _FIELD_SHIFT
            field.peek, field.poke = slot.__get__, slot.__set__
            field.may_read = requirement(space["legend"], field.read)
            field.may_write = requirement(space["legend"], field.write)
            field.stands = requirement(space["legend"], field.still)
            if field.atomic:
                shape = {"__slots__": (), "declared": field, "_shift": offset << _FIELD_SHIFT}
                made.words[name] = type(f"{cls.__name__}.{name}", (Word,), shape)
                made.free_words[name] = type(f"{cls.__name__}.{name}", (FreeWord,), shape)
                if field.bits:
                    _declare_bits(made, field)
            else:
                setattr(made, f"raw_{name}", slot)
            if field.read or field.write:
                guards[name] = _guard(field, mortal=space["mortal"])
        letters = made.checked_words or any(f.read or f.write for f in fields.values())
        made.checked = type(cls.__name__, (made,), guards) if letters else made
        result: type[R] = made
        return result

    return make


def _constructor(declared: dict[str, Field | Plain], *, post_init: bool) -> Callable[..., None]:
    """Generate the constructor of a record class as straight-line code: a machine has many records."""
    parameters, body = [], ["self.settle(vm, ident)"]
    if any(isinstance(d, Field) and d.atomic for d in declared.values()):
        body.append("words = self.words if self.host is None else self.free_words")
    known: dict[str, Any] = {}
    for name, d in sorted(declared.items(), key=lambda item: item[1].default is not REQUIRED):
        if isinstance(d, Field) and d.factory is not None:
            known[f"make_{name}"] = d.factory
            body.append(f"self.{name} = make_{name}()")
            continue
        known[f"first_{name}"] = d.default
        parameters.append(name if d.default is REQUIRED else f"{name}=first_{name}")
        word = isinstance(d, Field) and d.atomic
        body.append(f"self.{name} = words[{name!r}](self, {name})" if word else f"self.{name} = {name}")
    if post_init:
        body.append("self.__post_init__()")
    keywords = f", *, {', '.join(parameters)}" if parameters else ""
    source = f"def __init__(self, vm, ident=None{keywords}):\n    " + "\n    ".join(body)
    exec(compile(source, "<record constructor>", "exec"), known)  # noqa: S102 - names of declared slots only
    constructor: Callable[..., None] = known["__init__"]
    return constructor
