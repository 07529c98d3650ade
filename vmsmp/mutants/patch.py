"""Planting a mutant: replace one snippet in one function while a run lasts.

The function's source is taken, the snippet replaced, the result compiled in the function's own
module, and the code object exchanged; the file on disk and every reference to the function stay.
A snippet that is not there exactly once is an error: the code has moved on and the mutant with it.
"""

from __future__ import annotations
import __future__ as future

import importlib
import inspect
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

from vmsmp.errors import UsageError


@dataclass(frozen=True, slots=True)
class Mutant:
    """One guard removed.

    `ident` is the catalogue's (SP-04); `function` is `module:qualified.name`; `old` the snippet
    that stands there, `new` what replaces it; `breaks` the invariant that must fall; `story` the
    interleaving in a sentence; `scenario` one that shows it; `also` further (function,
    old, new) that belong to it.
    """

    ident: str
    function: str
    old: str
    new: str
    breaks: str
    story: str
    scenario: str = ""
    also: tuple[tuple[str, str, str], ...] = ()

    @contextmanager
    def plant(self, sources: dict[str, str] | None = None) -> Iterator[None]:
        """Run with the mutant in place.

        `sources` holds the text of functions that others have changed already.
        Raises: UsageError when a snippet is not there exactly once.
        """
        sources = {} if sources is None else sources
        changed: list[tuple[FunctionType, CodeType]] = []
        try:
            for function, old, new in ((self.function, self.old, self.new), *self.also):
                target = _resolve(function)
                code = self._changed(target, function, old, new, sources)
                changed.append((target, target.__code__))
                target.__code__ = code
            yield
        finally:
            for target, original in reversed(changed):
                target.__code__ = original

    def _changed(
        self, target: FunctionType, function: str, old: str, new: str, sources: dict[str, str]
    ) -> CodeType:
        """The code of `target` with the snippet replaced."""
        source = sources.get(function) or textwrap.dedent(inspect.getsource(target))
        found = _indented(source, textwrap.dedent(old).strip("\n"))
        if found is None:
            raise UsageError(
                f"mutant {self.ident}: its snippet is not, or not once, in {function}; "
                "the code has changed, so must the mutant"
            )
        indent, block = found
        new = textwrap.dedent(new).strip("\n") or "pass"
        if "\n" in new and not indent:  # it replaces the whole of one line
            line = next(line for line in source.splitlines() if block in line)
            indent, block = line[: len(line) - len(line.lstrip())], line
        source = sources[function] = source.replace(block, textwrap.indent(new, indent))
        return _compile(target, source)


def _indented(source: str, old: str) -> tuple[str, str] | None:
    """The snippet as it stands in the source: its indentation and its text there."""
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


def _resolve(path: str) -> FunctionType:
    module, _, name = path.partition(":")
    target: Any = importlib.import_module(module)
    for part in name.split("."):
        target = getattr(target, part)
    assert isinstance(target, FunctionType)
    return target


def _compile(target: FunctionType, source: str) -> CodeType:
    """Compile a changed source of `target` to a code object that fits it."""
    filename = f"<mutant of {target.__qualname__}>"
    source = "\n" * (target.__code__.co_firstlineno - 1) + source  # lines as in the file
    code = compile(source, filename, "exec", future.annotations.compiler_flag, dont_inherit=True)
    made = next(c for c in code.co_consts if isinstance(c, CodeType))
    if made.co_freevars != target.__code__.co_freevars:
        raise UsageError(f"{target.__qualname__} closes over {target.__code__.co_freevars}")
    return made


@contextmanager
def planted(idents: Iterable[str]) -> Iterator[None]:
    """Run with the catalogued mutants of these ids in place.

    Raises: UsageError for an id that the catalogue does not have.
    """
    wanted = sorted(check_mutants(idents))
    if not wanted:
        yield
        return
    from vmsmp.mutants.catalogue import CATALOGUE

    sources: dict[str, str] = {}
    with ExitStack() as stack:
        for ident in wanted:
            stack.enter_context(CATALOGUE[ident].plant(sources))
        yield


def check_mutants(idents: Iterable[str]) -> frozenset[str]:
    """The ids as a set.

    Raises: UsageError for one that the catalogue does not have.
    """
    wanted = frozenset(idents)
    if wanted:
        from vmsmp.mutants.catalogue import CATALOGUE

        for ident in sorted(wanted - set(CATALOGUE)):
            raise UsageError(f"unknown mutant {ident!r}: there are {', '.join(CATALOGUE)}")
    return wanted
