"""Functions that are others in some contexts: how two searches in one process run under different patches.

A function is replaced in the context (`contextvars`) that asks for it, and so in the pools made there, whose
threads run in copies of that context.  While it is replaced in any, its code object is a dispatcher with the
same arguments, which calls what is meant where it is called.  A function that nobody replaces has its own
code object, and costs nothing.

Code objects belong to the process, so the table of those replaced does, too.  The file and all references to
a function stay valid; `engine.source` passes over a dispatcher's frame.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from inspect import CO_GENERATOR, CO_VARARGS, CO_VARKEYWORDS
from types import CodeType, FunctionType, MappingProxyType
from typing import Final

from vmsmp.engine.source import DISPATCH


class _Entry:
    """A function, as its file has it and as a dispatcher.  `users` counts the contexts that replace it."""

    __slots__ = ("dispatcher", "original", "target", "users")

    def __init__(self, target: FunctionType, number: int) -> None:
        self.target = target
        self.original = variant(target, target.__code__)
        self.dispatcher = _dispatcher(self.original, number)
        self.users = 0


class _Table:
    """The functions of this process that have been replaced; an entry stays, since a thread may be in it."""

    def __init__(self) -> None:
        self.entries: list[_Entry] = []
        self._of: dict[FunctionType, _Entry] = {}
        self._lock = threading.Lock()

    def entry(self, target: FunctionType) -> _Entry:
        """The entry of a function, made on first use."""
        with self._lock:
            return self._entry(target)

    def _entry(self, target: FunctionType) -> _Entry:
        found = self._of.get(target)
        if found is None:
            found = self._of[target] = _Entry(target, len(self.entries))
            self.entries.append(found)
        return found

    def use(self, targets: Iterable[FunctionType]) -> None:
        """Have these functions dispatch."""
        with self._lock:
            for entry in map(self._entry, targets):
                entry.users += 1
                entry.target.__code__ = entry.dispatcher

    def leave(self, targets: Iterable[FunctionType]) -> None:
        """These functions dispatch no longer, unless somebody else still needs it."""
        with self._lock:
            for entry in map(self._entry, targets):
                entry.users -= 1
                if not entry.users:
                    entry.target.__code__ = entry.original.__code__


_TABLE: Final = _Table()
#: What is meant in this context by the functions that it replaces.
_MEANT: ContextVar[Mapping[FunctionType, FunctionType]] = ContextVar(
    "vmsmp_meant", default=MappingProxyType({})
)


def variant(target: FunctionType, code: CodeType) -> FunctionType:
    """Return a function like `target` that runs another code object."""
    made = FunctionType(code, target.__globals__, target.__name__, target.__defaults__, target.__closure__)
    made.__kwdefaults__ = target.__kwdefaults__
    made.__module__ = target.__module__
    made.__qualname__ = target.__qualname__
    return made


def original(target: FunctionType) -> FunctionType:
    """Return the function as its file has it, whoever replaces it."""
    return _TABLE.entry(target).original


def in_place(target: FunctionType) -> FunctionType:
    """Return the function that a call of `target` runs in this context."""
    return _MEANT.get().get(target) or original(target)


def _meant(number: int) -> FunctionType:
    """What a dispatcher calls."""
    entry = _TABLE.entries[number]
    return _MEANT.get().get(entry.target, entry.original)


@contextmanager
def replacing(functions: Mapping[FunctionType, FunctionType]) -> Iterator[None]:
    """Let calls of the keys run the values: in this context, and in pools made in it meanwhile.

    What is replaced outside stays so, but for functions that are among the keys.
    """
    if not functions:
        yield
        return
    _TABLE.use(functions)
    token = _MEANT.set({**_MEANT.get(), **functions})
    try:
        yield
    finally:
        _MEANT.reset(token)
        _TABLE.leave(functions)


def _dispatcher(target: FunctionType, number: int) -> CodeType:
    """Return the code object that calls what is meant by a function; its arguments are the function's own.

    Every argument is handed on, since the function itself fills in what its caller leaves out.
    """
    code = target.__code__
    names = list(code.co_varnames)
    plain = [names.pop(0) for _ in range(code.co_argcount)]
    named = [names.pop(0) for _ in range(code.co_kwonlyargcount)]
    rest = [f"*{names.pop(0)}"] if code.co_flags & CO_VARARGS else []
    more = [f"**{names.pop(0)}"] if code.co_flags & CO_VARKEYWORDS else []
    takes = [*plain, *(rest or (["*"] if named else [])), *named, *more]
    if code.co_posonlyargcount:
        takes.insert(code.co_posonlyargcount, "/")
    word = "yield from " if code.co_flags & CO_GENERATOR else ""  # a generator must stay one
    gives = [*plain, *rest, *(f"{name}={name}" for name in named), *more]
    source = (
        f"def dispatcher({', '.join(takes)}):\n"
        f"    from {__name__} import _meant as vmsmp_meant\n"
        f"    return ({word}vmsmp_meant({number})({', '.join(gives)}))\n"
    )
    made = next(c for c in compile(source, DISPATCH, "exec").co_consts if isinstance(c, CodeType))
    return made.replace(co_name=code.co_name, co_qualname=code.co_qualname)
