"""Pages of the textbook: text, tables and perhaps a picture, made of what the models compute."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final, NamedTuple, TypeVar

from vmsmp.campaign.search import explore
from vmsmp.errors import InternalError
from vmsmp.library import find_scenario
from vmsmp.machine import Machine
from vmsmp.report.table import table

Cell = str | int | float
T = TypeVar("T")

#: The width of text, in characters.
_WIDTH: Final = 100


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a caption; columns of numbers are set flush right."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def lines(self) -> list[str]:
        numbers = {
            n
            for n in range(len(self.heads))
            if all(isinstance(row[n], int | float) or row[n] in ("", "-") for row in self.rows)
        }
        cells = [[_text(cell) for cell in row] for row in self.rows]
        return [f"{self.caption}:", "", *(f"  {line}" for line in table(list(self.heads), cells, numbers))]

    def as_dict(self) -> dict[str, object]:
        rows = [dict(zip(self.heads, row, strict=True)) for row in self.rows]
        return {"table": self.caption, "rows": rows}


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture: curves over the same points, which have labels."""

    title: str
    x_title: str
    y_title: str
    labels: Sequence[str]
    curves: Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True)
class Page:
    """What a chapter shows: paragraphs and tables in order, and a picture if it has one."""

    parts: Sequence[str | Table]
    plot: Plot | None = None

    def lines(self) -> list[str]:
        """Return the page as text."""
        lines: list[str] = []
        for part in self.parts:
            lines += ["", *(part.lines() if isinstance(part, Table) else textwrap.wrap(part, _WIDTH))]
        return lines

    def as_dict(self) -> dict[str, object]:
        """Return the page as values for JSON."""
        parts = [part.as_dict() if isinstance(part, Table) else {"text": part} for part in self.parts]
        return {"parts": parts, "plot": asdict(self.plot) if self.plot is not None else None}


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter: what it is about, the modules that compute it, and the function that writes its page."""

    name: str
    title: str
    code: tuple[str, ...]
    write: Callable[[], Page]
    #: What its picture shows, if it has one.
    picture: str = ""


def _text(cell: Cell) -> str:
    if isinstance(cell, float):
        return f"{cell:,.2f}"
    return f"{cell:,}" if isinstance(cell, int) else cell


def size(count: int) -> str:
    """Return a number of bytes in the largest unit that divides it."""
    unit = 0
    while count and count % 1024 == 0 and unit < len(_UNITS) - 1:
        count //= 1024
        unit += 1
    return f"{count} {_UNITS[unit]}"


_UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB")


def computed(compute: Callable[[Machine], T]) -> T:
    """Return what a function of a machine comes to on its boot CPU."""
    told: list[T] = []

    def program(m: Machine) -> None:
        told.append(compute(m))

    failure = explore(program, schedules=1).failure
    if failure is not None:
        raise InternalError(f"the textbook's own example fails: {failure.message}")
    return told[0]


class Searched(NamedTuple):
    """A search: how many schedules ran, what the last of them showed, and the facts of it."""

    schedules: int
    found: str
    facts: tuple[str, ...] = ()


def searched(scenario: str, schedules: int, *mutants: str) -> Searched:
    """Search a scenario with these mutants in place, until it fails."""
    result = explore(find_scenario(scenario), sched="random", schedules=schedules, mutants=mutants)
    if result.failure is None:
        return Searched(result.executions, "nothing")
    return Searched(result.executions, result.failure.message, tuple(result.failure.facts))
