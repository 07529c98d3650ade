"""What the debugger shows of page tables.

Models: nothing; the kernel's pmap.c has no debugger command.
Locks: none; the machine is stopped.
Deviations:
  * `show pmap` is an addition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.errors import UsageError
from vmsmp.mmu.entry import ENTRIES, PAGE_SHIFT, PG_V, TABLE_SHIFT, entry_format
from vmsmp.vm.command import ShowCommand
from vmsmp.vm.pmap.bits import PD_BASE, PG_MANAGED, PG_W, PT_BASE, pindex_format
from vmsmp.vm.pmap.pmap import PM_NOPLACEMARK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmsmp.vm.pmap.pmap import Pmap
    from vmsmp.vm.system import VmSystem


def pmap_print(pmap: Pmap) -> Iterator[str]:
    """Yield a pmap's counts, its placemarks that are owned, its table pages and its leaf entries."""
    lock = "EXCL" if pmap.peek("pm_active_lock") else "free"
    yield f"{pmap.name}: {pmap.state()}, invalidation {lock}, pm_spin {pmap.spin_state()}, cr3 {pmap.cr3:#x}"
    for pmark in sorted(pmap.pm_placemarks, key=lambda pmark: pmark.slot):
        if pmark.peek("mark") != PM_NOPLACEMARK:
            yield f"  placemark {pmark.slot}: {pmark.state()}"
    for pindex, pv in pmap.peek("pm_pvroot").items():
        m = pv.peek("pv_m")
        wired = "no page" if m is None else f"{m.name} wired {m.peek('wire_count')}"
        yield f"  {pindex_format(pindex)}: {pv.name}, {pv.pv_hold.state()}, {wired}"
        if m is not None and PT_BASE <= pindex < PD_BASE:
            yield from _leaves(pmap, pindex - PT_BASE << TABLE_SHIFT, m.phys)


def _leaves(pmap: Pmap, first: int, table: int) -> Iterator[str]:
    """Yield the entries of a PT page whose first entry has that index."""
    for index in range(ENTRIES):
        pte = pmap.vm.memory.peek_entry(table, index)
        if pte & PG_V:
            software = "".join(
                f" {name}" for bit, name in ((PG_W, "wired"), (PG_MANAGED, "managed")) if pte & bit
            )
            yield f"    {first + index << PAGE_SHIFT:#x}  {entry_format(pte)}{software}"


def show_pmap(vm: VmSystem, name: str | None = None) -> str:
    """Show one pmap by name, or all pmaps."""
    pmaps = [*vm.pmap.pmaps]
    found = pmaps if name is None else [pmap for pmap in pmaps if pmap.name == name]
    if not found and name is not None:
        known = ", ".join(pmap.name for pmap in pmaps) or "none"
        raise UsageError(f"there is no pmap {name!r}: there are {known}")
    return "\n".join(line for pmap in found for line in pmap_print(pmap))


COMMANDS: Final = (
    ShowCommand(
        "pmap",
        (
            ("show pmap", "all pmaps: counts, locks, table pages and entries"),
            ("show pmap NAME", "one pmap"),
        ),
        show_pmap,
    ),
)
