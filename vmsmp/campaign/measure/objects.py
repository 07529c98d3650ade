"""What an object costs by the number of its resident pages: inserting, removing, and scanning all of them.

Times are of the measuring thread alone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial

from vmsmp.campaign.measure.figure import Figure
from vmsmp.campaign.measure.pages import FEW_PAGES, MANY_PAGES, run_once
from vmsmp.campaign.options import options_for
from vmsmp.campaign.runner import runner_for
from vmsmp.engine.limits import MOST_STEPS
from vmsmp.machine import Machine
from vmsmp.vm.vm_object.allocate import vm_object_allocate
from vmsmp.vm.vm_object.hold import vm_object_hold
from vmsmp.vm.vm_object.object import VmObject
from vmsmp.vm.vm_object.tree import scan
from vmsmp.vm.vm_page.flags import PBUSY_LOCKED
from vmsmp.vm.vm_page.page import VmPage
from vmsmp.vm.vm_page.residency import vm_page_insert, vm_page_remove

#: Pages that are removed and inserted again, and how far apart they are in a large object.
MOVES = 2_000
STEP = 7919
ROUNDS = 4
#: Scans of a small object, so that one takes long enough to be measured.
VISITS = 200_000
#: What a figure of a large object may be to that of a small one.
GOAL = 0.5


@dataclass
class _Sizes:
    """What objects of several sizes came to, by their number of pages: operations a second."""

    inserted: dict[int, float] = field(default_factory=dict)
    removed: dict[int, float] = field(default_factory=dict)
    scanned: dict[int, float] = field(default_factory=dict)

    def measure(self, pages: int) -> None:
        """Fill an object with all pages of a machine, and move and visit them."""

        def program(m: Machine) -> None:
            vm = m.boot(pages=pages)
            obj = vm_object_allocate(vm, pages)
            vm_object_hold(obj)
            for pindex, page in enumerate(vm.page.vm_page_array):
                _put(obj, page, pindex)
            moved = [*dict.fromkeys(vm.page.vm_page_array[n * STEP % pages] for n in range(MOVES))]
            for _ in range(ROUNDS):  # locks are made in the first
                start = time.thread_time()
                for page in moved:
                    vm_page_remove(page)
                between = time.thread_time()
                for page in moved:
                    vm_page_insert(page, obj, page.pindex)
                end = time.thread_time()
                self._best(self.removed, pages, len(moved) / (between - start))
                self._best(self.inserted, pages, len(moved) / (end - between))
            visited = 0
            start = time.thread_time()
            while visited < VISITS:
                visited += sum(1 for _ in scan(obj))
            self.scanned[pages] = visited / (time.thread_time() - start)

        with runner_for(program, options_for(program, max_steps=MOST_STEPS), check=False, hang_s=0) as runner:
            runner.drive(partial(run_once, runner))

    @staticmethod
    def _best(rates: dict[int, float], pages: int, rate: float) -> None:
        rates[pages] = max(rate, rates.get(pages, 0.0))


def _put(obj: VmObject, page: VmPage, pindex: int) -> None:
    """Put a page into the object, hard-busied, without a step."""
    page.object, page.pindex = obj, pindex
    page.busy_count.value = PBUSY_LOCKED
    obj.rb_memq[pindex] = page
    obj.resident_page_count += 1


def object_figures(pages: int = MANY_PAGES) -> list[Figure]:
    """A large object and a small one: what inserting, removing and visiting a page costs in each."""
    sizes = _Sizes()
    for count in (FEW_PAGES, pages):
        sizes.measure(count)
    return [
        Figure(
            f"{what} of an object of {pages:,} pages",
            rates[pages],
            "pages/s",
            rates[pages] / rates[FEW_PAGES],
            GOAL,
            f"to one of {FEW_PAGES:,}",
        )
        for what, rates in (("insert", sizes.inserted), ("remove", sizes.removed), ("scan", sizes.scanned))
    ]
