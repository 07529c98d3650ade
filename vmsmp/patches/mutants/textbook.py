"""Mutants of the textbook's mechanisms that run on several CPUs: the buddy allocator and CLOCK."""

from __future__ import annotations

from vmsmp.patches.patch import Mutant

_BUDDY = "vmsmp.mmu.textbook.buddy"
_CLOCK = "vmsmp.mmu.textbook.clock"

MUTANTS = (
    Mutant(
        "BD-01a",
        f"{_BUDDY}:BuddyMemory.alloc",
        "candidate.spin.acquire()",
        "candidate.spin.try_acquire()",
        "INV-BD1",
        "a zone whose lock another CPU has is used all the same",
        "buddy_split_and_merge",
    ),
    Mutant(
        "BD-01b",
        f"{_BUDDY}:BuddyMemory.free",
        """
        zone.spin.acquire()
        frames = zone.give(block)
        """,
        """
        frames = zone.give(block)
        zone.spin.acquire()
        """,
        "INV-BD1",
        "a block is put on the lists while another CPU changes them",
        "buddy_split_and_merge",
    ),
    Mutant(
        "BD-02",
        f"{_BUDDY}:Zone.give",
        "while order < MAX_ORDER and self._unlist(block ^ 1 << order, order):",
        "if order < MAX_ORDER and self._unlist(block ^ 1 << order, order):",
        "INV-BD2",
        "a block merges with its buddy, and what comes of that with no other",
        "buddy_split_and_merge",
    ),
    Mutant(
        "BD-03",
        f"{_BUDDY}:Zone.give",
        "while order < MAX_ORDER and self._unlist(block ^ 1 << order, order):",
        "while order < MAX_ORDER and (self._unlist(block ^ 1 << order, order) or order < 1):",
        "INV-BD1",
        "a block merges with a buddy that is given out",
        "buddy_split_and_merge",
    ),
    Mutant(
        "BD-04",
        f"{_BUDDY}:BuddyMemory.free",
        """
        zone.publish("nr_free", zone.nr_free + frames)
        zone.spin.release()
        """,
        """
        zone.spin.release()
        zone.publish("nr_free", zone.nr_free + frames)
        """,
        "INV-BD3",
        "the count is read and stored after the lock is gone, and another CPU's change is lost",
        "buddy_split_and_merge",
    ),
    Mutant(
        "BD-05",
        f"{_BUDDY}:BuddyMemory._from",
        "return reversed(self.zones[: top + 1])",
        "return reversed(self.zones)",
        "INV-BD4",
        "who asks for DMA memory gets some of another zone",
        "buddy_zones_fall_back",
    ),
    Mutant(
        "CK-01",
        f"{_CLOCK}:ClockPager.fault",
        "if page.pte.load() & Pte.P:",
        "if False:",
        "INV-CK1",
        "two CPUs fault on one page, and the second brings it into another frame",
        "clock_shares_a_page",
    ),
    Mutant(
        "CK-02",
        f"{_CLOCK}:ClockPager._evict",
        """
        if page.pte.swap(0) & Pte.D:
            page.on_disk = frame.content.load()
        """,
        """
        if page.pte.load() & Pte.D:
            page.on_disk = frame.content.load()
        page.pte.store(0)
        """,
        "INV-CK2",
        "a write comes between the look at D and the end of the mapping, and is thrown away",
        "clock_keeps_writes",
    ),
    Mutant(
        "CK-03",
        f"{_CLOCK}:ClockPager._evict",
        """
        if page.pte.swap(0) & Pte.D:
            page.on_disk = frame.content.load()
        """,
        """
        written = frame.content.load()
        if page.pte.swap(0) & Pte.D:
            page.on_disk = written
        """,
        "INV-CK2",
        "the content is read while the page can still be written to",
        "clock_keeps_writes",
    ),
    Mutant(
        "CK-04",
        f"{_CLOCK}:ClockPager._free_frame",
        "if looks and page.pte.clearbits(int(Pte.A)) & Pte.A:",
        "if looks and page.pte.swap(page.pte.load() & ~int(Pte.A)) & Pte.A:",
        "INV-CK2",
        "A is cleared by a load and a store, and the D that a write sets in between goes with it",
        "clock_keeps_writes",
    ),
    Mutant(
        "CK-05",
        f"{_CLOCK}:ClockPager.fault",
        """
        frame.content.store(page.on_disk)
        page.pte.store(make_entry(frame.number, int(Pte.P)))
        """,
        """
        page.pte.store(make_entry(frame.number, int(Pte.P)))
        frame.content.store(page.on_disk)
        """,
        "INV-CK2",
        "the page is mapped before its content is there, and another CPU uses what was in the frame before",
        "clock_history",
    ),
)
