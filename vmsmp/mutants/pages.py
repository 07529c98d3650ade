"""Guard removals of the page layer: race sites 3.5 to 3.10 of the facts.

Each entry says which invariant must fall and which scenario shows it; none of the scenarios was
written for a mutant.  Letters follow the facts where one site has several natural mutants.
"""

from __future__ import annotations

from vmsmp.mutants.patch import Mutant

_BUSY = "vmsmp.vm.vm_page"
_PAGE = "vmsmp.vm.vm_page"
_QUEUES = "vmsmp.vm.vm_page"
_ALLOC = "vmsmp.vm.vm_page"
_FREE = "vmsmp.vm.vm_page"
_LOOKUP = "vmsmp.vm.vm_page"
_HASH = "vmsmp.vm.vm_page"
_METER = "vmsmp.vm.vm_meter"
_WAIT = "vmsmp.vm.vm_page"
_PAGEOUT = "vmsmp.vm.vm_pageout"

BUSY = (
    Mutant(
        "BZ-01",
        f"{_BUSY}:vm_page_busy_try",
        "taken, busy_count = m.busy_count.fcmpset(busy_count, busy_count | PBUSY_LOCKED)",
        "taken = m.busy_count.setbits(PBUSY_LOCKED) >= 0",
        "INV-PB1",
        "two CPUs pass the test before either sets LOCKED",
        "busy_storm",
    ),
    Mutant(
        "BZ-02",
        f"{_BUSY}:vm_page_busy_try",
        "taken, busy_count = m.busy_count.fcmpset(busy_count, busy_count | PBUSY_LOCKED)",
        """
        busy_count = m.busy_count.setbits(PBUSY_LOCKED)
        taken = not busy_count & PBUSY_LOCKED
        """,
        "INV-PB2",
        "a soft busy comes between the test and LOCKED, and the owner frees a page that somebody reads",
        "read_against_free",
    ),
    Mutant(
        "BZ-03",
        f"{_BUSY}:vm_page_busy_wait",
        "m.vm.machine.tsleep_interlock(m)",
        "pass",
        "INV-SL3",
        "the wakeup comes between WANTED and the sleep",
        "busy_handoff",
        also=((f"{_BUSY}:_sleep_on", "m.vm.machine.tsleep(m, PINTERLOCKED,", "m.vm.machine.tsleep(m, 0,"),),
    ),
    Mutant(
        "BZ-05",
        f"{_BUSY}:vm_page_sbusy_try",
        "taken, busy_count = m.busy_count.fcmpset(busy_count, busy_count + 1)",
        """
        busy_count = m.busy_count.fetchadd(1)
        taken = not busy_count & PBUSY_LOCKED
        if not taken:
            m.busy_count.fetchadd(-1)
        """,
        "INV-PB2",
        "an owner sees a soft busy that is being taken back",
        "busy_storm",
    ),
    Mutant(
        "BZ-06",
        f"{_BUSY}:vm_page_sbusy_drop",
        "if busy_count - 1 == PBUSY_WANTED:",
        "if False:",
        "INV-SL3",
        "the last reader leaves, and who waits for the page alone sleeps on",
        "busy_soft_against_hard",
    ),
    Mutant(
        "BZ-07",
        f"{_BUSY}:vm_page_sbusy_drop",
        """
        m.busy_count.clearbits(PBUSY_WANTED)
        m.vm.machine.wakeup(m)
        """,
        """
        m.vm.machine.wakeup(m)
        m.busy_count.clearbits(PBUSY_WANTED)
        """,
        "INV-SL3",
        "a woken CPU sets WANTED again before it is cleared, and the next wakeup does not see it",
        "busy_soft_against_hard",
    ),
    Mutant(
        "BZ-10",
        f"{_ALLOC}:vm_page_grab",
        """
        vm_page_sleep_busy(m, True, "vmpgrb")
        continue
        """,
        """
        vm_page_busy_wait(m, True, "vmpgrb")
        break
        """,
        "INV-H1",
        "the page was freed and reused while its finder slept on it",
        "object_comes_and_goes",
    ),
    Mutant(
        "BZ-14",
        f"{_BUSY}:vm_page_flag_set",
        "m.flags.setbits(bits)",
        "m.flags.store(m.flags.load() | bits)",
        "INV-PB7",
        "a flag set by another CPU between the load and the store is lost",
        "page_storm",
    ),
    Mutant(
        "BZ-16",
        f"{_LOOKUP}:vm_page_lookup_busy_wait",
        "(also_m_busy and busy_count)",
        "(also_m_busy and busy_count & 0x1FFFFFFF)",
        "INV-PB6",
        "a page comes back hard-busied while its content is still on its way from swap",
        "lookup_during_swapin",
    ),
)

HOLD_AND_WIRE = (
    Mutant(
        "HW-02",
        f"{_PAGE}:vm_page_unhold",
        "if m.hold_count.load() == 0 and m.queue - m.pc == m.vm.page.PQ_HOLD:",
        "if True:",
        "INV-AL1",
        "the sweeper has sent the page on and a CPU has allocated it, and it goes to the free queue again",
        "hold_against_free",
    ),
    Mutant(
        "HW-03",
        f"{_PAGE}:vm_page_unhold",
        "last = m.hold_count.fetchadd(-1) == 1",
        """
        held = m.hold_count.load() - 1
        m.hold_count.store(held)
        last = held == 0
        """,
        "INV-HW1",
        "two holders leave and one of their decrements is lost",
        "holds_and_frees",
    ),
    Mutant(
        "HW-05",
        f"{_PAGEOUT}:vm_pageout_free_hold",
        "if m.hold_count.load() == 0 and vm_page_spin_trylock(m):",
        "if False:",
        "INV-Q6",
        "a page that a free under way left on a hold queue stays there for ever",
        "holds_and_frees",
    ),
    Mutant(
        "HW-07",
        f"{_PAGE}:vm_page_wire",
        "if first:",
        "if True:",
        "INV-V2",
        "every wiring counts, not the first of a page alone",
        "wire_against_free",
    ),
    Mutant(
        "HW-08",
        f"{_PAGE}:vm_page_unwire_quick",
        """
        if wire_count == 1:
            return True
        """,
        "pass",
        "INV-HW2",
        "two quick unwirings go to zero without the busy, and the page is on no queue",
        "wire_against_free",
    ),
)

QUEUES = (
    Mutant(
        "QU-01",
        f"{_QUEUES}:_probe",
        "if vm_page_spin_trylock(m):",
        "if vm_page_spin_lock(m) is None:",
        "INV-DL",
        "the search waits for a page's spinlock with the queue's in hand, against the order",
        "alloc_storm_one_colour",
    ),
    Mutant(
        "QU-02",
        f"{_QUEUES}:vm_page_and_queue_spin_lock",
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
        f"{_QUEUES}:_vm_page_rem_queue_spinlocked",
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
        f"{_QUEUES}:_vm_page_rem_queue_spinlocked",
        "    TAILQ_REMOVE(pq, m)\n",
        "    pq.spin.release()\n    TAILQ_REMOVE(pq, m)\n    pq.spin.acquire()\n",
        "INV-Q1",
        "the list changes under a CPU that holds its lock",
        "alloc_storm_one_colour",
    ),
    Mutant(
        "QU-06",
        f"{_QUEUES}:_probe",
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
        "QU-11",
        f"{_PAGEOUT}:_scan",
        "if m is not marker.tqe_next:",
        "if False:",
        "INV-Q1",
        "the page has gone to another queue, and the marker is spliced into that one's list",
        "queues_against_sweeper",
    ),
    Mutant(
        "QU-12",
        f"{_PAGEOUT}:_scan",
        "if m.flags.load() & PG_MARKER or vm_page_busy_try(m, True):",
        "if vm_page_busy_try(m, True):",
        "INV-Q3",
        "a scan takes the marker of another for a page",
        "two_sweepers",
    ),
)

ALLOCATION = (
    Mutant(
        "AL-03",
        f"{_ALLOC}:vm_page_select_free_or_cache",
        "if _cache_usable(m):",
        "if True:",
        "INV-D2",
        "a cached page that was looked up, wired or written to meanwhile is reused",
        "cache_against_hold",
        also=((f"{_ALLOC}:vm_page_select_cache", "if _cache_usable(m):", "if True:"),),
    ),
    Mutant(
        "AL-05",
        f"{_ALLOC}:vm_page_alloc",
        """
        if base != vm.page.PQ_CACHE:
            break
        """,
        """
        if base != vm.page.PQ_CACHE or m.object is None:
            break
        if vm_object_hold_try(m.object):
            from vmsmp.vm.vm_page.residency import vm_page_remove

            was = m.object
            vm_page_remove(m)
            vm_object_drop(was)
            break
        """,
        "INV-V3",
        "a cached page serves the request at once, and the gate is not asked again",
        "cache_against_hold",
    ),
    Mutant(
        "AL-06",
        f"{_ALLOC}:vm_page_alloc",
        "vmstats_rollup(vm)  # the view said there were pages",
        "pass",
        "INV-PG1",
        "the CPU's view says there are pages, others have taken them, and it looks for ever",
        "alloc_storm_many_colours",
    ),
    Mutant(
        "AL-09",
        f"{_ALLOC}:vm_page_grab",
        "    vm_object_upgrade(obj)\n",
        "    pass\n",
        "INV-O3",
        "two CPUs that hold the object shared put a page at one index",
        "grab_the_same_page",
        also=(
            (f"{_ALLOC}:vm_page_alloc", "ASSERT_OBJECT_HELD_EXCL(obj)", "pass"),
            (f"{_PAGE}:vm_page_insert", "ASSERT_OBJECT_HELD_EXCL(obj)", "pass"),
        ),
    ),
    Mutant(
        "AL-10",
        f"{_PAGE}:vm_page_insert",
        """
        m.object = None
        m.pindex = 0
        """,
        "pass",
        "INV-O1",
        "a page that lost the race for an index still says it is the object's",
        "grab_the_same_page",
    ),
    Mutant(
        "AL-18",
        f"{_FREE}:vm_page_cache",
        "if m.dirty or m.flags.load() & PG_NEED_COMMIT:",
        "if False:",
        "INV-Q7",
        "what a process wrote just before it was unmapped is cached as clean, and lost",
        "free_against_map",
    ),
    Mutant(
        "AL-19",
        f"{_FREE}:vm_page_try_to_free",
        """
        vm_page_protect(m, 0)
        if m.dirty or m.flags.load() & PG_NEED_COMMIT:
            vm_page_wakeup(m)
            return False
        """,
        "vm_page_protect(m, 0)",
        "INV-D2",
        "what a process wrote just before it was unmapped is thrown away",
        "free_against_map",
    ),
    Mutant(
        "AL-20",
        f"{_FREE}:vm_page_try_to_free",
        "or base in (vm.page.PQ_FREE, vm.page.PQ_HOLD)",
        "or False",
        "INV-AL1",
        "a page that was freed meanwhile is freed again",
        "kernel_pages",
    ),
    Mutant(
        "AL-21",
        f"{_ALLOC}:vm_page_grab",
        "request |= VM_ALLOC_NULL_OK",
        "request |= 0",
        "INV-PG1",
        "another CPU made the page during the upgrade, and the kernel stops",
        "grab_the_same_page",
    ),
    Mutant(
        "AL-23",
        f"{_ALLOC}:vm_page_alloczwq",
        """
        vm_page_wire(m)
        vm_page_wakeup(m)
        """,
        """
        vm_page_wakeup(m)
        vm_page_busy_wait(m, False)
        vm_page_wire(m)
        vm_page_wakeup(m)
        """,
        "INV-AL1",
        "a page on no queue, in no object and not yet wired is freed by who comes across it",
        "kernel_pages",
    ),
    Mutant(
        "AL-25",
        f"{_PAGE}:vm_page_rename",
        "        vm_page_deactivate(m)\n",
        "        pass\n",
        "INV-Q7",
        "a cached page becomes dirty",
        "lookup_against_rename",
    ),
    Mutant(
        "AL-26",
        f"{_ALLOC}:_gate_open",
        "if free >= vm.meter.limits.v_free_reserved:",
        "if free > 0:",
        "INV-V3",
        "ordinary requests drain the reserve",
        "alloc_into_the_reserve",
    ),
    Mutant(
        "AL-27",
        f"{_PAGE}:vm_page_remove",
        "vm_object_hold(obj)",
        """
        from vmsmp.vm.vm_object.hold import vm_object_hold_shared

        vm_object_hold_shared(obj)
        """,
        "INV-O2",
        "two CPUs that hold the object shared count its pages down at once",
        "object_comes_and_goes",
    ),
)

LOOKUP = (
    Mutant(
        "HL-01",
        f"{_HASH}:vm_page_hash_get",
        "if m.object is obj and m.pindex == pindex:",
        "if True:",
        "INV-H1",
        "the page becomes another object's between the guess and the soft busy",
        "hash_against_remove",
    ),
    Mutant(
        "HL-02",
        f"{_HASH}:vm_page_hash_get",
        "    vm_page_sbusy_drop(m)\n",
        "    pass\n",
        "INV-PB2",
        "a wrong guess keeps its soft busy",
        "hash_against_rename",
    ),
    Mutant(
        "HL-04",
        f"{_HASH}:vm_page_hash_get",
        'if m is None or m.hint("object") is not obj or m.hint("pindex") != pindex:',
        "if m is None:",
        "INV-H1",
        "half of one entry and half of another name a page of somebody else",
        "hash_against_rename",
        also=((f"{_HASH}:vm_page_hash_get", "if m.object is obj and m.pindex == pindex:", "if True:"),),
    ),
    Mutant(
        "HL-06",
        f"{_LOOKUP}:vm_page_lookup_busy_wait",
        """
        machine.tsleep(m, PINTERLOCKED, wmesg, overdue=partial(_busy_overdue, m, also_m_busy))
        m = obj.rb_memq.get(pindex)
        """,
        "machine.tsleep(m, PINTERLOCKED, wmesg, overdue=partial(_busy_overdue, m, also_m_busy))",
        "INV-H1",
        "the page became another object's while its finder slept on it",
        "lookup_against_rename",
    ),
    Mutant(
        "HL-07",
        f"{_LOOKUP}:vm_page_lookup_sbusy_try",
        """
        if not vm_page_is_valid(m, pgoff, pgbytes) or m.flags.load() & PG_FICTITIOUS:
            vm_page_sbusy_drop(m)
            return None
        """,
        "pass",
        "INV-PB6",
        "the page is invalidated between the test and the soft busy",
        "lookup_against_invalidate",
    ),
)

STATS_AND_WAITING = (
    Mutant(
        "VS-02",
        f"{_METER}:vmstats_rollup",
        "copy = getattr(gd.gd_vmstats_adj, count).swap(0)",
        """
        delta = getattr(gd.gd_vmstats_adj, count)
        copy = delta.load()
        delta.store(0)
        """,
        "INV-V1",
        "what the other CPU counts between the load and the store is lost",
        "stats_rollup",
    ),
    Mutant(
        "VS-03",
        f"{_METER}:vmstats_rem",
        "if left < -vm.meter.adj_limit and vm_paging_start(vm, -vm.meter.adj_limit * vm.ncpus):",
        "if False:",
        "INV-V4",
        "a CPU keeps to itself how much it took, and the pagedaemon sleeps on",
        "alloc_storm_many_colours",
    ),
    Mutant(
        "VS-07",
        f"{_WAIT}:vm_page_free_wakeup",
        """
        vm.pageout.vm_pages_waiting.store(0)
        vm.machine.wakeup(V_FREE_COUNT)
        """,
        """
        vm.machine.wakeup(V_FREE_COUNT)
        vm.pageout.vm_pages_waiting.store(0)
        """,
        "INV-PG1",
        "who begins to wait after the wakeup is forgotten, and the next free wakes nobody",
        "wait_for_a_free",
    ),
)

PAGE_MUTANTS = (*BUSY, *HOLD_AND_WIRE, *QUEUES, *ALLOCATION, *LOOKUP, *STATS_AND_WAITING)
