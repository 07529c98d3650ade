"""The recordings of one page: busy, soft busy, wirings."""

from __future__ import annotations

from follower import Family
from recording import Run
from vmsmp.machine import Machine
from vmsmp.vm import vm_page

#: The calls that take the page alone.
CALLS = {
    "pwk": vm_page.vm_page_wakeup,
    "pis": vm_page.vm_page_io_start,
    "pif": vm_page.vm_page_io_finish,
    "psh": vm_page.vm_page_sbusy_hold,
    "psd": vm_page.vm_page_sbusy_drop,
    "pfl": vm_page.vm_page_flash,
    "pwq": vm_page.vm_page_wire_quick,
    "puq": vm_page.vm_page_unwire_quick,
}


class Page(Family):
    """`pbt ALSO SKIP` and `pst SKIP` try a hard and a soft busy, `pbw ALSO` and `psb ALSO` wait for one.

    `SKIP` calls are left out if the try fails.  The page is wired once, by nobody in particular.
    """

    def __init__(self, machine: Machine, run: Run) -> None:
        super().__init__(machine, run)
        vm = machine.boot(pages=8, l2_size=1)
        self._page = m = vm.page.vm_page_array[0]
        m.wire_count.value = 1
        self.channels["pg0"] = m
        self.words["pg0.busy"] = (m.busy_count, "{:x}".format)
        self.words["pg0.wire"] = (m.wire_count, "{:x}".format)
        self.words["pg0.flags"] = (m.flags, "{:x}".format)

    def call(self, cpu: int, words: list[str]) -> tuple[int, int]:
        name, *numbers = words
        first, *skip = (int(number) for number in numbers or "0")
        if name == "pbt":
            failed = vm_page.vm_page_busy_try(self._page, bool(first))
            return int(failed), skip[0] if failed else 0
        if name == "pst":
            failed = vm_page.vm_page_sbusy_try(self._page)
            return int(failed), first if failed else 0
        if name == "pbw":
            vm_page.vm_page_busy_wait(self._page, bool(first))
        elif name == "psb":
            vm_page.vm_page_sleep_busy(self._page, bool(first))
        else:
            return int(bool(CALLS[name](self._page))), 0
        return 0, 0
