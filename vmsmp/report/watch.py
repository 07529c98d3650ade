"""What happened to one object of a run: every operation on it, and who changed it last."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from vmsmp.engine import ops
from vmsmp.errors import UsageError
from vmsmp.report.table import table

if TYPE_CHECKING:
    from vmsmp.report.story import Row, Story

_KINDS: Final = sorted(set(ops.NAMES.values()), key=len, reverse=True)


def object_of(row: Row) -> str:
    """The name of what the row's operation is about; "" for nothing."""
    for kind in _KINDS:
        if row.text.startswith(kind):
            return row.text[len(kind) :].strip()
    return ""


def watch_lines(story: Story, names: Iterable[str]) -> list[str]:
    """For each object its operations as a table, and its last change.

    Raises: UsageError for an object that no operation was about, with those that are close.
    """
    lines: list[str] = []
    for name in names:
        rows = [row for row in story.rows if object_of(row) == name]
        if not rows:
            known = sorted({object_of(row) for row in story.rows} - {""})
            close = difflib.get_close_matches(name, known, 5, 0.4) or known[:8]
            raise UsageError(f"no operation is about {name!r}; there are {', '.join(close)}")
        cells = [
            [str(row.step), story.cpus[row.cpu], row.text[: -len(name)].strip(), row.change, _place(row)]
            for row in rows
        ]
        lines += [f"{name}:", *table(["step", "cpu", "operation", "value", "place"], cells, right={0})]
        changed = [row for row in rows if row.before != row.after]
        if changed:
            last = changed[-1]
            lines.append(f"last changed by {story.cpus[last.cpu]} at step {last.step}, {_place(last)}")
        else:
            lines.append("never changed")
        lines.append("")
    return lines[:-1]


def _place(row: Row) -> str:
    return " < ".join(place.split(" in ", 1)[0] for place in row.place[:2]) or "the engine"
