"""Reach: which lines of the model a scenario runs.

A removal on a line that no scenario runs cannot be shown by any of them; one on a line that few run need not
be tried on the others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, FrameType, FunctionType
from typing import Any, Final

from vmsmp.campaign.options import options_for
from vmsmp.campaign.search import search
from vmsmp.library import Scenario
from vmsmp.patches.catalogue import REPAIR_BY_NAME
from vmsmp.patches.dispatch import original
from vmsmp.patches.patch import resolve

#: Schedules of a scenario that are looked at: one that no other scenario shows is run in most of them.
SAMPLE: Final = 40


@dataclass(frozen=True, slots=True)
class Place:
    """A scenario at one depth of the locks."""

    scenario: str
    locks: str

    def __str__(self) -> str:
        return f"{self.scenario} ({self.locks})"


#: By function and line within it, from 1: where it is run.
Reach = Mapping[tuple[str, int], tuple[Place, ...]]


def repairs_beside(functions: Iterable[str]) -> frozenset[str]:
    """The repairs that change none of these functions."""
    changed = _at(functions)
    return frozenset(
        name
        for name, repair in REPAIR_BY_NAME.items()
        if changed.isdisjoint(_at(edit.function for edit in repair.edits()))
    )


def _at(functions: Iterable[str]) -> frozenset[FunctionType]:
    """The functions of these names; one may be named by its module or by its package."""
    return frozenset(original(resolve(function)) for function in functions)


def reach_of(
    scenarios: Iterable[Scenario],
    functions: Collection[str],
    progress: Callable[[str], None] = lambda _: None,
) -> Reach:
    """Run each scenario a few times at both depths, and return where each line of the functions is run.

    Functions are named as `module:qualified.name`.  Repairs that change one of them are left out, since the
    lines of a changed function are others.
    """
    repairs = repairs_beside(functions)
    owner = {code: path for path in functions for code in _codes(original(resolve(path)).__code__)}
    first = {path: original(resolve(path)).__code__.co_firstlineno for path in set(owner.values())}
    found: dict[tuple[str, int], dict[Place, None]] = {}
    for scenario in scenarios:
        for locks in ("atomic", "exact"):
            place = Place(scenario.__name__, locks)
            progress(f"which lines {place} runs")
            for code, line in _lines(scenario, locks, owner.keys(), repairs):
                path = owner[code]
                found.setdefault((path, line - first[path] + 1), {})[place] = None
    return {key: tuple(places) for key, places in found.items()}


def _codes(code: CodeType) -> Iterator[CodeType]:
    """A function's code and that of the functions within it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _lines(
    scenario: Scenario, locks: str, wanted: Iterable[CodeType], repairs: frozenset[str]
) -> Iterable[tuple[CodeType, int]]:
    """The lines of that code that a sample of the scenario's schedules runs."""
    options = options_for(scenario, locks=locks, repairs=repairs)
    with _traced(frozenset(wanted)) as seen:
        result = search(scenario, options, schedules=SAMPLE, stop="never", check=False)
    if result.interrupted:
        raise KeyboardInterrupt
    return seen


@contextmanager
def _traced(wanted: frozenset[CodeType]) -> Iterator[dict[tuple[CodeType, int], None]]:
    """Note the lines of that code that threads started from here on run."""
    seen: dict[tuple[CodeType, int], None] = {}

    def on_line(frame: FrameType, event: str, _arg: Any) -> Any:
        if event == "line":
            seen[frame.f_code, frame.f_lineno] = None
        return on_line

    def on_call(frame: FrameType, _event: str, _arg: Any) -> Any:
        return on_line if frame.f_code in wanted else None

    before = threading.gettrace()
    threading.settrace(on_call)
    try:
        yield seen
    finally:
        threading.settrace(before)
