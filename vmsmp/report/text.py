"""A failure as text: headline, facts, the run with one column a CPU, who holds what, how to replay it.

Steps that repeat are folded; a long run shows its beginning and its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from vmsmp.campaign.outcome import replaying

if TYPE_CHECKING:
    from vmsmp.campaign.outcome import Failure, History
    from vmsmp.campaign.story import Row, Story
    from vmsmp.engine.machine import CpuSnapshot

#: Rows shown of a long run, at its beginning and at its end.
HEAD_ROWS = 40
TAIL_ROWS = 80


def failure_text(failure: Failure, *, everything: bool = False) -> str:
    """Return the whole report of one failure; `everything` shows every row of a long run."""
    lines = [f"{failure.kind}: {failure.message}", f"  program {failure.program}, {_found(failure)}"]
    lines += [f"  {fact}" for fact in failure.facts]
    if failure.confirmation:
        lines.append(f"  {failure.confirmation}")
    if failure.story is not None:
        lines += [
            "",
            *story_lines(failure.story, everything=everything),
            "",
            *scene_lines(failure.story.scene),
        ]
    if failure.history:
        lines += ["", *history_lines(failure.history)]
    lines += ["", *again(failure)]
    return "\n".join(lines)


def _found(failure: Failure) -> str:
    where = f"cpu{failure.cpu}"
    if failure.engine == "free":
        return f"free engine, on {where}"
    return f"execution {failure.execution}, on {where}" if failure.execution else f"on {where}"


def again(failure: Failure) -> list[str]:
    """Return the lines that say how to see it again."""
    if failure.schedule:
        command = replaying(failure.program, failure.line, listed=failure.listed)
        return [f"replay: {command}", f"digest: {failure.digest}"]
    return [
        "a free run cannot be replayed; look for it under control:",
        f"  vmsmp run {failure.program} --schedules 10000"
        if failure.listed
        else f"  vmsmp.explore({failure.program}, schedules=10_000)",
    ]


def scene_lines(scene: tuple[CpuSnapshot, ...]) -> list[str]:
    """Return for each CPU what it holds, what it wants and where it stands."""
    lines = ["how every CPU stood:"]
    width = max((len(snapshot.name) for snapshot in scene), default=4)
    for snapshot in scene:
        label = _label(snapshot)
        if snapshot.done:
            lines.append(f"  {label:<{width + 6}} done" + _holding(snapshot))
            continue
        lines.append(
            f"  {label:<{width + 6}} holds {', '.join(snapshot.holds) or 'nothing'}; "
            f"wants {snapshot.wants or 'nothing'}; before: {snapshot.before}"
        )
        lines += [f"  {'':<{width + 6}} at {frame}" for frame in snapshot.frames[:3]]
    return lines


def history_lines(history: History) -> list[str]:
    """How a free run ended, with the last operations of every CPU."""
    lines = [*scene_lines(history.scene), "the last operations of every CPU:"]
    return lines + [f"  {cpu}: {', '.join(operations) or 'none'}" for cpu, operations in history.recent]


def _holding(snapshot: CpuSnapshot) -> str:
    return f", still holds {', '.join(snapshot.holds)}" if snapshot.holds else ""


def _label(snapshot: CpuSnapshot) -> str:
    plain = f"cpu{snapshot.cpu}"
    return plain if snapshot.name == plain else f"{plain} {snapshot.name}"


# -- the table ------------------------------------------------------------------------------------


def story_lines(story: Story, *, everything: bool = False) -> list[str]:
    """Return the run as a table with one column a CPU."""
    rows = _fold(list(story.rows))
    hidden = 0
    if not everything and len(rows) > HEAD_ROWS + TAIL_ROWS + 10:
        hidden = len(rows) - HEAD_ROWS - TAIL_ROWS
        rows = rows[:HEAD_ROWS] + rows[-TAIL_ROWS:]
    cells = [(row, _cell(row, times)) for row, times in rows]
    columns = _Columns(story.cpus, cells)
    lines = [f"{'step':>5} {columns.line(dict(enumerate(story.cpus)))}", columns.rule]
    for count, (row, text) in enumerate(cells):
        if hidden and count == HEAD_ROWS:
            lines.append(f"  ... {hidden} rows left out; `vmsmp replay --all` shows them")
        if row.switch:
            lines.append(f"{'':>5} {columns.line({})}   switch: {row.switch}")
        lines.append(f"{row.step:>5} {columns.line({row.cpu: text})}{_where(row)}")
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


def _where(row: Row) -> str:
    """Return the kernel function a step is in, if any, and the program's line that called it."""
    if not row.place:
        return ""
    first = row.place[0]
    if len(row.place) == 1:
        return f"  {first.short} {first.function}"
    return f"  {first.function} {first.short} < {row.place[1].short}"


def _cell(row: Row, times: int) -> str:
    text = "  " * min(row.held, 4) + row.text
    if row.change:
        text += f"  {row.change}"
    return f"{text}  (x{times})" if times > 1 else text


def _fold(rows: list[Row]) -> list[tuple[Row, int]]:
    """Fold what one CPU repeats: equal steps, and cycles of up to eight steps."""
    folded: list[tuple[Row, int]] = []
    at = 0
    while at < len(rows):
        period, times = _repetition(rows, at)
        folded += [(row, times) for row in rows[at : at + period]]
        at += period * times
    return folded


def _repetition(rows: list[Row], at: int) -> tuple[int, int]:
    for period in range(1, 9):
        times = 1
        while _same(rows, at, at + period * times, period):
            times += 1
        if times > 2:
            return period, times
    return 1, 1


def _same(rows: list[Row], a: int, b: int, length: int) -> bool:
    if b + length > len(rows):
        return False
    return all(
        (one.cpu, one.text, one.change) == (two.cpu, two.text, two.change)
        for one, two in zip(rows[a : a + length], rows[b : b + length], strict=True)
    )
