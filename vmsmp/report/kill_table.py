"""The kill table as text: a line for each guard removal, then those that nobody noticed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vmsmp.patches.catalogue import find_mutant
from vmsmp.patches.removals import Removal
from vmsmp.report.table import table

if TYPE_CHECKING:
    from vmsmp.campaign.kill_table import Verdict


def kill_text(
    verdicts: Sequence[Verdict], planned: int, *, left_out: int = 0, interrupted: bool = False
) -> list[str]:
    """Return the lines of the whole report."""
    killed = sum(verdict.killed for verdict in verdicts)
    lines = table(
        ["id", "outcome", "schedules", "scenario", "what was found"],
        [
            [one.ident, one.outcome, f"{one.schedules or one.tried:,}", one.place, one.signature]
            for one in verdicts
        ],
        right=(2,),
    )
    lost = [verdict for verdict in verdicts if not verdict.killed]
    if lost:
        lines += ["", "not noticed:"]
        lines += [f"  {one.ident}, {one.outcome}: {_about(one.ident)}" for one in lost]
    rest = f"; {left_out} that change nothing were left out" if left_out else ""
    lines += ["", f"{killed} of {len(verdicts)} noticed{rest}"]
    if interrupted:
        lines.append(f"interrupted: {planned - len(verdicts)} of {planned} were not tried")
    found = next((one for one in verdicts if one.schedule), None)
    if found is not None:
        lines.append(f"see one: vmsmp replay '{found.schedule}'")
    return lines


def _about(ident: str) -> str:
    """What is taken away, in one line."""
    mutant = find_mutant(ident)
    return mutant.text if isinstance(mutant, Removal) else mutant.story
