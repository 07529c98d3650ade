"""Declarations inside a record class: fields with their letters, atomic words, plain slots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from vmsmp.records.letters import Holds


class _Required:
    """Stands for a value that the constructor must be given."""

    def __repr__(self) -> str:
        return "required"


REQUIRED: Final = _Required()


class Plain:
    """A declared slot of no concern to anybody's lock."""

    __slots__ = ("default",)

    def __init__(self, default: Any) -> None:
        self.default = default


class Field:
    """One declared field: its letters for reading and writing, and how to look at it unseen.

    `offset` is its identity within the record's.
    """

    __slots__ = (
        "atomic",
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
    ) -> None:
        self.read = read
        self.write = write
        self.format = format
        self.atomic = atomic
        self.default = default
        self.factory = factory
        self.watch = watch
        self.name = ""
        self.offset = 0
        #: What of an operation's code says that it is about this field.
        self.part = 0
        #: The letters as predicates; None if they ask for nothing.
        self.may_read: Holds | None = None
        self.may_write: Holds | None = None
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
) -> Any:
    """Declare a field; `write` is as `read` if not given.

    `factory` makes each record's first value.  `watch`: a rule wants to be asked at each access.
    """
    write = read if write is None else write
    return Field(read, write, format, atomic=False, default=default, factory=factory, watch=watch)


def word(format: Callable[[Any], str] = repr, *, default: Any = 0) -> Any:
    """Declare an atomic word; `format` puts its value into words for a report."""
    return Field("", "", format, atomic=True, default=default)


def plain(default: Any = REQUIRED) -> Any:
    """Declare a slot that no lock protects: a constant, or one CPU's own."""
    return Plain(default)


class FieldView(NamedTuple):
    """A field as the object of an operation, for reports."""

    record: Any
    declared: Field

    @property
    def name(self) -> str:
        return f"{self.record.name}.{self.declared.name}"

    def state(self) -> str:
        return self.declared.format(self.declared.peek(self.record))
