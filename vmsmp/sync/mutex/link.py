"""Requests that wait: how a link goes into a list, is waited for, and leaves without a grant."""

from __future__ import annotations

from vmsmp.sync.errno import ENOLCK, EWOULDBLOCK, PINTERLOCKED
from vmsmp.sync.mutex.mtx import (
    MTX_EXWANTED,
    MTX_LINK_ABORTED,
    MTX_LINK_ACQUIRED,
    MTX_LINK_CALLEDBACK,
    MTX_LINK_IDLE,
    MTX_LINK_LINKED,
    MTX_LINK_LINKED_EX,
    MTX_LINK_LINKED_SH,
    MTX_LINKSPIN,
    MTX_SHWANTED,
    MtxLink,
    StructMtx,
)
from vmsmp.sync.thread import Thread, crit_enter, crit_exit, curthread


def mtx_enter_link(mtx: StructMtx, link: MtxLink, td: Thread, word: int, exclusive: bool) -> int | None:
    """Put the link at the end of its list, if the word still is `word`.

    Returns: 0, ENOLCK if the request was aborted before, or None if the word has changed.
    """
    wanted = MTX_EXWANTED if exclusive else MTX_SHWANTED
    links = mtx.mtx_exlink if exclusive else mtx.mtx_shlink
    crit_enter(td)
    if not mtx.mtx_lock.cmpset(word, word | wanted | MTX_LINKSPIN):
        crit_exit(td)
        return None
    error = 0
    if link.link_state.load() == MTX_LINK_ABORTED:
        mtx.mtx_lock.clearbits(MTX_LINKSPIN if links else MTX_LINKSPIN | wanted)
        link.link_state.store(MTX_LINK_IDLE)
        error = ENOLCK
    else:
        link.owner = td
        link.link_state.store(MTX_LINK_LINKED_EX if exclusive else MTX_LINK_LINKED_SH)
        links.append(link)
        mtx.mtx_lock.clearbits(MTX_LINKSPIN)
    crit_exit(td)
    return error


def mtx_wait_link(mtx: StructMtx, link: MtxLink, flags: int, timo: int) -> int:
    """Sleep until the link leaves its list; return 0 if the mutex was granted, or an error number.

    After a sleep that ends with an error the link is taken off its list.  As in the kernel, a grant between
    the test of the link's state and that goes unnoticed: the mutex is held, and the error is returned.
    """
    error = _sleep_on_link(mtx, link, flags, timo)
    state = link.link_state.load()
    if state in (MTX_LINK_ACQUIRED, MTX_LINK_CALLEDBACK):
        error = 0
    elif state == MTX_LINK_ABORTED:
        error = ENOLCK
    else:
        mtx_delete_link(mtx, link)
        error = error or EWOULDBLOCK
    link.link_state.store(MTX_LINK_IDLE)
    return error


def _sleep_on_link(mtx: StructMtx, link: MtxLink, flags: int, timo: int) -> int:
    """Sleep while the link is in a list; return the error of a sleep that ends with one, or 0."""
    while link.link_state.load() & MTX_LINK_LINKED:
        mtx.machine.tsleep_interlock(link)
        if link.link_state.load() & MTX_LINK_LINKED:
            error = mtx.machine.tsleep(link, flags | PINTERLOCKED, mtx.name, timo, overdue=link.overdue)
            if error:
                return error
    return 0


def _take_linkspin(mtx: StructMtx) -> None:
    while True:
        word = mtx.mtx_lock.load()
        if not word & MTX_LINKSPIN and mtx.mtx_lock.cmpset(word, word | MTX_LINKSPIN):
            return
        mtx.machine.pause()


def _unlink(mtx: StructMtx, link: MtxLink, state: int) -> int:
    """Take the link off its list; return the bit of the word to clear if the list is empty now, or 0."""
    if state == MTX_LINK_LINKED_EX:
        mtx.mtx_exlink.remove(link)
        return 0 if mtx.mtx_exlink else MTX_EXWANTED
    mtx.mtx_shlink.remove(link)
    return 0 if mtx.mtx_shlink else MTX_SHWANTED


def mtx_delete_link(mtx: StructMtx, link: MtxLink) -> None:
    """Take the link off its list, if it is still on one."""
    td = curthread(mtx.machine)
    crit_enter(td)
    _take_linkspin(mtx)
    stale = MTX_LINKSPIN
    state = link.link_state.load()
    if state & MTX_LINK_LINKED:
        stale |= _unlink(mtx, link, state)
    mtx.mtx_lock.clearbits(stale)
    crit_exit(td)


def mtx_abort_link(mtx: StructMtx, link: MtxLink) -> None:
    """Make the link's request fail with ENOLCK, unless it has the mutex; before or after it is made."""
    td = curthread(mtx.machine)
    crit_enter(td)
    _take_linkspin(mtx)
    stale = MTX_LINKSPIN
    state = link.link_state.load()
    if state == MTX_LINK_IDLE:
        link.link_state.store(MTX_LINK_ABORTED)
    elif state & MTX_LINK_LINKED:
        stale |= _unlink(mtx, link, state)
        if link.callback is None:
            link.link_state.store(MTX_LINK_ABORTED)
            mtx.machine.wakeup(link)
        else:
            link.link_state.store(MTX_LINK_CALLEDBACK)
            link.callback(ENOLCK, *link.args)
    mtx.mtx_lock.clearbits(stale)
    crit_exit(td)
