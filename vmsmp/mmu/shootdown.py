"""TLB shootdown as the textbook has it: rights that are taken away are gone on every CPU.

The order of three things makes it right.  The tables change first, so that what a CPU caches from then on is
new.  Then every CPU that may cache the old is told to flush.  And only when all of them have answered may the
frame go to somebody else, or its contents be taken for final.
CPUs are told by IPI (`sync.ipiq`) and flush inside it, so no access of theirs is half done meanwhile.
Locks: none; a critical section from the first flush to the last answer.  Spins, and takes IPIs meanwhile.
"""

from __future__ import annotations

from vmsmp.mmu.entry import PG_RW, frame_of
from vmsmp.mmu.space import AddressSpace
from vmsmp.mmu.system import pages_from
from vmsmp.mmu.unit import Unit
from vmsmp.sync.ipiq import cpus_of, lwkt_send_ipiq, lwkt_wait_ipiq
from vmsmp.sync.thread import Thread, crit_enter, crit_exit, curthread, thread_of


def unmap(space: AddressSpace, va: int) -> int | None:
    """Take the page out of the address space; its frame, which no CPU uses any more, or None."""
    word = space.entry(va)
    if word is None:
        return None
    old = word.swap(0)
    shoot_down(space, va)
    space.mmu.settled(space.root, va)
    return frame_of(old) if old else None


def protect(space: AddressSpace, va: int, bits: int = PG_RW) -> None:
    """Take rights to the page away; no CPU has them any more when it returns."""
    word = space.entry(va)
    if word is not None and word.clearbits(bits) & bits:
        shoot_down(space, va)
        space.mmu.settled(space.root, va)


def shoot_down(space: AddressSpace, va: int, npages: int = 1) -> None:
    """Have every CPU that may cache translations of these pages flush them, and wait until all have."""
    td = curthread(space.mmu.machine)
    crit_enter(td)
    invalidate(space, td.cpu.mmu, va, npages)
    sent = [(other, tell(space, other, va, npages)) for other in others(space, td)]
    for other, number in sent:
        lwkt_wait_ipiq(space.mmu.machine, other, number)
    crit_exit(td)


def others(space: AddressSpace, td: Thread) -> list[Thread]:
    """The other CPUs that have the address space loaded, as their threads."""
    machine = space.mmu.machine
    active = space.active.load() & ~(1 << td.cpu.index)
    return [thread_of(machine, machine.cpus[index]) for index in cpus_of(machine, active)]


def tell(space: AddressSpace, target: Thread, va: int, npages: int) -> int:
    """Have a CPU flush these pages; the number to wait for."""
    return lwkt_send_ipiq(space.mmu.machine, target, invalidate, space, target.cpu.mmu, va, npages)


def invalidate(space: AddressSpace, unit: Unit, va: int, npages: int) -> None:
    """Flush these pages on the CPU itself."""
    for page in pages_from(va, npages):
        if space.mmu.config.pcid:
            unit.invpcid(space.pcid, page)
        else:
            unit.invlpg(page)
