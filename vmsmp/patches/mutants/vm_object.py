"""Mutants of the memory objects (sys/vm/vm_object.c).

Guards whose removal changes nothing, or cannot be expressed:
  * OB-21 in terminations and removals: they ask a page that they have busied whether it is still theirs.
  * OB-03 "unreferenced": an object that is dead has no references, for termination panics if it has any.
  * OB-04: who tries to hold an object has a page of it busied, and termination waits for that page.
  * OB-07: who finds the count at 1 has the only reference, so nobody changes it between the tests.
  * OB-10: the guard is an assertion on callers, and those that keep the rules never meet it.
  * PC-12: whoever removes pages has the object's token from the first test of a page to the second, and a
    page leaves its object under that token only.
  * BL-09: an object that grows over a part of itself has one reference, so nobody else grows it meanwhile.
"""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Mutant

_MODULE = "vmsmp.vm.vm_object"

MUTANTS = (
    Mutant(
        "OB-03",
        f"{_MODULE}:vm_object_drop",
        "if _last_hold(obj) and _is_dead(obj):",
        "if _last_hold(obj) and not obj.ref_count.load():",
        "INV-O5",
        "the object of a file that nobody maps is freed when it is let go of",
        "file_that_comes_back",
    ),
    Mutant(
        "OB-06",
        f"{_MODULE}:vm_object_deallocate",
        """
        vp = obj.hint("handle")
        dropped, count = obj.ref_count.fcmpset(count, count - 1)
        if dropped:
            obj.gave(REF)
        """,
        """
        dropped, count = obj.ref_count.fcmpset(count, count - 1)
        if dropped:
            obj.gave(REF)
            vp = obj.hint("handle")
        """,
        "INV-UAF",
        "the last references go meanwhile, the vnode is reclaimed, and its object is gone",
        "file_of_many_mappings",
    ),
    Mutant(
        "OB-11",
        f"{_MODULE}:vm_object_reference_locked",
        "obj.ref_count.fetchadd(1)",
        "obj.ref_count.store(obj.ref_count.load() + 1)",
        "INV-PB7",
        "two shared holders of the token add the same reference",
        "references_storm",
    ),
    Mutant(
        "OB-12a",
        f"{_MODULE}:vm_object_terminate",
        """
        vm_object_set_flag(obj, OBJ_DEAD)
        vm_object_pip_wait(obj, "objtrm1")
        """,
        """
        vm_object_pip_wait(obj, "objtrm1")
        vm_object_set_flag(obj, OBJ_DEAD)
        """,
        "INV-O6",
        "the token is lost while activity is waited for, and the object is found by its handle, alive",
        "device_against_last_reference",
    ),
    Mutant(
        "OB-12c",
        f"{_MODULE}:vm_object_terminate",
        "while pages.failed:",
        "while False:",
        "INV-O5",
        "a page that was busy when termination came by is not looked at again, and stays in the dead object",
        "cached_page_of_held_object",
        also=(Edit(f"{_MODULE}:vm_object_terminate", "while obj.rb_memq:", "while False:"),),
    ),
    Mutant(
        "OB-20",
        f"{_MODULE}:_vm_object_allocate",
        "obj.type = objt",
        """
        bucket = vm_object_hash(obj.vm.objects, obj)
        bucket.token.acquire()
        bucket.changing("list")[obj.code] = obj
        obj.object_entry = bucket
        bucket.token.release()
        obj.raw_type = objt
        """,
        "INV-O8",
        "who walks the list of all objects finds one that has no size yet",
        "listed_objects_are_whole",
        also=(
            Edit(f"{_MODULE}:_vm_object_allocate", "obj.size = size", 'obj.publish("size", size)'),
            Edit(f"{_MODULE}:_vm_object_allocate", "obj.handle = None", "pass"),
            Edit(
                f"{_MODULE}:_vm_object_allocate",
                """
                vm_object_hold(obj)
                bucket = vm_object_hash(obj.vm.objects, obj)
                bucket.token.acquire()
                bucket.changing("list")[obj.code] = obj
                obj.object_entry = bucket
                bucket.token.release()
                """,
                "vm_object_hold(obj)",
            ),
        ),
    ),
    Mutant(
        "OB-21",
        f"{_MODULE}:_Cleaning.vm_object_page_clean_pass2",
        "if vm_page_busy_try(m, True):",
        """
        vm.pause_tokens("lwkt_user_yield")
        if vm_page_busy_try(m, True):
        """,
        "INV-O1",
        "the token is lost before the page is busied, and pages come and go meanwhile",
        "sync_leaves_late_pages",
        mended_by=("sync-tolerates-invalidation",),
    ),
    Mutant(
        "PC-01",
        f"{_MODULE}:_Cleaning.vm_object_page_clean_pass2",
        "if not m.flags.load() & PG_CLEANCHK:",
        "if False:",
        "INV-D3",
        "a sync goes on with pages that came after it began",
        "sync_leaves_late_pages",
    ),
    Mutant(
        "PC-03",
        f"{_MODULE}:vm_object_page_clean",
        """
        vm_object_clear_flag(obj, OBJ_WRITEABLE | OBJ_MIGHTBEDIRTY)
        vclrobjdirty(vp)
        """,
        "marked = True",
        "INV-O9",
        "a page that was passed is written to again while the flags are still set, and then they are cleared",
        "sync_against_writers",
        also=(
            Edit(f"{_MODULE}:vm_object_page_clean", "vp = obj.handle", "vp, marked = obj.handle, False"),
            Edit(
                f"{_MODULE}:vm_object_page_clean",
                "vm_object_clear_flag(obj, OBJ_CLEANING)",
                """
                if marked:
                    vm_object_clear_flag(obj, OBJ_WRITEABLE | OBJ_MIGHTBEDIRTY)
                    vclrobjdirty(vp)
                vm_object_clear_flag(obj, OBJ_CLEANING)
                """,
            ),
        ),
    ),
    Mutant(
        "PC-04",
        f"{_MODULE}:vm_object_page_clean",
        "if not pages.failed and obj.generation.load() == curgeneration:",
        "if True:",
        "INV-D3",
        "a sync returns although it has slept on a page that it then did not look at again",
        "sync_meets_busy_pages",
    ),
    Mutant(
        "PC-05",
        f"{_MODULE}:_Cleaning.vm_object_page_clean_pass2",
        """
        vm_page_sleep_busy(m, True, "vpcwai")
        self.failed = True
        return
        """,
        "return",
        "INV-D3",
        "a sync passes over a page that somebody has busied",
        "sync_meets_busy_pages",
    ),
    Mutant(
        "PC-07",
        f"{_MODULE}:_neighbour",
        "tp, busy = vm_page_lookup_busy_try(obj, index, True)",
        "tp, busy = obj.rb_memq.get(index), False",
        "INV-PB1",
        "pages around the one that is written are written with it, whoever has them",
        "sync_against_writers",
    ),
    Mutant(
        "PC-13",
        f"{_MODULE}:_Removal._remove",
        "if m.wire_count.load():",
        "if False:",
        "INV-HW2",
        "a page is freed that is wired",
        "truncation_against_wiring",
    ),
    Mutant(
        "PC-14",
        f"{_MODULE}:_Removal._remove",
        """
        vm_page_protect(m, VM_PROT_NONE)
        if self.clean_only and m.valid and _is_dirty(m):
            vm_page_wakeup(m)
            return
        vm_page_free(m)
        """,
        """
        vm_page_protect(m, VM_PROT_NONE)
        vm_page_free(m)
        """,
        "INV-D2",
        "a process stores to a clean page before that is unmapped, and the page goes as a clean one",
        "removal_spares_what_is_stored",
    ),
    Mutant(
        "PC-15",
        f"{_MODULE}:vm_object_page_remove",
        "while pages.failed:",
        "while False:",
        "INV-D3",
        "a page that was busy when the removal came by is left",
        "truncation_against_lookups",
    ),
    Mutant(
        "PC-16",
        f"{_MODULE}:vm_object_madvise",
        "vm_object_hold(obj)",
        """
        vm_object_hold(obj)
        if advise == MADV_FREE and (obj.type not in ANONYMOUS or not obj.flags.load() & OBJ_ONEMAPPING):
            vm_object_drop(obj)
            return
        """,
        "INV-D2",
        "memory is shared while a busy page of it is waited for, and discarded nevertheless",
        "useless_against_fork",
        also=(
            Edit(
                f"{_MODULE}:_advise",
                "(obj.type not in ANONYMOUS or not obj.flags.load() & OBJ_ONEMAPPING)",
                "False",
            ),
        ),
    ),
    Mutant(
        "BL-01",
        f"{_MODULE}:vm_object_backing_insert",
        """
        obj.backing_lk.acquire()
        obj.changing("backing_list").append(ba)
        obj.backing_lk.release()
        """,
        'obj.changing("backing_list").append(ba)',
        "INV-O8",
        "two backings join the list at the same time, or one joins it while it is walked",
        "removal_against_unmapping",
    ),
    Mutant(
        "BL-06",
        f"{_MODULE}:_remove_mappings",
        "for ba in obj.backing_list:",
        """
        for ba in [*obj.backing_list]:
            obj.backing_lk.release()
            obj.backing_lk.acquire()
        """,
        "INV-UAF",
        "an element leaves the list and is freed while those before it are walked",
        "removal_against_unmapping",
    ),
    Mutant(
        "BL-07",
        f"{_MODULE}:vm_object_coalesce",
        "if obj.ref_count.load() > 1 and obj.size != next_pindex:",
        "if False:",
        "INV-D2",
        "an object grows over a range that somebody else uses",
        "growing_against_others",
    ),
    Mutant(
        "BL-08",
        f"{_MODULE}:vm_object_coalesce",
        "if next_pindex < obj.size:",
        "if False:",
        "INV-D1",
        "pages that were left behind the object's end reappear when it grows",
        "growing_over_stale_pages",
    ),
    Mutant(
        "OB-31a",
        f"{_MODULE}.madvise:_discard",
        "swap_pager_freespace(obj, index, 1)",
        "pass",
        "INV-UM2",
        "what a page of no use held comes back from swap",
        "object_of_owners",
    ),
    Mutant(
        "OB-31b",
        f"{_MODULE}:vm_object_page_remove",
        "last = end - 1 if end else _LAST",
        "last = end if end else _LAST",
        "INV-D2",
        "the page behind a range is removed with it",
        "object_of_owners",
    ),
)
