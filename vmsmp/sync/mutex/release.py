"""Releases, the grants that they make, and changes of mode."""

from __future__ import annotations

from vmsmp.sync.errno import EDEADLK
from vmsmp.sync.lock import EXCLUSIVE, SHARED
from vmsmp.sync.mutex.mtx import (
    MTX_EXCLUSIVE,
    MTX_EXWANTED,
    MTX_LINK_ACQUIRED,
    MTX_LINK_CALLEDBACK,
    MTX_LINK_LINKED_EX,
    MTX_LINK_LINKED_SH,
    MTX_LINKSPIN,
    MTX_MASK,
    MTX_SHWANTED,
    MtxLink,
    StructMtx,
)
from vmsmp.sync.thread import Thread, crit_enter, crit_exit, curthread


def mtx_unlock(mtx: StructMtx) -> None:
    """Release one hold; the last one hands the mutex to the first writer that waits, or to all readers."""
    td = curthread(mtx.machine)
    noted = False
    while True:
        word = mtx.mtx_lock.load()
        if word & (MTX_MASK | MTX_LINKSPIN) == MTX_LINKSPIN | 1:
            mtx.machine.pause()
            continue
        _may_release(mtx, td, word)
        if not noted:
            mtx.note_leaving(td.cpu)
            noted = True
        if _release(mtx, td, word):
            return


def _may_release(mtx: StructMtx, td: Thread, word: int) -> None:
    """Panic if the mutex is not held, or if its owner is another thread."""
    if word & MTX_MASK == 0:
        mtx.machine.panic(f"mtx_unlock: {mtx} is not held")
    if word & (MTX_EXCLUSIVE | MTX_MASK) == MTX_EXCLUSIVE | 1 and mtx.mtx_owner.load() not in (td, None):
        mtx.machine.panic(f"mtx_unlock: {mtx} is owned by another thread")


def _release(mtx: StructMtx, td: Thread, word: int) -> bool:
    """Release one hold of a mutex whose word is `word`; return False if the word has changed."""
    if word & MTX_MASK > 1:
        return mtx.mtx_lock.cmpset(word, word - 1)
    if word & MTX_EXCLUSIVE:
        mtx.mtx_owner.store(None)
    if word & MTX_EXWANTED:
        return mtx_chain_link_ex(mtx, td, word)
    if word & MTX_SHWANTED:
        return mtx_chain_link_sh(mtx, td, word)
    return mtx.mtx_lock.cmpset(word, 0)


def mtx_chain_link_ex(mtx: StructMtx, td: Thread, word: int) -> bool:
    """Hand the last hold to the first writer that waits; return False if the word has changed."""
    crit_enter(td)
    word &= ~MTX_LINKSPIN
    done = mtx.mtx_lock.cmpset(word, word | MTX_LINKSPIN | MTX_EXCLUSIVE)
    if done:
        if not mtx.mtx_exlink:
            mtx.machine.panic(f"mtx_chain_link_ex: nobody waits for {mtx}")
        link = mtx.mtx_exlink.pop(0)
        if link.link_state.load() != MTX_LINK_LINKED_EX:
            mtx.machine.panic(f"mtx_chain_link_ex: {link} is {link.link_state.state()}")
        mtx.mtx_owner.store(link.owner)
        _grant(mtx, link, EXCLUSIVE)
        mtx.mtx_lock.clearbits(MTX_LINKSPIN if mtx.mtx_exlink else MTX_LINKSPIN | MTX_EXWANTED)
    crit_exit(td)
    return done


def mtx_chain_link_sh(mtx: StructMtx, td: Thread, word: int, handed: int = 1) -> bool:
    """Let in all readers that wait, `handed` of them with counts of the caller.

    Returns: False if the word has changed.
    """
    crit_enter(td)
    word &= ~MTX_LINKSPIN
    done = mtx.mtx_lock.cmpset(word, (word | MTX_LINKSPIN) & ~MTX_EXCLUSIVE)
    if done:
        if len(mtx.mtx_shlink) > handed:
            mtx.mtx_lock.fetchadd(len(mtx.mtx_shlink) - handed)
        while mtx.mtx_shlink:
            link = mtx.mtx_shlink.pop(0)
            if link.link_state.load() != MTX_LINK_LINKED_SH:
                mtx.machine.panic(f"mtx_chain_link_sh: {link} is {link.link_state.state()}")
            _grant(mtx, link, SHARED)
        mtx.mtx_lock.clearbits(MTX_LINKSPIN | MTX_SHWANTED)
    crit_exit(td)
    return done


def _grant(mtx: StructMtx, link: MtxLink, mode: str) -> None:
    """Grant the mutex to the link's request; after the store the link belongs to its thread again."""
    if link.callback is None:
        mtx.granted.append(link)
        link.link_state.store(MTX_LINK_ACQUIRED)
        mtx.machine.wakeup(link)
    else:
        link.link_state.store(MTX_LINK_CALLEDBACK)
        assert link.owner is not None
        mtx.note_acquired(link.owner.cpu, mode)
        link.callback(0, *link.args)


def mtx_upgrade_try(mtx: StructMtx) -> int:
    """Turn the only shared hold into an exclusive one; return 0, or EDEADLK if it is not the only one.

    As in the kernel it also fails while a reader waits or a CPU changes the lists.
    """
    td = curthread(mtx.machine)
    while True:
        word = mtx.mtx_lock.load()
        if word & ~MTX_EXWANTED == 1:
            if mtx.mtx_lock.cmpset(word, word | MTX_EXCLUSIVE):
                mtx.note_leaving(td.cpu, SHARED)
                mtx.note_acquired(td.cpu, EXCLUSIVE, tried=True)
                mtx.mtx_owner.store(td)
                return 0
            mtx.machine.pause()
        elif word & MTX_EXCLUSIVE:
            if mtx.mtx_owner.load() is not td:
                mtx.machine.panic(f"mtx_upgrade_try: {mtx} is owned by another thread")
            return 0
        else:
            return EDEADLK


def mtx_downgrade(mtx: StructMtx) -> None:
    """Turn the exclusive hold, with all its levels, into a shared one, and let in the readers that wait.

    As in the kernel, the first of these readers takes over a count that the caller still needs.
    """
    td = curthread(mtx.machine)
    word = mtx.mtx_lock.load()
    if not word & MTX_EXCLUSIVE:
        if not word & MTX_MASK:
            mtx.machine.panic(f"mtx_downgrade: {mtx} is not held")
        return
    if mtx.mtx_owner.load() is not td:
        mtx.machine.panic(f"mtx_downgrade: {mtx} is owned by another thread")
    levels = sum(hold.lock is mtx for hold in td.cpu.held)
    for _ in range(levels):
        mtx.note_leaving(td.cpu, EXCLUSIVE)
    mtx.mtx_owner.store(None)
    while not _weaken(mtx, td, mtx.mtx_lock.load()):
        mtx.machine.pause()
    for _ in range(levels):
        mtx.note_acquired(td.cpu, SHARED)


def _weaken(mtx: StructMtx, td: Thread, word: int) -> bool:
    if word & MTX_SHWANTED:
        return mtx_chain_link_sh(mtx, td, word)
    return mtx.mtx_lock.cmpset(word, word & ~MTX_EXCLUSIVE)
