"""Declarations in a record class: fields with their letters, atomic words and their bits, plain slots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from vmsmp.records.letters import Holds


class _Required:
    """A placeholder for a value that the caller of the constructor must give."""

    def __repr__(self) -> str:
        return "required"


REQUIRED: Final = _Required()


class Plain:
    """A declared slot that no lock protects."""

    __slots__ = ("default",)

    def __init__(self, default: Any) -> None:
        self.default = default


class Bits:
    """Bits of a word, `mask`, that have locks of their own.

    `still` are the letters under which nobody else changes them, `write` those for changing them.
    """

    __slots__ = ("mask", "may_write", "name", "read", "stands", "still", "write")

    def __init__(self, mask: int, still: str, write: str = "") -> None:
        self.mask = mask
        self.still = self.read = still
        self.write = write
        self.name = ""
        #: The letters as predicates; None if they require nothing.
        self.stands: Holds | None = None
        self.may_write: Holds | None = None


class Field:
    """One declared field: its letters for reading and writing, and its invisible accessors.

    `offset` is its identity relative to the record's.  `still` are letters under which nobody else changes
    it, though it may be read without them.
    """

    __slots__ = (
        "atomic",
        "bits",
        "default",
        "factory",
        "format",
        "may_read",
        "may_write",
        "name",
        "offset",
        "part",
        "peek",
        "poke",
        "read",
        "stands",
        "still",
        "watch",
        "write",
    )

    def __init__(
        self,
        read: str,
        write: str,
        format: Callable[[Any], str],
        *,
        atomic: bool,
        default: Any,
        factory: Callable[[], Any] | None = None,
        watch: bool = False,
        still: str = "",
        bits: tuple[Bits, ...] = (),
    ) -> None:
        self.read = read
        self.write = write
        self.format = format
        self.atomic = atomic
        self.default = default
        self.factory = factory
        self.watch = watch
        self.still = still
        self.bits = bits
        self.name = ""
        self.offset = 0
        #: The bits of an operation's code that select this field.
        self.part = 0
        #: The letters as predicates; None if they require nothing.
        self.may_read: Holds | None = None
        self.may_write: Holds | None = None
        self.stands: Holds | None = None
        self.peek: Callable[[Any], Any]
        self.poke: Callable[[Any, Any], None]


def field(
    read: str,
    write: str | None = None,
    format: Callable[[Any], str] = repr,
    *,
    default: Any = 0,
    factory: Callable[[], Any] | None = None,
    watch: bool = False,
    still: str = "",
) -> Any:
    """Declare a field; `write` defaults to `read`.

    `factory` makes each record's initial value.  `watch`: report each write to the rules.  `still`: letters
    under which a hint sees what nobody else can change meanwhile.
    """
    write = read if write is None else write
    return Field(
        read, write, format, atomic=False, default=default, factory=factory, watch=watch, still=still
    )


def word(format: Callable[[Any], str] = repr, *, default: Any = 0, bits: tuple[Bits, ...] = ()) -> Any:
    """Declare an atomic word; `format` turns its value into text for a report.

    `bits`: those of its bits that have locks of their own.
    """
    return Field("", "", format, atomic=True, default=default, bits=bits)


def plain(default: Any = REQUIRED) -> Any:
    """Declare a slot that no lock protects: a constant, or private to one CPU."""
    return Plain(default)


class FieldView(NamedTuple):
    """The object of an operation on a field, for reports."""

    record: Any
    declared: Field

    @property
    def name(self) -> str:
        return f"{self.record.name}.{self.declared.name}"

    def stored(self) -> Any:
        """The value now, invisibly."""
        return self.declared.peek(self.record)

    def state(self) -> str:
        return self.declared.format(self.declared.peek(self.record))
