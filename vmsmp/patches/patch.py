"""Patches: replace one snippet of one function for the duration of a run.

Planting takes the function's source, replaces the snippet, compiles the result in the function's own module
and has calls run that instead, in the context that plants it and in the pools made there (`dispatch`): a
search in another thread goes on with its own patches, or none.  A patch planted where others are in place
comes on top of them; one that is in place already is not planted twice.  A snippet that does not occur
exactly once is an error: the code has changed, and the patch must follow.
A search of many plants the same repairs for each of its batches, so sources and code objects are kept.
"""

from __future__ import annotations
import __future__ as future

import importlib
import inspect
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any, ClassVar, NamedTuple

from vmsmp.errors import UsageError
from vmsmp.patches.dispatch import original, replacing, variant


class Edit(NamedTuple):
    """In `function` (`module:qualified.name`) the snippet `old` becomes `new`."""

    function: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Patch:
    """A named change of one function; `also` holds further edits that are part of it.

    `mended_by` names the repairs with each of which the change does no harm.
    """

    kind: ClassVar = "patch"

    ident: str
    function: str
    old: str
    new: str
    also: tuple[Edit, ...] = field(default=(), kw_only=True)
    mended_by: tuple[str, ...] = field(default=(), kw_only=True)

    def edits(self) -> tuple[Edit, ...]:
        """Return all edits, in the order in which they are applied."""
        return (Edit(self.function, self.old, self.new), *self.also)

    def file_of(self, target: FunctionType) -> str:
        """Return the file name that frames of the changed function show."""
        return f"<{self.kind} of {target.__qualname__}>"

    def plant(self) -> AbstractContextManager[None]:
        """Run with only this patch in place.

        Raises: UsageError if a snippet does not occur exactly once.
        """
        return plant((self,))


@dataclass(frozen=True, slots=True)
class Mutant(Patch):
    """The removal of one guard.

    `ident` is an id such as SP-04; `breaks` names the invariant that must break; `story` tells the
    interleaving in one sentence; `scenario` names a scenario that shows it.
    """

    kind: ClassVar = "mutant"

    breaks: str
    story: str
    scenario: str = ""


@dataclass(frozen=True, slots=True)
class Repair(Patch):
    """The fix of a known finding; `story` says how it works in one sentence."""

    kind: ClassVar = "repair"

    story: str

    def file_of(self, target: FunctionType) -> str:
        """Return the model's own file name, so that a repaired run reads like any other."""
        return target.__code__.co_filename


#: The patches in place in this context, in the order in which they were planted.
_IN_PLACE: ContextVar[tuple[Patch, ...]] = ContextVar("vmsmp_in_place", default=())


@contextmanager
def plant(patches: Iterable[Patch]) -> Iterator[None]:
    """Run with all these patches in place, too; several may change the same function.

    Raises: UsageError if a snippet does not occur exactly once.
    """
    before = _IN_PLACE.get()
    every = tuple(dict.fromkeys((*before, *patches)))
    with replacing(_patched(every, len(before))):
        token = _IN_PLACE.set(every)
        try:
            yield
        finally:
            _IN_PLACE.reset(token)


def _patched(patches: tuple[Patch, ...], since: int) -> dict[FunctionType, FunctionType]:
    """The functions that the patches from number `since` on change, each with what all of them make of it."""
    changed = {resolve(edit.function) for patch in patches[since:] for edit in patch.edits()}
    sources: dict[FunctionType, str] = {}
    made: dict[FunctionType, FunctionType] = {}
    for patch in patches:
        for edit in patch.edits():
            target = resolve(edit.function)
            if target in changed:
                model = original(target)
                source = sources.get(target) or _source(model)
                sources[target] = _edited(patch, edit, source)
                made[target] = variant(model, _compiled(model, sources[target], patch.file_of(model)))
    return made


@lru_cache(maxsize=1024)
def _source(model: FunctionType) -> str:
    """Return the function's source as if it stood at the top of its module."""
    return textwrap.dedent(inspect.getsource(model))


def resolve(path: str) -> FunctionType:
    """Return the function at `module:qualified.name`."""
    module, _, name = path.partition(":")
    target: Any = importlib.import_module(module)
    for part in name.split("."):
        target = getattr(target, part)
    target = inspect.unwrap(target)
    assert isinstance(target, FunctionType)
    return target


def _edited(patch: Patch, edit: Edit, source: str) -> str:
    """Return the function's source with the snippet replaced."""
    found = locate(source, textwrap.dedent(edit.old).strip("\n"))
    if found is None:
        raise UsageError(
            f"{patch.kind} {patch.ident}: its snippet is not, or not once, in {edit.function}; "
            f"the code has changed, so must the {patch.kind}"
        )
    indent, block = found
    new = textwrap.dedent(edit.new).strip("\n") or "pass"
    if "\n" in new and "\n" not in block:  # it replaces one whole line
        line = next(line for line in source.splitlines() if block in line)
        indent, block = line[: len(line) - len(line.lstrip())], line
    return source.replace(block, textwrap.indent(new, indent))


def locate(source: str, old: str) -> tuple[str, str] | None:
    """Return the snippet's indentation and text as they occur in the source; None if not, or not once."""
    if "\n" not in old:  # part of a line
        return ("", old) if source.count(old) == 1 else None
    first = old.splitlines()[0]
    hits = set()
    for line in source.splitlines():
        if line.strip() == first.strip():
            indent = line[: len(line) - len(line.lstrip())]
            block = textwrap.indent(old, indent)
            if source.count(block) == 1:
                hits.add((indent, block))
    return hits.pop() if len(hits) == 1 else None


@lru_cache(maxsize=1024)
def _compiled(target: FunctionType, source: str, filename: str) -> CodeType:
    """Compile a changed source of `target` to a code object that fits it."""
    own = target.__code__
    source = "\n" * (own.co_firstlineno - 1) + source  # keep the file's line numbers
    code = compile(source, filename, "exec", future.annotations.compiler_flag, dont_inherit=True)
    made = next(c for c in code.co_consts if isinstance(c, CodeType))
    if made.co_freevars != own.co_freevars:
        raise UsageError(f"{target.__qualname__} closes over {own.co_freevars}")
    if _arguments(made) != _arguments(own):
        raise UsageError(f"{target.__qualname__} must keep its arguments")
    return made


def _arguments(code: CodeType) -> tuple[int, int, int, int, tuple[str, ...]]:
    """How a function is called."""
    stars = code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS)
    count = code.co_argcount + code.co_kwonlyargcount + stars.bit_count()
    return (
        code.co_posonlyargcount,
        code.co_argcount,
        code.co_kwonlyargcount,
        stars,
        code.co_varnames[:count],
    )
