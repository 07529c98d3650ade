"""One pass over the commands in progress, on a CPU that has to answer them.

Models: pmap_inval_intr of sys/platform/pc64/x86_64/pmap_inval.c; cpu_invlpg and cpu_invltlb of cpufunc.h.
A CPU that has to answer passes at least twice: it quiesces, and invalidates once the entry has changed.
So the entry changes while all of them spin here.
Locks: none, in a critical section; a CPU changes its own bits of a slot only.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.mmu.system import pages_from
from vmsmp.sync.ipiq import cpus_of
from vmsmp.vm.observer import TablesChanged
from vmsmp.vm.pmap_inval.info import MAX_INVAL_PAGES, VA_ALL, InvalMode

if TYPE_CHECKING:
    from vmsmp.sync.atomic import Atomic
    from vmsmp.sync.thread import Thread
    from vmsmp.vm.pmap_inval.info import PmapInvalInfo
    from vmsmp.vm.system import VmSystem


def cpu_invlpg(td: Thread, va: int) -> None:
    """Forget what translates the address on this CPU: one visible operation."""
    td.cpu.mmu.invlpg(va)


def cpu_invltlb(td: Thread) -> None:
    """Forget all translations on this CPU: one visible operation."""
    td.cpu.mmu.invltlb()


def invalidate(td: Thread, va: int, npgs: int) -> None:
    """Forget `npgs` pages on this CPU, one by one, or flush everything if there are too many."""
    if va == VA_ALL or npgs > MAX_INVAL_PAGES:
        cpu_invltlb(td)
        return
    for page in pages_from(va, npgs):
        cpu_invlpg(td, page)


def pmap_inval_intr(vm: VmSystem, td: Thread, cpumask: int) -> bool:
    """Look once at the commands of the CPUs of the mask; return whether to look again."""
    loopme = False
    for n in cpus_of(vm.machine, cpumask):
        info = vm.inval.invinfo(n)
        if info.done.load() >> td.cpu.index & 1:
            loopme = (_own(vm, td, info) if n == td.cpu.index else _other(td, info, n)) or loopme
    return loopme


def _other(td: Thread, info: PmapInvalInfo, n: int) -> bool:
    """The command of CPU `n`: quiesce, wait until it is executed, then invalidate."""
    bit = 1 << td.cpu.index
    if info.mask.load() & bit:
        info.mask.clearbits(bit)
        return True
    if info.ptep is not None and info.mask.load() >> n & 1:
        return True
    invalidate(td, info.va, info.npgs)
    info.done.clearbits(bit)
    return False


def _own(vm: VmSystem, td: Thread, info: PmapInvalInfo) -> bool:
    """The CPU's own command: wait until all have quiesced, execute it, then invalidate."""
    bit = 1 << td.cpu.index
    if info.mask.load() & bit:
        if info.mask.load() == bit:
            _execute(vm, td, info)
            info.mask.clearbits(bit)
        return True
    invalidate(td, info.va, info.npgs)
    info.mode = InvalMode.INVDONE
    info.done.clearbits(bit)
    return False


def _execute(vm: VmSystem, td: Thread, info: PmapInvalInfo) -> None:
    """Change the entry, while the other CPUs of the mask spin and use no translation."""
    ptep: Atomic | None = info.ptep
    if ptep is None:
        return
    if info.mode is InvalMode.INVSTORE:
        info.opte = ptep.swap(info.npte)
        info.success = True
    else:
        info.success = ptep.cmpset(info.opte, info.npte)
    if info.success:
        for hook in vm.hooks.event:
            hook(td.cpu, TablesChanged(info.pmap, info.va, info.npgs, info.peek("done")))
