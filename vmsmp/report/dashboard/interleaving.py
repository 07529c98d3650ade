"""The steps of a run for a table with one column a CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmsmp.report.story import cell_text, place_text, shown_rows
from vmsmp.report.text import steps_that_matter

if TYPE_CHECKING:
    from vmsmp.campaign.outcome import Failure


@dataclass(frozen=True, slots=True)
class Step:
    """One row: which column has the text, and why another CPU runs than before.

    `matters`: the failure is about it.  `left_out` is a number of rows that this one stands for, and then
    there is nothing else.
    """

    number: int = 0
    column: int = 0
    text: str = ""
    place: str = ""
    switch: str = ""
    matters: bool = False
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Interleaving:
    """The CPUs that make a step, in their order, and the rows."""

    cpus: tuple[str, ...]
    steps: tuple[Step, ...]


def interleaving_of(failure: Failure) -> Interleaving:
    """Return the table of a failure that has a story."""
    assert failure.story is not None
    keep = steps_that_matter(failure)
    shown = shown_rows(failure.story, keep=keep)
    running = sorted({one[0].cpu for one in shown if not isinstance(one, int)})
    column = {cpu: n for n, cpu in enumerate(running)}
    steps = []
    for one in shown:
        if isinstance(one, int):
            steps.append(Step(left_out=one))
            continue
        row = one[0]
        place = place_text(row).strip()
        steps.append(Step(row.step, column[row.cpu], cell_text(one), place, row.switch, row.step in keep))
    return Interleaving(tuple(failure.story.cpus[cpu] for cpu in running), tuple(steps))
