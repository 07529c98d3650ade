"""Removals in address spaces, and in the ranges that they map, that change nothing."""

from __future__ import annotations

from typing import Final

from vmsmp.patches.equivalent.entry import Equivalent

_STACK = "vm.vm_map.stack._Growth"
_LOOKUP = "vm.vm_map.lookup._Lookup"
_FRONT = "vm.vm_map.shadow._put_in_front"
_INSERT = "vm.vm_map.insert"
_FIND = "vm.vm_map.find"
_FORK = "vm.vm_map.fork"
_SPACE = "vm.vm_map.vmspace"
_EXEC = "vm.vm_map.exec"
_CALLS = "vm.vm_mmap"
_HEAP = "vm.vm_unix"

_HIT = "what is hit is an entry"
_EXCLUSIVE = "a lock that is exclusive already needs no upgrade"
_LOCKED = "the map is locked: nobody sees what is between"
_OWN = "only the thread itself sees what it has found so far"
_NEW = "nobody else knows it yet"
_AHEAD = "pages are entered as they are touched, none ahead"
_EARLIER = "a search may begin earlier than it must"
_FORGOTTEN = "which of the hints is forgotten is anybody's guess"
_BLOCK = "the kernel may block there, and need not; a token is taken next, which is a place to block as well"
_CHAIN = "an entry with objects behind its own has one"
_TABLES = "what is taken out of the map is taken out of its tables, too, and a copy has nothing in them yet"
_BETWEEN = "nothing that others see is between"
_WIRED = "the map is locked while an entry is counted"
_NOBODY = "at most somebody is woken who does not wait for it"
_SUPPLY = "a CPU has its list to itself, and asks of it only whether it is empty, which it is not"
_MAPPED = "what the map has of an object refers to it, too, and the map is locked"
_LISTS = "each of the tree's lists is changed alone, and nobody looks at it meanwhile"
_SLOWLY = "who is not found at once is looked for everywhere"
_HOST = "a lock of the host, for the free engine"
_REPAIRED = "the repair of the finding there, which is on, does the same"
_TOLD = "what was just mapped can be told what a child gets of it"
_CALLER = "the caller keeps others from looking at the process"

EQUIVALENTS: Final = (
    # -- stacks ----------------------------------------------------------------------------------
    Equivalent(
        f"{_STACK}.attempt-never", "grow_amount & ADDRESS_MASK > ", "a stack and its room are whole pages"
    ),
    Equivalent(f"{_STACK}.attempt-term1", "avail < 1 or", "no address is in the room of what has none"),
    Equivalent(f"{_STACK}.attempt-term2", "avail < 1 or", "an entry behind the address begins behind it"),
    Equivalent(f"{_STACK}.attempt-never", "if self._use_read_lock:", _EXCLUSIVE),
    Equivalent(f"{_STACK}._upgrade-always", "", _EXCLUSIVE),
    Equivalent(f"{_STACK}._upgrade-gone", "", "who begins anew may lock the map shared and upgrade again"),
    Equivalent(
        "vm.kern_plimit.setrlimit_stack-never", "before == limit", "in a range of no bytes is no entry"
    ),
    Equivalent(
        "vm.kern_plimit.setrlimit_stack-edge1", "limit > before", "that it is another limit was asked"
    ),
    # -- lookups ---------------------------------------------------------------------------------
    Equivalent(f"{_LOOKUP}.attempt-term2", "not hit or", _HIT),
    Equivalent(f"{_LOOKUP}.done-term2", "entry is None", "what is found is an entry"),
    Equivalent(
        f"{_LOOKUP}.attempt-gone", "self.use_read_lock = True", "a submap is met before anything is upgraded"
    ),
    Equivalent(f"{_LOOKUP}.attempt-swap", "vm_map_unlock(map)", _OWN),
    Equivalent(f"{_LOOKUP}.attempt-swap", "self.prot = entry.max_protection", _OWN),
    Equivalent(f"{_LOOKUP}._prepare-swap", "vm_map_entry_shadow(entry)", _OWN),
    Equivalent(f"{_LOOKUP}._upgrade-always", "", _EXCLUSIVE),
    Equivalent(
        f"{_LOOKUP}._partition-term1",
        "map is vm.map.kernel_map",
        "the kernel's map is a system map, whose entries get no objects here",
    ),
    Equivalent(
        f"{_LOOKUP}._partition-term2",
        "VM_MAP_ENTRY_WITHIN_PARTITION",
        "what is within a partition is not cut, at worst after a wait",
    ),
    Equivalent(
        "vm.vm_map.shadow._is_shared-term1",
        "OBJT_VNODE",
        "a file is not anonymous memory, which is asked for as well",
    ),
    Equivalent(f"{_FRONT}-gone", "pause_tokens", _BLOCK),
    Equivalent(f"{_FRONT}-gone", "pg_color", "a colour is a hint where to look for pages first"),
    *(
        Equivalent(f"{_FRONT}-swap", text, _LOCKED)
        for text in ("vm_map_backing_detach(", "entry.ba.", "pg_color", "vm_map_backing_attach(")
    ),
    Equivalent(f"{_FRONT}-swap", "vm_object_hold_shared(source)", "flags of an object change by themselves"),
    # -- mapping, and where there is room --------------------------------------------------------
    Equivalent(f"{_INSERT}.vm_map_insert-*", "COWF_PREFAULT | COWF_PREFAULT_PARTIAL", _AHEAD),
    Equivalent(f"{_INSERT}.vm_map_insert-gone", "_prefault(", _AHEAD),
    Equivalent(f"{_INSERT}._prefault-*", "if obj is not None and", _AHEAD),
    Equivalent(
        f"{_INSERT}.vm_map_insert-swap",
        "vm_map_backing_adjust_end(prev, end)",
        "entries that could be joined may stay apart",
    ),
    *(
        Equivalent(f"{_INSERT}.vm_map_insert-swap", text, _LOCKED)
        for text in ("vm_object_lock_swap(", "vm_map_backing_replicated(", "vm_map_entry_link(")
    ),
    Equivalent(f"{_INSERT}._fill-gone", "ba.pmap", "it is said again as the chain becomes the entry's"),
    Equivalent(f"{_INSERT}._fill-gone", "ba.flags", "a hint"),
    Equivalent(
        f"{_FIND}.vm_map_findspace-never", "start > map.max_addr", "what begins there ends behind the map"
    ),
    Equivalent(f"{_FIND}.vm_map_findspace-term2", "hit and", _HIT),
    Equivalent(f"{_FIND}.vm_map_findspace-term3", "aligned < start", "a map ends before the last address"),
    Equivalent(
        f"{_FIND}.vm_map_findspace-term[12]",
        "map is vm.map.kernel_map and",
        "a process has no address behind the kernel's tables, and tables that are there are not made again",
    ),
    Equivalent(f"{_FIND}._is_whole-always", "", "a ghost: what checkers are told"),
    Equivalent(f"{_FIND}._aligned-always", "align & align - 1", "the long way does the same"),
    Equivalent(f"{_FIND}.vm_map_freehint_update-never", "", _EARLIER),
    Equivalent(f"{_FIND}.vm_map_freehint_hole-term1", "hint.length <= length", _EARLIER),
    Equivalent(f"{_FIND}.vm_map_freehint_update-swap", "hint.start = start", _LOCKED),
    Equivalent(f"{_FIND}.vm_map_freehint_update-swap", "hints[", _FORGOTTEN),
    Equivalent(f"{_FIND}.vm_map_freehint_update-gone", "map.freehint_newindex = ", _FORGOTTEN),
    Equivalent(f"{_FIND}.vm_map_find-swap", "vm_object_drop(obj)", "both are let go, whichever is first"),
    # -- forks -----------------------------------------------------------------------------------
    Equivalent(
        f"{_FORK}.vmspace_fork_normal_entry-term1",
        "entry.ba.backing_ba is not None and",
        "what has nothing behind it has nothing to let go of, and may be copied early",
    ),
    *(
        Equivalent(f"{_FORK}.{function}-swap", text, _LOCKED)
        for function in ("vmspace_fork_*_entry", "_share_entry")
        for text in ("vm_map_backing_replicated(",)
    ),
    Equivalent(f"{_FORK}.vmspace_fork_normal_entry-swap", "vm_map_entry_link(", _LOCKED),
    Equivalent(f"{_FORK}._may_collapse-term2", "obj is None", _CHAIN),
    Equivalent(f"{_FORK}._collapse-never", "entry.ba.object is None", _CHAIN),
    Equivalent(f"{_FORK}._collapse-gone", "vm_map_entry_allocate_object(", _CHAIN),
    Equivalent(f"{_FORK}._collapse-swap", "entry.ba.backing_", _LOCKED),
    Equivalent(
        f"{_FORK}.vm_map_copy_entry-always", "dst.ba.object is not None", "what is wired has an object"
    ),
    Equivalent(
        f"{_FORK}.vm_map_copy_entry-gone", "dst.ba.object = None", "the object of the copy takes its place"
    ),
    *(
        Equivalent(f"{_FORK}.vm_map_copy_entry-swap", text, _LOCKED)
        for text in ("dst.ba.object = None", "dst.ba.backing_ba = None", "src.eflags |= ")
    ),
    Equivalent(
        f"{_FORK}.vm_map_copy_entry-always",
        "not src.eflags & MAP_ENTRY_NEEDS_COPY",
        "what needs a copy already is mapped read-only already",
    ),
    Equivalent(
        f"{_FORK}.vm_map_copy_entry-gone", "dst.ba.offset = 0", "an offset in no object means nothing"
    ),
    Equivalent(
        f"{_FORK}.vmspace_fork_uksmap_entry-term4",
        "shown is None",
        "what shows a thread was mapped by one",
    ),
    # -- address spaces --------------------------------------------------------------------------
    Equivalent(f"{_SPACE}.Vmspaces.*-open", "with self.spin:", _BETWEEN),
    Equivalent(f"{_SPACE}.Vmspaces.get-open", "with vm.making:", "only observers are told"),
    Equivalent(f"{_SPACE}.Vmspaces.get-gone", ".name = ", "only what is shown"),
    Equivalent(f"{_SPACE}.vmspace_alloc-gone", "pause_tokens", _BLOCK),
    Equivalent(f"{_SPACE}.vmspace_alloc-gone", "vm_flags = 0", "memory that is used anew is a new record"),
    *(
        Equivalent(f"{_SPACE}.vmspace_alloc-swap", text, _NEW)
        for text in ("vmspace_hold(", "pmap_pinit(", "vmspace.vm_map.pmap = ")
    ),
    Equivalent(
        f"{_SPACE}.vmspace_drop_notoken-term2", "if last and", "the last hold goes after the last reference"
    ),
    Equivalent(f"{_SPACE}.vmspace_exitfree-swap", "p.publish(", "nobody finds the process any more"),
    Equivalent(f"{_SPACE}.vmspace_terminate-swap", "map.token.release()", "nobody has it any more"),
    Equivalent(
        f"{_SPACE}._terminate_first-always",
        "wired_count.load()",
        "the order matters to what is wired only",
    ),
    Equivalent(f"{_SPACE}._terminate_first-gone", "pmap_remove_pages(", _TABLES),
    Equivalent(f"{_SPACE}._terminate_first-swap", "pmap_remove_pages(", _TABLES),
    Equivalent(f"{_SPACE}._terminate_finally-swap", "vm_map_entry_release(", _BETWEEN),
    Equivalent(f"{_EXEC}.exec_new_vmspace-gone", "pmap_remove_pages(", _TABLES),
    Equivalent(f"{_EXEC}.exec_new_vmspace-swap", "pmap_remove_pages(", _TABLES),
    Equivalent(f"{_EXEC}.exec_new_vmspace-swap", "vmspace.vm_ssize = ", _CALLER),
    Equivalent(f"{_EXEC}.vmspace_*-swap", "pmap_replacevm(", _CALLER),
    Equivalent(f"{_EXEC}.vmspace_*-swap", "old.vm_map.token.release()", _CALLER),
    Equivalent(f"{_EXEC}.vmspace_unshare-swap", "new.vm_map.token.acquire()", _CALLER),
    # -- advice, and interlocks ------------------------------------------------------------------
    Equivalent("vm.vm_map.madvise.vm_map_madvise-term2", "modify and entry", _HIT),
    Equivalent(
        "vm.vm_map.madvise._advise-term2", "while entry", "an entry behind the range has nothing of it"
    ),
    Equivalent("vm.vm_map.madvise._advise-term1", "delta > 0 and", "an entry of the range has some of it"),
    Equivalent("vm.vm_map.madvise._advise-always", "elif delta > 0", "an entry of the range has some of it"),
    *(
        Equivalent("vm.vm_map.madvise._invalidate-swap", text, "only who invalidates has an interlock here")
        for text in ("vm_map_interlock(", "pmap_remove(")
    ),
    Equivalent("vm.vm_map.interlock.vm_map_ilock-open", "with vm.making:", "only observers are told"),
    Equivalent("vm.vm_map.interlock.vm_map_interlock-gone", "il.flags = 0", _NOBODY),
    Equivalent("vm.vm_map.interlock.vm_map_deinterlock-always", "ILOCK_WAITING", _NOBODY),
    Equivalent(
        "vm.vm_map.interlock.vm_map_deinterlock-term1", "scan is not None and", "an interlock is on its list"
    ),
    Equivalent("vm.vm_map.interlock.vm_map_deinterlock-swap", "il.map = None", "nobody looks at it any more"),
    # -- locked memory, and submaps --------------------------------------------------------------
    Equivalent(
        "vm.vm_map.wiring._own_object-never",
        "entry.maptype != VM_MAPTYPE_NORMAL",
        "what a device shows is not copied, and has its function",
    ),
    Equivalent("vm.vm_map.wiring._user_wire-swap", "", _WIRED),
    Equivalent("vm.vm_map.wiring._take_back-swap", "entry.eflags &= ", _WIRED),
    Equivalent("vm.vm_map.wiring._user_unwire-swap", "entry.eflags &= ", _WIRED),
    Equivalent(
        "vm.vm_mmap.sys_mlockall-term2", "not error and", "who asks for nothing else has asked for that"
    ),
    Equivalent("vm.vm_mmap.sys_munlockall-swap", "entry.eflags &= ", _WIRED),
    Equivalent("vm.vm_map.submap.vm_map_submap-always", "elif entry is not None", _HIT),
    Equivalent(
        "vm.vm_map.submap.vm_map_submap-term2", "exact and not", "what is copied on write has an object"
    ),
    Equivalent("vm.vm_map.submap.vm_map_submap-swap", "entry.ba.object = submap", _LOCKED),
    # -- system calls ----------------------------------------------------------------------------
    Equivalent(f"{_CALLS}._mmap-term1", "% _SEG_SIZE", "who says where it is to be needs no alignment"),
    Equivalent(f"{_CALLS}._mmap-edge1", "% _SEG_SIZE", "sixteen segments are whole ones, too"),
    Equivalent(f"{_CALLS}._mmap-gone", "vm_map_remove(", _REPAIRED),
    Equivalent(f"{_CALLS}._mmap-never", "if obj is None", _REPAIRED),
    Equivalent(f"{_CALLS}._find-never", "rv != KERN_SUCCESS", _TOLD),
    Equivalent(f"{_CALLS}._find-gone", "vm_map_remove(", _TOLD),
    Equivalent(f"{_CALLS}.sys_munmap-never", "> VM_MAX_USER_ADDRESS", "nothing is mapped there"),
    Equivalent(f"{_CALLS}.*-edge[12]", "> ADDRESS_MASK", "no page ends at the last address but one"),
    Equivalent(
        f"{_CALLS}.sys_mincore-swap", "map.token.acquire()", "the token is lost while the lock is waited for"
    ),
    Equivalent(
        f"{_CALLS}._Mincore.attempt-term2",
        "current.ba.start < self.end",
        "an entry behind the range has nothing of it",
    ),
    Equivalent(
        f"{_CALLS}._Mincore.attempt-edge1",
        "current.ba.start < self.end",
        "an entry behind the range has nothing of it",
    ),
    Equivalent(f"{_HEAP}._sbrk-term[13]", "incr < 0 or", _REPAIRED),
    Equivalent(f"{_HEAP}._sbrk-edge1", "incr < 0 or", "nothing was asked for is said before"),
    Equivalent(f"{_HEAP}._sbrk-gone", "vmspace.vm_dsize = max(", _REPAIRED),
    # -- ranges that are written back ------------------------------------------------------------
    Equivalent("vm.vm_map.clean.vm_map_clean-term2", "not hit or", _HIT),
    Equivalent(
        "vm.vm_map.clean.vm_map_clean-swap",
        "map.token.release()",
        "nobody waits for both, and no release sleeps",
    ),
    Equivalent(
        "vm.vm_map.clean._clean-edge1",
        'tobj.hint("size") <',
        "what ends where the object does is not cut by that",
    ),
    Equivalent("vm.vm_map.clean._clean-always", "tobj is not obj", "what is behind is another object"),
    Equivalent(
        "vm.vm_map.clean._clean_object-term2",
        "and write and",
        "that what may not be written to now is left dirty is a finding of its own, and nobody relies on it",
    ),
    Equivalent("vm.vm_map.clean._clean_object-swap", "vn_unlock(vp)", _MAPPED),
    Equivalent("vm.vm_map.clean._forget-swap", "", _MAPPED),
    # -- entries kept ready ----------------------------------------------------------------------
    Equivalent("vm.vm_map.supply.vm_map_entry_reserve-swap", "", _SUPPLY),
    Equivalent("vm.vm_map.supply.vm_map_entry_release-swap", "gd.gd_vme_base -= 1", _SUPPLY),
    Equivalent("vm.vm_map.supply.*-open", "vm.making", _HOST),
    Equivalent("vm.vm_map.supply.return_entry-swap", "", _SUPPLY),
    Equivalent(
        "vm.vm_map.mapentzone.mapentzone_refill-edge2", "made > 1", "a page has more entries than a CPU lacks"
    ),
    Equivalent("vm.vm_map.mapentzone.mapentzone_refill-swap", "gd.gd_vme_base += 1", _SUPPLY),
    Equivalent(
        "vm.vm_map.mapentzone.mapentzone_refill-swap",
        "vm_object_reference_locked(obj)",
        "the kernel's object does not go",
    ),
    # -- ranges that are removed -----------------------------------------------------------------
    Equivalent(
        "vm.vm_map.delete.vm_map_entry_unwire-gone", "entry.", "the entry goes before the map is unlocked"
    ),
    Equivalent("vm.vm_map.transition.vm_map_clip_range-term2", "not hit or", _HIT),
    # -- the tree of entries ---------------------------------------------------------------------
    *(
        Equivalent(f"vm.vm_map.tree.EntryTree.insert-{how}", "> LONGEST", "it only says how fast a search is")
        for how in ("never", "always", "edge1")
    ),
    *(
        Equivalent(f"vm.vm_map.tree.EntryTree.{function}-swap", "", _LISTS)
        for function in ("insert", "remove")
    ),
    *(
        Equivalent(f"vm.vm_map.tree.EntryTree._place-{how}", "if which >= 0", _SLOWLY)
        for how in ("never", "always", "edge1")
    ),
    Equivalent("vm.vm_map.tree.EntryTree._place-never", "is entry", _SLOWLY),
)
