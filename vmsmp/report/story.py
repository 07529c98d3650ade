"""A run as text: a table with one column a CPU where that fits, else a block for each turn of a CPU.

Steps that repeat are folded.  A long run shows its beginning, its end and the steps that a failure is about.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from vmsmp.campaign.story import Row, Story

#: Rows shown of a long run, at its beginning and at its end, and around a step that matters.
HEAD_ROWS: Final = 40
TAIL_ROWS: Final = 80
NEAR_ROWS: Final = 2
#: The longest circle of steps that is looked for.
LONGEST_CIRCLE: Final = 64
#: Columns where output goes to no terminal.
PLAIN_WIDTH: Final = 220

#: A row, how often it comes, and how many rows its circle has.
Folded = tuple["Row", int, int]


def output_width() -> int:
    """How wide lines may be: as the terminal is, if output goes to one."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else PLAIN_WIDTH


def story_lines(
    story: Story, *, everything: bool = False, keep: Collection[int] = (), width: int | None = None
) -> list[str]:
    """Return the run in lines no wider than `width` (None: as the output is).

    Of a long run `everything` shows all, else at least the steps in `keep`.
    """
    shown = shown_rows(story, everything=everything, keep=keep)
    width = output_width() if width is None else width
    lines = _table(story.cpus, shown)
    return lines if max(map(len, lines)) <= width else _blocks(story.cpus, shown, width)


def shown_rows(story: Story, *, everything: bool = False, keep: Collection[int] = ()) -> list[Folded | int]:
    """Return what is shown of a run: rows, those that repeat folded; a number stands for so many left out."""
    rows = _fold(list(story.rows))
    return list(_gaps(rows, set() if everything else _hidden(rows, keep)))


# -- a table -----------------------------------------------------------------------------------


def _table(cpus: Sequence[str], shown: list[Folded | int]) -> list[str]:
    """One column a CPU, time downwards; a number stands for so many rows left out."""
    columns = _Columns(cpus, ((one[0], cell_text(one)) for one in shown if isinstance(one, tuple)))
    lines = [f"{'step':>5} {columns.line(dict(enumerate(cpus)))}", columns.rule]
    for one in shown:
        if isinstance(one, int):
            lines.append(_left_out(one))
            continue
        row = one[0]
        if row.switch:
            lines.append(f"{'':>5} {columns.line({})}   switch: {row.switch}")
        lines.append(f"{row.step:>5} {columns.line({row.cpu: cell_text(one)})}{place_text(row)}")
    return [*lines, columns.rule]


class _Columns:
    """The table's columns: one for each CPU that makes a step, as wide as its widest cell."""

    def __init__(self, cpus: Sequence[str], cells: Iterable[tuple[Row, str]]) -> None:
        widths: dict[int, int] = {}
        for row, text in cells:
            widths[row.cpu] = max(widths.get(row.cpu, len(cpus[row.cpu])), len(text))
        self._widths = dict(sorted(widths.items()))
        self.rule = "-" * 6 + "".join("+" + "-" * (width + 2) for width in self._widths.values()) + "+"

    def line(self, texts: dict[int, str]) -> str:
        """Return one line with those texts by CPU."""
        return "".join(f"| {texts.get(cpu, ''):<{width}} " for cpu, width in self._widths.items()) + "|"


# -- blocks ------------------------------------------------------------------------------------


def _blocks(cpus: Sequence[str], shown: list[Folded | int], width: int) -> list[str]:
    """A block for each turn of a CPU, time downwards; long lines go on in the next.

    Where CPUs run in turn, step by step, each step names its CPU instead.
    """
    lines: list[str] = []
    running: int | None = None
    for one in shown:
        if isinstance(one, int):
            lines.append(_left_out(one))
            running = None
            continue
        row = one[0]
        if row.switch or running is None:
            running = row.cpu
            lines += _wrapped(cpus[running], f" ({row.switch})" if row.switch else "", width, 4)
        whose = "" if row.cpu == running else f"{cpus[row.cpu]}: "
        lines += _wrapped(f"{row.step:>6}  {whose}{cell_text(one)}", place_text(row), width, 12)
    return lines


def _wrapped(text: str, tail: str, width: int, indent: int) -> list[str]:
    """The text with its tail behind it, or below it if it does not fit."""
    if len(text) + len(tail) <= width:
        return [text + tail]
    room = max(width, indent + 20)
    lines = textwrap.wrap(
        text, room, drop_whitespace=False, subsequent_indent=" " * indent, break_on_hyphens=False
    )
    below = " " * indent
    if tail:
        lines += textwrap.wrap(
            tail.strip(), room, initial_indent=below, subsequent_indent=below, break_on_hyphens=False
        )
    return [line.rstrip() for line in lines]


# -- rows --------------------------------------------------------------------------------------


def cell_text(one: Folded) -> str:
    """Return what a step did, indented by the locks that its CPU held."""
    row, times, circle = one
    text = "  " * min(row.held, 4) + row.text
    if row.change:
        text += f"  {row.change}"
    if row.note:
        text += f"  [{row.note}]"
    if times < 2:
        return text
    return f"{text}  (x{times})" if circle < 3 else f"{text}  (x{times}, these {circle} in turn)"


def place_text(row: Row) -> str:
    """Return the kernel function a step is in, if any, and the program's line that called it."""
    if not row.place:
        return ""
    first = row.place[0]
    if len(row.place) == 1:
        return f"  {first.short} {first.function}"
    return f"  {first.function} {first.short} < {row.place[1].short}"


def _left_out(count: int) -> str:
    return f"  ... {count} rows left out; `vmsmp replay --all` shows them"


def _hidden(rows: list[Folded], keep: Collection[int]) -> set[int]:
    """The indices of the rows that a long run does without."""
    if len(rows) <= HEAD_ROWS + TAIL_ROWS + 10:
        return set()
    hidden = set(range(HEAD_ROWS, len(rows) - TAIL_ROWS))
    steps = sorted(keep)
    for at, (row, times, circle) in enumerate(rows):
        first = bisect_left(steps, row.step)
        if first < len(steps) and steps[first] <= row.step + (times - 1) * circle:
            hidden -= set(range(at - NEAR_ROWS, at + NEAR_ROWS + 1))
    return hidden


def _gaps(rows: list[Folded], hidden: set[int]) -> Iterator[Folded | int]:
    """The rows, and in place of hidden ones their number."""
    count = 0
    for at, one in enumerate(rows):
        if at in hidden:
            count += 1
            continue
        if count:
            yield count
            count = 0
        yield one


# -- folding -----------------------------------------------------------------------------------


def _fold(rows: list[Row]) -> list[Folded]:
    """Fold what repeats three times or more: equal steps, and circles of steps."""
    numbers: dict[tuple[object, ...], int] = {}
    keys = [numbers.setdefault((row.cpu, row.text, row.change, row.note), len(numbers)) for row in rows]
    following = _following(keys)
    folded: list[Folded] = []
    at = 0
    while at < len(rows):
        circle, times = _repetition(keys, following, at)
        folded += [(row, times, circle) for row in rows[at : at + circle]]
        at += circle * times
    return folded


def _following(keys: list[int]) -> list[int]:
    """For each of the keys the index at which it comes again, out of reach if it does not."""
    last: dict[int, int] = {}
    following = [len(keys)] * len(keys)
    for at, key in enumerate(keys):
        if key in last:
            following[last[key]] = at
        last[key] = at
    return following


def _repetition(keys: list[int], following: list[int], at: int) -> tuple[int, int]:
    """The shortest circle that begins there and comes three times or more, and how often it comes."""
    most = min(LONGEST_CIRCLE, (len(keys) - at) // 3)
    again = following[at]
    while (circle := again - at) <= most:
        times = 1
        ahead = again
        while keys[ahead : ahead + circle] == keys[at:again]:
            times += 1
            ahead += circle
        if times > 2:
            return circle, times
        again = following[again]
    return 1, 1
