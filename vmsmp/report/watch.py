"""What happened to one object of a run: every operation on it, and who changed it last."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from vmsmp.errors import UsageError, quoted
from vmsmp.report.table import table

if TYPE_CHECKING:
    from vmsmp.campaign.story import Row, Story


def watch_lines(story: Story, names: Iterable[str]) -> list[str]:
    """Return for each object its operations as a table, and its last change.

    Raises: UsageError for an object that no operation is about; it suggests similar names.
    """
    lines: list[str] = []
    for name in names:
        lines += [f"{name}:", *_of_object(story, name), ""]
    return lines[:-1]


def _of_object(story: Story, name: str) -> list[str]:
    rows = [row for row in story.rows if row.thing == name]
    if not rows:
        known = sorted({row.thing for row in story.rows} - {""})
        close = difflib.get_close_matches(name, known, 5, 0.4) or known[:8]
        raise UsageError(f"no operation is about {quoted(name)}; there are {', '.join(close)}")
    cells = [
        [str(row.step), story.cpus[row.cpu], row.text.removesuffix(name).strip(), row.change, _place(row)]
        for row in rows
    ]
    lines = table(["step", "cpu", "operation", "value", "place"], cells, right={0})
    last = next((row for row in reversed(rows) if row.before != row.after), None)
    if last is None:
        return [*lines, "never changed"]
    return [*lines, f"last changed by {story.cpus[last.cpu]} at step {last.step}, {_place(last)}"]


def _place(row: Row) -> str:
    return " < ".join(place.spot for place in row.place[:2]) or "the engine"
