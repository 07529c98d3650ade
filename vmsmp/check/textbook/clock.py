"""Pages and frames of the CLOCK pager.

INV-CK1: a page that is present is in one frame, which is for no other page; one that is not is not marked.
"""

from __future__ import annotations

from typing import Final

from vmsmp.check.rules import Books, Broken, Rules
from vmsmp.mmu.entry import frame_of
from vmsmp.mmu.textbook.clock import Frame, Page
from vmsmp.mmu.textbook.entry import Pte

_USED: Final = Pte.A | Pte.D


def broken_mapping(page: Page, _books: Books) -> Broken | None:
    """Whether a page that is present is not in its frame, or is in others too (INV-CK1)."""
    entry = page.pte.value
    if not entry & Pte.P:
        return Broken("INV-CK1", "it is marked as used, and not present") if entry & _USED else None
    frames: tuple[Frame, ...] = page.vm.frames
    if frames[frame_of(entry)].raw_page is not page:
        return Broken("INV-CK1", "it is mapped to a frame that is for another page")
    if sum(frame.raw_page is page for frame in frames) > 1:
        return Broken("INV-CK1", "it is in two frames")
    return None


RULES: Final = (Rules(Page, written={"pte": (broken_mapping,)}, at_rest=(broken_mapping,)),)
