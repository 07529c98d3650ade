"""Requests: exclusive and shared, those that wait and those that do not."""

from __future__ import annotations

from vmsmp.engine.wait import Wait
from vmsmp.sync.errno import EAGAIN, EINPROGRESS
from vmsmp.sync.lock import EXCLUSIVE, SHARED
from vmsmp.sync.mutex.link import mtx_enter_link, mtx_wait_link
from vmsmp.sync.mutex.mtx import MTX_EXCLUSIVE, MTX_EXWANTED, MTX_LINKSPIN, MtxLink, StructMtx
from vmsmp.sync.thread import Thread, curthread, take_latched


def mtx_lock(mtx: StructMtx) -> None:
    """mtx_lock, mtx_lock_ex_quick: take the mutex exclusively; its owner may take it again."""
    mtx_lock_ex(mtx)


def mtx_lock_sh_quick(mtx: StructMtx) -> None:
    """Take the mutex shared, with no limit to the wait."""
    mtx_lock_sh(mtx)


def mtx_lock_ex(mtx: StructMtx, link: MtxLink | None = None, flags: int = 0, timo: int = 0) -> int:
    """Take the mutex exclusively; return 0, the error of a sleep, or ENOLCK if the link was aborted.

    `link` is the caller's, if other threads are to abort the request.  Sleeps: while contested.
    """
    td = curthread(mtx.machine)
    mtx.note_request(EXCLUSIVE, link)
    if mtx.mtx_lock.cmpset(0, MTX_EXCLUSIVE | 1):
        _become_owner(mtx, td)
        return 0
    while True:
        word = mtx.mtx_lock.load()
        got = _own(mtx, td, word)
        if got:
            return 0
        if got is None:
            link = link or MtxLink(mtx.machine, mtx)
            error = _wait(mtx, td, word, link, flags, timo)
            if error is not None:
                return error


def mtx_lock_sh(mtx: StructMtx, link: MtxLink | None = None, flags: int = 0, timo: int = 0) -> int:
    """Take the mutex shared; return as `mtx_lock_ex`.  Sleeps: while contested."""
    td = curthread(mtx.machine)
    mtx.note_request(SHARED, link)
    while True:
        word = mtx.mtx_lock.load()
        if not word & (MTX_EXCLUSIVE | MTX_EXWANTED):
            if mtx.mtx_lock.cmpset(word, word + 1):
                mtx.note_acquired(td.cpu, SHARED)
                return 0
            continue
        link = link or MtxLink(mtx.machine, mtx)
        error = _wait(mtx, td, word, link, flags, timo, exclusive=False)
        if error is not None:
            return error


def mtx_spinlock(mtx: StructMtx) -> None:
    """The loop of _mtx_spinlock, in a critical section: spin until the mutex is free or this thread's."""
    td = curthread(mtx.machine)
    while True:
        got = _own(mtx, td, mtx.mtx_lock.load())
        if got:
            td.cpu.wants = None
            take_latched(td)  # which no operation of a CPU that waits does
            return
        if got is None and td.cpu.wants is None:
            mtx.contested += 1
            td.cpu.wants = Wait(mtx, EXCLUSIVE)
        mtx.machine.pause()


def mtx_lock_ex_try(mtx: StructMtx) -> int:
    """Take the mutex exclusively if that needs no waiting; return 0 or EAGAIN."""
    td = curthread(mtx.machine)
    while True:
        got = _own(mtx, td, mtx.mtx_lock.load(), tried=True)
        if got is None:
            return EAGAIN
        if got:
            return 0
        mtx.machine.pause()


def mtx_lock_sh_try(mtx: StructMtx) -> int:
    """Take the mutex shared if it has no owner, even if others wait; return 0 or EAGAIN."""
    while True:
        word = mtx.mtx_lock.load()
        if word & MTX_EXCLUSIVE:
            return EAGAIN
        if mtx.mtx_lock.cmpset(word, word + 1):
            mtx.note_acquired(mtx.engine.current, SHARED, tried=True)
            return 0
        mtx.machine.pause()


def _own(mtx: StructMtx, td: Thread, word: int, tried: bool = False) -> bool | None:
    """Take a mutex that is free or this thread's; return False if the word changed, None if it is neither."""
    if word == 0:
        if not mtx.mtx_lock.cmpset(0, MTX_EXCLUSIVE | 1):
            return False
        _become_owner(mtx, td, tried)
        return True
    if not word & MTX_EXCLUSIVE or mtx.mtx_owner.load() is not td:
        return None
    if not mtx.mtx_lock.cmpset(word, word + 1):
        return False
    mtx.note_acquired(td.cpu, EXCLUSIVE, tried)
    return True


def _become_owner(mtx: StructMtx, td: Thread, tried: bool = False) -> None:
    """Store `mtx_owner`, a step after the word."""
    mtx.note_acquired(td.cpu, EXCLUSIVE, tried)
    mtx.mtx_owner.store(td)


def _wait(
    mtx: StructMtx, td: Thread, word: int, link: MtxLink, flags: int, timo: int, exclusive: bool = True
) -> int | None:
    """Wait in a list for a mutex that is taken; return None if the word has changed."""
    if word & MTX_LINKSPIN:
        mtx.machine.pause()
        return None
    error = mtx_enter_link(mtx, link, td, word, exclusive)
    if error == 0 and link.callback is not None:
        return EINPROGRESS
    if error == 0:
        mtx.note_contest(td)
        error = mtx_wait_link(mtx, link, flags, timo)
        if link in mtx.granted:
            mtx.granted.remove(link)
        if error == 0:
            mtx.note_acquired(td.cpu, EXCLUSIVE if exclusive else SHARED)
    return error
