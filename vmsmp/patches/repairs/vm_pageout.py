"""Repairs of the pageout daemon's scans (sys/vm/vm_pageout.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Repair

REPAIRS = (
    Repair(
        "pageout-frees-orphans",
        "vmsmp.vm.vm_pageout:_launder",
        "if m.object is None or m.object.flags.bits(OBJ_DEAD):",
        """
        if m.object is None:
            vm_page_protect(m, VM_PROT_NONE)
            vm_page_free(m)
            return 1
        if m.object.flags.bits(OBJ_DEAD):
        """,
        "a dirty page that nobody can ever want again is freed",
    ),
    Repair(
        "aging-asks-for-an-object",
        "vmsmp.vm.vm_pageout.scan:_decline",
        'm.vm.panic("vm_pageout_scan_active: page fault: the page is in no object")',
        "return pageout.vm_filemem_decline",
        "a page that is in no object ages as one of a file does",
    ),
    Repair(
        "pageout-asks-for-the-vnode",
        "vmsmp.vm.vm_pageout:_launder_file",
        """
        if vp is None:
            vm.panic("vget: page fault: the object has lost its vnode")
        """,
        """
        if vp is None:
            vm_page_unhold(m)
            return None
        """,
        "the page of a file that has lost its vnode is left",
    ),
    Repair(
        "pageout-asks-first",
        "vmsmp.vm.vm_pageout:_launder_file",
        """
        vm_page_hold(m)
        vm_page_wakeup(m)
        """,
        """
        might_be_dirty = bool(obj.flags.load() & OBJ_MIGHTBEDIRTY)
        vm_page_hold(m)
        vm_page_wakeup(m)
        """,
        "whether a page that is left counts is asked while the page is busied",
        also=(
            Edit(
                "vmsmp.vm.vm_pageout:_launder_file",
                """
                vm.pageout.pageout_lock_miss += 1
                _skip(obj)
                """,
                """
                vm.pageout.pageout_lock_miss += 1
                vm.pageout.vnodes_skipped += might_be_dirty
                """,
            ),
        ),
    ),
    Repair(
        "flush-zeroes-the-rest",
        "vmsmp.vm.vm_pageout:vm_pageout_flush",
        'vm.panic("vm_pageout_flush: partially invalid page")',
        """
        from vmsmp.vm.vm_page.validity import vm_page_zero_invalid

        vm_page_zero_invalid(m)
        """,
        "what is not valid of a page is zeroed before it is written out",
    ),
    Repair(
        "failed-write-is-remembered",
        "vmsmp.vm.vm_pageout.flush:vm_pageout_flush",
        "if result != VM_PAGER_PEND:",
        """
        if result not in (VM_PAGER_OK, VM_PAGER_PEND, VM_PAGER_BAD):
            from vmsmp.vm.vm_object.flags import vm_object_set_writeable_dirty

            vm_object_set_writeable_dirty(obj)
        if result != VM_PAGER_PEND:
        """,
        "the object of a page that could not be written may be dirty",
    ),
    Repair(
        "activity-has-a-maximum",
        "vmsmp.vm.vm_pageout.page:_activate_used",
        'm.publish("act_count", m.hint("act_count") + ACT_ADVANCE + used & 0xFF)',
        """
        from vmsmp.vm.vm_page.flags import ACT_MAX

        m.publish("act_count", min(m.hint("act_count") + ACT_ADVANCE + used, ACT_MAX))
        """,
        "the activity of a page that was used keeps within its limit",
    ),
    Repair(
        "daemon-knows-what-is-asked-for",
        "vmsmp.vm.vm_pageout.vmdaemon:vm_daemon_turn",
        "swapout_procs(daemon.swapper, daemon.vm_pageout_req_swapout.load())",
        "swapout_procs(daemon.swapper, req_swapout)",
        "what was taken out of the word is what is done",
    ),
    Repair(
        "vmdaemon-interlocks",
        "vmsmp.vm.vm_pageout.vmdaemon:vm_daemon",
        'daemon.swapper.vm.machine.tsleep(daemon.vm_daemon_needed, 0, "psleep", 0)',
        """
        from vmsmp.sync.errno import PINTERLOCKED

        machine = daemon.swapper.vm.machine
        machine.tsleep_interlock(daemon.vm_daemon_needed)
        if not daemon.vm_pageout_req_swapout.load() and not daemon.stopped.load():
            machine.tsleep(daemon.vm_daemon_needed, PINTERLOCKED, "psleep", 0)
        """,
        "the daemon announces its sleep, and then looks whether something is asked for",
    ),
    Repair(
        "intervals-are-those-of-a-colour",
        "vmsmp.vm.vm_pageout.stats:vm_pageout_page_stats",
        "stats.fullintervalcount += stats.interval",
        """
        if q == 0:
            stats.fullintervalcount += stats.interval
        """,
        "the seconds are counted once for all colours",
        also=(
            Edit(
                "vmsmp.vm.vm_pageout.stats:vm_pageout_page_stats",
                "stats.fullintervalcount = 0",
                """
                if q == vm.page.l2_size - 1:
                    stats.fullintervalcount = 0
                """,
            ),
        ),
    ),
    Repair(
        "sweep-passes-held-pages",
        "vmsmp.vm.vm_pageout.scan:vm_pageout_scan_hold",
        """
        if m is None or m.hold_count.load():
        """,
        """
        while m is not None and m.hold_count.load():
            m = m.tqe_next
        if m is None:
        """,
        "the sweep looks for the first page of the queue that nobody holds",
    ),
    Repair(
        "killer-passes-the-killed",
        "vmsmp.vm.vm_pageout.killer:vm_pageout_scan_callback",
        "if killer.bigsize < size:",
        "if killer.bigsize < size and not p.p_flags.load() & P_LOWMEMKILL:",
        "a process that was killed for its memory is not chosen again",
    ),
)
