"""Removals that change nothing that anybody may rely on, each with the reason.

Nothing can show them, so the kill table leaves them out and says how many they are.  An entry names them by a
shell pattern over the path of the function and how it is changed, without the line, and by what the line
says.
"""

from __future__ import annotations

from typing import Final

from vmsmp.patches.equivalent import faults, locks, memory, paging, spaces, tables, waits
from vmsmp.patches.equivalent.entry import Equivalent
from vmsmp.patches.removals import Removal

EQUIVALENTS: Final = (
    *faults.EQUIVALENTS,
    *locks.EQUIVALENTS,
    *memory.EQUIVALENTS,
    *paging.EQUIVALENTS,
    *spaces.EQUIVALENTS,
    *tables.EQUIVALENTS,
    *waits.EQUIVALENTS,
)


def equivalent(removal: Removal) -> Equivalent | None:
    """Return the entry that covers the removal, or None."""
    return next((entry for entry in EQUIVALENTS if entry.covers(removal)), None)
