"""The list of a page queue.

Models: the TAILQ macros of sys/sys/queue.h, as sys/vm/vm_page.c uses them.
Locks: every function needs the queue's spinlock.
Deviations: none known.
"""

from __future__ import annotations

from vmsmp.vm.vm_page.page import VmPage, Vpgqueues


def TAILQ_INSERT_HEAD(pq: Vpgqueues, m: VmPage) -> None:
    first = pq.tqh_first
    m.tqe_next, m.tqe_prev = first, None
    if first is not None:
        first.tqe_prev = m
    else:
        pq.tqh_last = m
    pq.tqh_first = m


def TAILQ_INSERT_TAIL(pq: Vpgqueues, m: VmPage) -> None:
    last = pq.tqh_last
    m.tqe_next, m.tqe_prev = None, last
    if last is not None:
        last.tqe_next = m
    else:
        pq.tqh_first = m
    pq.tqh_last = m


def TAILQ_INSERT_AFTER(pq: Vpgqueues, where: VmPage, m: VmPage) -> None:
    nxt = where.tqe_next
    m.tqe_next, m.tqe_prev = nxt, where
    where.tqe_next = m
    if nxt is not None:
        nxt.tqe_prev = m
    else:
        pq.tqh_last = m


def TAILQ_REMOVE(pq: Vpgqueues, m: VmPage) -> None:
    nxt, prev = m.tqe_next, m.tqe_prev
    if nxt is not None:
        nxt.tqe_prev = prev
    else:
        pq.tqh_last = prev
    if prev is not None:
        prev.tqe_next = nxt
    else:
        pq.tqh_first = nxt
    m.tqe_next = m.tqe_prev = None
