"""Invalidation: change an entry so that no CPU keeps using what it has cached of it.

Models: pmap_inval_init, pmap_inval_done, pmap_inval_smp and pmap_inval_smp_cmpset of
sys/platform/pc64/x86_64/pmap_inval.c.
A user's pmap has one invalidation in progress at a time; a CPU that switches to the pmap waits for its end.
The CPUs that have to answer are those of pm_active, sampled once the invalidation has begun.  When the call
returns, the entry has changed, this CPU has invalidated, and each of the others has or is in the handler,
where it will.
Locks: none needed; the caller may hold spinlocks that no handler wants.  A critical section, with interrupts
disabled from the store of `done` on.  Spins, takes IPIs while it waits for its turn, never sleeps.
Deviations:
  * the kernel's pmap is named, instead of by NULL.
  * a visible operation at the end marks the translations as gone.  No other CPU acts on it, but what others
    may have cached depends on it, so a search must order it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.records.share import Share
from vmsmp.sync.ipiq import spin_for_ipis
from vmsmp.sync.thread import cpu_disable_intr, cpu_enable_intr, crit_enter, crit_exit, curthread
from vmsmp.vm.observer import Invalidated, TablesChanged
from vmsmp.vm.pmap.pmap import CPULOCK_EXCL, PMAP_MULTI
from vmsmp.vm.pmap_inval.info import InvalMode
from vmsmp.vm.pmap_inval.intr import invalidate
from vmsmp.vm.pmap_inval.smp import smp_invlpg, smp_smurf_idleinvlclr

if TYPE_CHECKING:
    from vmsmp.sync.atomic import Atomic
    from vmsmp.sync.thread import Thread
    from vmsmp.vm.pmap.pmap import Pmap
    from vmsmp.vm.pmap_inval.info import PmapInvalInfo

#: pm_active_lock.
PMAP_EXCL: Final = Share("invalidation", owned=True, invariant="INV-T6")


def pmap_inval_init(pmap: Pmap) -> None:
    """Begin the only invalidation of a user's pmap.  Spins; takes IPIs meanwhile."""
    td = curthread(pmap.vm.machine)
    crit_enter(td)
    if pmap is pmap.vm.pmap.kernel_pmap:
        return
    while True:
        old = pmap.pm_active_lock.load()
        if not old & CPULOCK_EXCL and pmap.pm_active_lock.cmpset(old, old | CPULOCK_EXCL):
            break
        spin_for_ipis(td)
    pmap.took(PMAP_EXCL)
    pmap.pm_invgen.fetchadd(1)


def pmap_inval_done(pmap: Pmap) -> None:
    """End the invalidation: CPUs may switch to the pmap."""
    if pmap is not pmap.vm.pmap.kernel_pmap:
        pmap.pm_invgen.fetchadd(1)
        pmap.pm_active_lock.clearbits(CPULOCK_EXCL)
        pmap.gave(PMAP_EXCL)
    crit_exit(curthread(pmap.vm.machine))


def pmap_inval_smp(pmap: Pmap, va: int, npgs: int, ptep: Atomic | None, npte: int) -> int:
    """Store `npte` in the entry, if one is given, and invalidate `npgs` pages from `va` on (VA_ALL: all).

    Returns the old entry.  Without an entry the tables have changed already.
    """
    td = curthread(pmap.vm.machine)
    if _alone(pmap, td):
        opte = _inval_alone(pmap, td, va, npgs, ptep, npte)
    else:
        opte = _inval_smp(pmap, td, va, npgs, ptep, npte)
    _settle(pmap, td)
    return opte


def pmap_inval_smp_cmpset(pmap: Pmap, va: int, ptep: Atomic, opte: int, npte: int) -> bool:
    """Store `npte` in the entry if it is `opte`, and invalidate its page; return whether it was."""
    td = curthread(pmap.vm.machine)
    if _alone(pmap, td):
        success = _cmpset_alone(pmap, td, va, ptep, opte, npte)
    else:
        success = _cmpset_smp(pmap, td, va, ptep, opte, npte)
    if success:
        _settle(pmap, td)
    return success


def _settle(pmap: Pmap, td: Thread) -> None:
    """From here on no CPU may use more than the tables gave when they changed."""
    pmap.vm.mmu.promise()
    for hook in pmap.vm.hooks.event:
        hook(td.cpu, Invalidated(pmap))


# -- where no other CPU can have cached anything --------------------------------------------------


def _alone(pmap: Pmap, td: Thread) -> bool:
    """Whether no other CPU has the pmap in use."""
    return not pmap.vm.inval.pmap_inval_force_nonopt and pmap.pm_active.load() == 1 << td.cpu.index


def _inval_alone(pmap: Pmap, td: Thread, va: int, npgs: int, ptep: Atomic | None, npte: int) -> int:
    """As `pmap_inval_smp`; no other CPU can start to use a pmap of several threads meanwhile."""
    multi = pmap.pm_flags.load() & PMAP_MULTI
    if multi:
        pmap_inval_init(pmap)
    opte = 0 if ptep is None else ptep.swap(npte)
    _tables_changed(pmap, td, va, npgs)
    invalidate(td, va, npgs)
    if multi:
        pmap_inval_done(pmap)
    return opte


def _cmpset_alone(pmap: Pmap, td: Thread, va: int, ptep: Atomic, opte: int, npte: int) -> bool:
    """As `pmap_inval_smp_cmpset`."""
    multi = pmap.pm_flags.load() & PMAP_MULTI
    if multi:
        pmap_inval_init(pmap)
    success = ptep.cmpset(opte, npte)
    if success:
        _tables_changed(pmap, td, va, 1)
        invalidate(td, va, 1)
    if multi:
        pmap_inval_done(pmap)
    return success


def _tables_changed(pmap: Pmap, td: Thread, va: int, npgs: int) -> None:
    for hook in pmap.vm.hooks.event:
        hook(td.cpu, TablesChanged(pmap, va, npgs, 0))


# -- where other CPUs have to answer --------------------------------------------------------------


def _inval_smp(pmap: Pmap, td: Thread, va: int, npgs: int, ptep: Atomic | None, npte: int) -> int:
    """As `pmap_inval_smp`."""
    info = _claim(pmap, td)
    info.publish("va", va)
    info.npgs = npgs
    info.ptep = ptep
    info.npte = npte
    info.opte = 0
    info.mode = InvalMode.INVSTORE
    info.pmap = pmap
    if ptep is None:
        _tables_changed(pmap, td, va, npgs)
    tmp = _sample(pmap)
    if ptep is None:
        tmp = smp_smurf_idleinvlclr(pmap.vm.inval, tmp)
    _have_carried_out(pmap, td, info, tmp)
    return info.opte


def _cmpset_smp(pmap: Pmap, td: Thread, va: int, ptep: Atomic, opte: int, npte: int) -> bool:
    """As `pmap_inval_smp_cmpset`; all CPUs invalidate even if the entry was not `opte`."""
    info = _claim(pmap, td)
    info.publish("va", va)
    info.npgs = 1
    info.ptep = ptep
    info.npte = npte
    info.opte = opte
    info.success = False
    info.mode = InvalMode.INVCMPSET
    info.pmap = pmap
    _have_carried_out(pmap, td, info, _sample(pmap))
    return info.success


def _claim(pmap: Pmap, td: Thread) -> PmapInvalInfo:
    """Begin a command: wait until all have finished with the slot's last one."""
    vm = pmap.vm
    pmap_inval_init(pmap)
    info: PmapInvalInfo = vm.inval.invinfo(td.cpu.index)
    while info.done.load():
        vm.engine.pause()
    if info.mode is not InvalMode.INVDONE:
        vm.panic("pmap_inval_smp: mode != INVDONE")
    vm.inval.smp_invmask.setbits(1 << td.cpu.index)
    return info


def _sample(pmap: Pmap) -> int:
    """The CPUs that may have cached entries of the pmap."""
    inval = pmap.vm.inval
    tmp: int = pmap.pm_active.load()
    if inval.pmap_inval_force_allcpus:
        tmp = inval.smp_active_mask
    return tmp & int(inval.smp_active_mask)


def _have_carried_out(pmap: Pmap, td: Thread, info: PmapInvalInfo, tmp: int) -> None:
    """Publish the command, wait until the CPUs of the mask and this one have carried it out, and end it."""
    vm = pmap.vm
    tmp |= 1 << td.cpu.index
    info.mask.store(tmp)
    before = td.cpu.closed
    cpu_disable_intr(td)
    info.done.store(tmp)
    smp_invlpg(vm, td, tmp)
    if info.mode is not InvalMode.INVDONE:
        vm.panic("pmap_inval_smp: mode != INVDONE")
    vm.inval.smp_invmask.clearbits(1 << td.cpu.index)
    if not before:
        cpu_enable_intr(td)
    pmap_inval_done(pmap)
