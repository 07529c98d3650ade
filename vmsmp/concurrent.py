"""Concurrent programs as values: for each CPU a list of operations on what all of them share.

`vmsmp.hypothesis_support` draws them.  A `ConcurrentStateMachine` says what is shared, which operations there
are and what holds when all have ended.  A program of one reads like Python, `Counter(cpu1=[add(1)],
cpu2=[look()])`, and is read back from that (`ConcurrentStateMachine.program`), so that the command line finds
it in the file of the class: `FILE.py::Counter(cpu1=[add(1)], cpu2=[look()])`.
"""

from __future__ import annotations

import ast
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, ClassVar, NamedTuple

from vmsmp.check.linearize import History, Specification
from vmsmp.engine.options import Options
from vmsmp.engine.schedule import program_name
from vmsmp.errors import UsageError, quoted
from vmsmp.machine import Machine


class Operation(NamedTuple):
    """One operation of a program: `function(world, *values)`, shown without the world."""

    function: Callable[..., Any]
    values: tuple[Any, ...] = ()

    def __repr__(self) -> str:
        values = (program_name(v) if callable(v) else repr(v) for v in self.values)
        return f"{program_name(self.function)}({', '.join(values)})"


@dataclass(frozen=True, slots=True, repr=False)
class ConcurrentProgram:
    """A program as a value: CPU n does `lists[n - 1]`.  Call it with a machine, like any program.

    CPUs without operations are spawned too, so that the others keep their numbers.
    """

    setup: Callable[[Machine], Any]
    lists: tuple[tuple[Operation, ...], ...]
    finish: Callable[[Any], Any] | None = None

    @property
    def __name__(self) -> str:
        return program_name(self.setup)

    @property
    def cpus(self) -> int:
        """How many CPUs work beside the boot CPU, as a scenario declares it."""
        return len(self.lists)

    @property
    def place(self) -> str:
        """Where the command line finds it; "" if only Python does."""
        state = self.setup
        if not (isinstance(state, type) and issubclass(state, ConcurrentStateMachine)):
            return ""
        file = state.file()
        try:
            written = file != "" and state.program(repr(self)) == self
        except UsageError:  # a value that cannot be written
            written = False
        return f"{file}::{self!r}" if written else ""

    def __call__(self, m: Machine, begun: list[list[int]] | None = None) -> None:
        """Run it.

        `begun` gets for each CPU the number of the visible operation at which each of its operations
        begins, and of the one after the last.  They are right only if the run has an `OpCounter`.
        """
        world = self.setup(m)
        for place, operations in enumerate(self.lists):
            m.spawn(_do, m, world, operations, begun[place] if begun else [])
        m.join()
        if self.finish is not None:
            self.finish(world)

    def __len__(self) -> int:
        return sum(map(len, self.lists))

    def __bool__(self) -> bool:
        return True  # although one without operations has length 0

    def __repr__(self) -> str:
        does = ", ".join(
            f"cpu{n}=[{', '.join(map(repr, operations))}]"
            for n, operations in enumerate(self.lists, 1)
            if operations
        )
        return f"{self.__name__}({does})"

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(repr(self))  # hypothesis would show the fields of a dataclass


def _do(m: Machine, world: Any, operations: tuple[Operation, ...], begun: list[int]) -> None:
    for function, values in operations:
        begun.append(m.curcpu.nops)
        function(world, *values)
    begun.append(m.curcpu.nops)


def operation(*strategies: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Mark a method of a `ConcurrentStateMachine` as an operation, with a strategy for each argument.

    It must release what it takes, since any other may follow it.  What it returns is its result in the
    history.
    """

    def mark(method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def recorded(world: ConcurrentStateMachine, *values: Any) -> Any:
            with world.history.operation(method.__name__, *values) as call:
                call.result = method(world, *values)
            return call.result

        recorded.strategies = strategies  # type: ignore[attr-defined]  # read by `operations`
        return recorded

    return mark


def at_end(method: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Mark a method of a `ConcurrentStateMachine` as what holds when all CPUs have ended."""
    method.at_end = True  # type: ignore[attr-defined]  # read by `finish`
    return method


class ConcurrentStateMachine:
    """What CPUs share, what they may do to it and what holds in the end.

    A subclass makes what is shared in `setup`, which runs on the boot CPU, and has methods marked with
    `operation` and `at_end`.  `cpus` CPUs do at most `max_ops` operations each, preempted at most
    `max_preemptions` times, with `options`.  If there is a `specification`, some order of the operations has
    to explain their results.
    """

    cpus: ClassVar[int] = 2
    max_ops: ClassVar[int] = 4
    max_preemptions: ClassVar[int] = 4
    options: ClassVar[Options | None] = None
    specification: Specification | None = None

    def __init__(self, m: Machine) -> None:
        self.m = m
        self.history = History(m)
        self.setup()

    def setup(self) -> None:
        """Make what the CPUs share."""

    def finish(self) -> None:
        """Ask what holds now that all CPUs have ended; then judge the history."""
        for method in _marked(type(self), "at_end"):
            method(self)
        if self.specification is not None:
            self.history.judge(self.specification)

    @classmethod
    def operations(cls) -> list[tuple[Any, ...]]:
        """Each operation with the strategies for its arguments, in the order in which they are written."""
        return [(method, *method.strategies) for method in _marked(cls, "strategies")]

    @classmethod
    def file(cls) -> str:
        """The file in which the command line finds the class, "" if it is not at the top of one."""
        module = sys.modules.get(cls.__module__)
        file = getattr(module, "__file__", None) or ""
        found = file.endswith(".py") and getattr(module, cls.__qualname__, None) is cls
        return os.path.relpath(file) if found else ""

    @classmethod
    def program(cls, text: str) -> ConcurrentProgram:
        """The program that reads so.

        Raises: UsageError in one sentence for what is no program of this class.
        """
        lists: list[tuple[Operation, ...]] = [()] * cls.cpus
        for name, calls in _keywords(cls.__name__, text):
            place = name.removeprefix("cpu")
            if not (place.isdecimal() and 1 <= int(place) <= cls.cpus):
                raise UsageError(f"{quoted(name)} of {quoted(text, 200)} is none of cpu1 to cpu{cls.cpus}")
            lists[int(place) - 1] = tuple(cls._operation(call, text) for call in calls)
        return ConcurrentProgram(cls, tuple(lists), cls.finish)

    @classmethod
    def _operation(cls, call: ast.expr, text: str) -> Operation:
        known = {method.__name__: method for method, *_ in cls.operations()}
        match call:
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in known:
                try:
                    return Operation(known[name], tuple(map(ast.literal_eval, args)))
                except ValueError:
                    pass
        shown = ast.unparse(call)
        raise UsageError(
            f"{quoted(shown)} of {quoted(text, 200)} is no operation: there are {', '.join(known)}"
        )


def _keywords(name: str, text: str) -> Sequence[tuple[str, list[ast.expr]]]:
    """The lists of calls in `NAME(cpu1=[...], ...)`."""
    try:
        match ast.parse(text, mode="eval").body:
            case ast.Call(func=ast.Name(id=found), args=[], keywords=words) if found == name:
                lists = [(word.arg or "", word.value) for word in words]
                if all(isinstance(value, ast.List) for _, value in lists):
                    return [(cpu, value.elts) for cpu, value in lists if isinstance(value, ast.List)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    raise UsageError(f"{quoted(text, 200)} is not of the form {name}(cpu1=[OPERATION(...), ...], ...)")


def _marked(cls: type, mark: str) -> list[Any]:
    """The methods with that mark, those of its bases first, each once."""
    names = {name: None for base in reversed(cls.__mro__) for name in vars(base)}
    methods = (inspect.getattr_static(cls, name) for name in names)
    return [method for method in methods if inspect.isfunction(method) and hasattr(method, mark)]
