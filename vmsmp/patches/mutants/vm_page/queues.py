"""Mutants of the page queues."""

from __future__ import annotations

from vmsmp.patches.patch import Mutant

_MODULE = "vmsmp.vm.vm_page"

MUTANTS = (
    Mutant(
        "QU-01",
        f"{_MODULE}:_probe",
        "if vm_page_spin_trylock(m):",
        "if m.spin.acquire() is None:",
        "INV-DL",
        "the search waits for a page's spinlock while it holds the queue's, against the order",
        "alloc_storm_one_colour",
    ),
    Mutant(
        "QU-02",
        f"{_MODULE}:vm_page_and_queue_spin_lock",
        """
        vm_page_spin_lock(m)
        _vm_page_queue_spin_lock(m)
        """,
        """
        queue = m.hint("queue")
        vm_page_spin_lock(m)
        if queue:
            m.vm.page.vm_page_queues[queue].spin.acquire()
        """,
        "INV-Q1",
        "the page has moved, and the lock of a queue that it is not on is taken",
        "queues_against_sweeper",
    ),
    Mutant(
        "QU-03",
        f"{_MODULE}:_vm_page_rem_queue_spinlocked",
        """
        m.queue = PQ_NONE
        base: int = pq.base
        pq.spin.release()
        """,
        """
        base: int = pq.base
        pq.spin.release()
        m.queue = PQ_NONE
        """,
        "INV-Q4",
        "the page says it is on a queue whose lock is free and whose list does not have it",
        "alloc_storm_one_colour",
    ),
    Mutant(
        "QU-05",
        f"{_MODULE}:_vm_page_rem_queue_spinlocked",
        "    TAILQ_REMOVE(pq, m)\n",
        "    pq.spin.release()\n    TAILQ_REMOVE(pq, m)\n    pq.spin.acquire()\n",
        "INV-Q1",
        "the list changes under a CPU that holds its lock",
        "alloc_storm_one_colour",
    ),
    Mutant(
        "QU-06",
        f"{_MODULE}:_probe",
        """
        if pq.hint("tqh_first") is None:
            return None
        pq.spin.acquire()
        m: VmPage | None = pq.tqh_first
        """,
        """
        m = pq.hint("tqh_first")
        if m is None:
            return None
        pq.spin.acquire()
        """,
        "INV-Q1",
        "the head that was read without the lock has left the queue",
        "alloc_storm_one_colour",
    ),
    Mutant(
        "QU-31a",
        f"{_MODULE}:vm_page_soft_activate",
        "_raise_act_count(m)",
        "pass",
        "INV-Q9",
        "a page that is used has no more credit than one that is not",
        "pages_of_owners",
    ),
    Mutant(
        "QU-31b",
        f"{_MODULE}:vm_page_try_to_free",
        "or m.hold_count.load()",
        "or False",
        "INV-HW1",
        "a page that somebody holds is freed as one that nobody uses",
        "pages_of_owners",
    ),
)
