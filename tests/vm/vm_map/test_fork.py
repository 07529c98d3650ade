"""Copying an address space: what is shared, copied on write, or left out, and what is locked meanwhile."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from vmsmp.check.vm.pmap import mapped
from vmsmp.scenarios._kit import contents, run_in
from vmsmp.scenarios._kit import touch as touches
from vmsmp.vm import vm_map as v
from vmsmp.vm.pmap import pmap_enter, pmap_maybethreaded
from vmsmp.vm.vm_map import (
    MAP_ENTRY_COW,
    MAP_ENTRY_NEEDS_COPY,
    UKSMAPOP_ADD,
    VM_INHERIT_COPY,
    VM_INHERIT_NONE,
    VM_INHERIT_SHARE,
    VM_MAPTYPE_UKSMAP,
    VM_PROT_READ,
    VM_PROT_RW,
    VM_PROT_WRITE,
)
from vmsmp.vm.vm_meter import Lwp
from vmsmp.vm.vm_object import OBJ_ONEMAPPING, vm_object_drop, vm_object_hold
from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    VM_ALLOC_NORMAL,
    VM_ALLOC_RETRY,
    VM_ALLOC_ZERO,
    vm_page_grab,
    vm_page_wakeup,
)

SPACE = 1 << 30
BASE = 0x100000
BOTH = MAP_ENTRY_COW | MAP_ENTRY_NEEDS_COPY


def at(page):
    return BASE + page * PAGE_SIZE


def space(vm, pages=2, **what):
    """An address space with anonymous pages from `BASE` on."""
    vmspace = v.vmspace_alloc(vm, 0, SPACE)
    mapping = v.Mapping(**{"prot": VM_PROT_RW, "max": 7, **what})
    v.vm_map_find(vmspace.vm_map, BASE, pages * PAGE_SIZE, PAGE_SIZE, False, mapping)
    return vmspace


def touch(vmspace, page, prot=VM_PROT_RW):
    """Have a page of the first object mapped as a fault does."""
    found = v.vm_map_lookup(vmspace.vm_map, at(page), prot)
    obj = found.ba.object
    vm_object_hold(obj)
    m = vm_page_grab(obj, found.pindex, VM_ALLOC_NORMAL | VM_ALLOC_RETRY | VM_ALLOC_ZERO)
    pmap_enter(vmspace.vm_pmap, at(page), m, found.prot, False, found.entry)
    vm_page_wakeup(m)
    vm_object_drop(obj)
    v.vm_map_lookup_done(found.map, found.entry, None)


def store(vmspace):
    """Store to the first page as a process does in whose faults nobody helps; whether that was allowed."""
    vm = vmspace.vm
    vm.mmu.trap = None
    run_in(vm, vmspace)
    return touches(vm.machine.curcpu.store, at(0), 1)


def inherit(vmspace, value, pages=2):
    v.vm_map_inherit(vmspace.vm_map, BASE, at(pages), value)


def entries(vmspace):
    return [*vmspace.vm_map.peek("rb_root")]


def first(vmspace):
    return entries(vmspace)[0]


def fork(vmspace):
    return v.vmspace_fork(vmspace, None, None)


# -- the address space ----------------------------------------------------------------------------


def test_a_copy_has_one_reference_the_bounds_and_figures_of_the_original_and_no_lock(alone):
    def program(vm):
        old = space(vm)
        old.vm_daddr, old.vm_ssize = 0x5000, 3
        new = fork(old)
        map = new.vm_map
        return (
            (new.peek("vm_refcnt"), new.peek("vm_holdcnt"), new.vm_daddr, new.vm_ssize, map.max_addr),
            (map.peek("size"), map.peek("nentries"), map.pmap is new.vm_pmap),
            (map.token.held(), old.vm_map.token.held(), map.lock.holders, old.vm_map.lock.holders),
        )

    figures, sizes, locks = alone(program)
    assert (1, 1, 0x5000, 3, SPACE) == figures
    assert (2 * PAGE_SIZE, 1, True) == sizes
    assert (False, False, [], []) == locks


def test_a_copy_s_version_starts_at_1_and_it_is_locked_once(alone):
    assert 2 == alone(lambda vm: fork(space(vm)).vm_map.peek("timestamp"))


def test_the_locks_are_taken_from_the_old_map_to_the_new_one_and_released_the_other_way(steps):
    rows = [
        row.split()[:2]
        for row in steps(lambda vm: [space(vm)], fork)
        if row.split()[0] in ("acquire", "request", "release") and ("vm_map" in row)
    ]
    old, new = "vmspace[0].vm_map.vm_map", "vmspace[448].vm_map.vm_map"
    taken = [name for verb, name in rows if verb != "release"]
    given = [name for verb, name in rows if verb == "release"]
    assert [old, f"{old}lk"] == taken[:2]
    assert [f"{new}lk", f"{old}lk", new, old] == given[-4:]


def test_a_map_with_a_submap_is_not_copied(panic):
    def program(vm):
        old = space(vm)
        v.vm_map_submap(old.vm_map, BASE, at(2), v.vm_map_init(vm, BASE, at(2), old.vm_pmap, "inner"))
        fork(old)

    assert "vm_map_fork: encountered a submap" == panic(program)


# -- entries of objects ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "cloned"), [(VM_INHERIT_SHARE, True), (VM_INHERIT_COPY, True), (VM_INHERIT_NONE, False)]
)
def test_an_entry_is_inherited_as_it_says(alone, value, cloned):
    def program(vm):
        old = space(vm)
        touch(old, 0)
        inherit(old, value)
        return len(entries(fork(old)))

    assert cloned == alone(program, check=False)


def test_a_shared_entry_without_an_object_gets_one_first(alone):
    def program(vm):
        old = space(vm)
        inherit(old, VM_INHERIT_SHARE)
        new = fork(old)
        obj = first(old).ba.peek("object")
        return obj is first(new).ba.peek("object"), obj.peek("ref_count"), first(old).peek("eflags")

    assert (True, 2, 0) == alone(program)


def test_a_shared_entry_that_needs_a_copy_gets_an_object_of_its_own_first(alone):
    def program(vm):
        old = space(vm)
        touch(old, 0)
        source = first(old).ba.peek("object")
        child = fork(old)
        inherit(old, VM_INHERIT_SHARE)
        new = fork(old)
        head = first(old).ba.peek("object")
        chains = [[ba.peek("object") for ba in first(space).chain()] for space in (old, new, child)]
        return (
            chains == [[head, source], [head, source], [source]],
            head is not source,
            (first(old).peek("eflags"), first(new).peek("eflags")),
            (head.peek("ref_count"), source.peek("ref_count")),
        )

    assert (True, True, (MAP_ENTRY_COW, MAP_ENTRY_COW), (2, 3)) == alone(program)


def test_a_copied_entry_shares_its_object_until_one_of_them_writes(alone):
    def program(vm):
        old = space(vm)
        touch(old, 0)
        obj = first(old).ba.peek("object")
        new = fork(old)
        shared = first(new).ba.peek("object") is obj, obj.peek("ref_count")
        flags = first(old).peek("eflags"), first(new).peek("eflags")
        one = bool(obj.peek("flags") & OBJ_ONEMAPPING)
        touch(old, 1)
        touch(new, 1)
        heads = {first(space).ba.peek("object").name for space in (old, new)}
        return shared, flags, one, len(heads - {obj.name})

    assert ((True, 2), (BOTH, BOTH), False, 2) == alone(program, pages=16)


def test_a_copied_entry_without_an_object_is_copied_as_nothing(alone):
    def program(vm):
        old = space(vm)
        new = fork(old)
        return [
            (e.ba.peek("object"), e.ba.peek("offset"), e.peek("eflags")) for e in (first(old), first(new))
        ]

    assert [(None, 0, 0)] * 2 == alone(program)


def test_what_is_mapped_writeable_is_made_read_only(alone):
    def program(vm):
        old = space(vm)
        touch(old, 0)
        before = store(old)
        fork(old)
        return before, store(old), len([*mapped(old.vm_pmap)])

    assert (True, False, 1) == alone(program)


def test_what_needs_a_copy_already_is_not_protected_again(steps):
    def prepare(vm):
        old = space(vm)
        touch(old, 0)
        fork(old)
        touch(old, 0, VM_PROT_READ)
        return [old]

    rows = steps(prepare, fork, pages=24)
    assert [] == [row for row in rows if ".pm_invgen" in row]


def test_a_copy_has_the_flags_of_its_original_and_no_wirings(alone):
    def program(vm):
        old = space(vm)
        inherit(old, VM_INHERIT_SHARE)
        v.vm_map_madvise(old.vm_map, BASE, at(2), v.MADV_NOSYNC)
        v.vm_map_user_wiring(old.vm_map, BASE, at(2), False)
        new = first(fork(old))
        return v.eflags_format(new.peek("eflags")), new.peek("wired_count"), new.peek("inheritance")

    assert ("NOSYNC", 0, VM_INHERIT_SHARE) == alone(program)


def test_every_element_of_a_chain_is_copied_and_referenced(alone):
    def program(vm):
        old = space(vm)
        touch(old, 0)
        child = fork(old)
        touch(old, 1)
        new = fork(old)
        chain, copied = first(old).chain(), first(new).chain()
        same = [a.peek("object") is b.peek("object") for a, b in zip(chain, copied, strict=True)]
        own = not {ba.name for ba in chain} & {ba.name for ba in copied}
        objects = [ba.peek("object") for ba in chain]
        refs = [obj.peek("ref_count") for obj in objects]
        for vmspace in (old, child, new):
            v.vmspace_rel(vmspace)
        return same, own, refs, [obj.freed for obj in objects]

    assert ([True, True], True, [2, 3], [True, True]) == alone(program)


def test_more_entries_than_a_cpu_keeps_ready_are_copied(alone):
    def program(vm):
        old = space(vm, 12)
        for page in range(1, 12, 2):
            v.vm_map_protect(old.vm_map, at(page), at(page + 1), VM_PROT_READ, False)
        return len(entries(fork(old)))

    assert 12 == alone(program, map_entry_cache=(6, 6))


def collapsible(vm, limit):
    """A space and its copy, whose entry has a chain of two objects; forks ask for that limit."""
    vm.map.map_backing_limit = limit
    parent = space(vm)
    touch(parent, 0)
    touch(parent, 1)
    child = fork(parent)
    touch(child, 0)
    return parent, child


@pytest.mark.parametrize(("limit", "depth"), [(1, 1), (2, 2)])
def test_a_chain_is_cut_at_the_limit(alone, limit, depth):
    def program(vm):
        _, child = collapsible(vm, limit)
        before = len(first(child).chain())
        new = fork(child)
        pages = sorted(first(child).ba.peek("object").peek("rb_memq"))
        return before, len(first(child).chain()), len(first(new).chain()), pages

    assert (2, depth, depth, [0, 1] if depth == 1 else [0]) == alone(program, pages=16)


@pytest.mark.parametrize(("switch", "depth"), [(1, 1), (0, 2)])
def test_a_chain_is_cut_whose_first_object_has_all_pages_unless_that_is_not_asked(alone, switch, depth):
    def program(vm):
        vm.map.map_backing_shadow_test = switch
        _, child = collapsible(vm, 5)
        touch(child, 1)
        fork(child)
        return len(first(child).chain())

    assert depth == alone(program, pages=16)


def test_an_entry_that_nobody_inherits_has_its_chain_cut_nevertheless(alone):
    def program(vm):
        _, child = collapsible(vm, 1)
        inherit(child, VM_INHERIT_NONE)
        return len(entries(fork(child))), len(first(child).chain())

    assert (0, 1) == alone(program, pages=24, check=False)


def test_the_pages_of_a_wired_entry_are_copied_and_stay_writeable(alone):
    def program(vm):
        old = space(vm, max=VM_PROT_RW)
        v.vm_map_user_wiring(old.vm_map, BASE, at(2), False)
        source = first(old).ba.peek("object")
        vm.memory.store(source.peek("rb_memq")[1].phys, 0, 7)
        new = fork(old)
        copy = first(new).ba.peek("object")
        return (
            copy is not source,
            [contents(copy.peek("rb_memq")[n]) for n in (0, 1)],
            (first(old).peek("eflags"), first(new).peek("eflags"), first(new).peek("wired_count")),
            (store(old), store(new)),
        )

    own, held, flags, stored = alone(program, pages=24)
    assert (True, [0, 7]) == (own, held)
    assert (v.MAP_ENTRY_USER_WIRED, 0, 0) == flags
    assert (True, True) == stored


# -- devices --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("minor", "tid", "shown"), [(5, 0, ["p2"]), (6, 0, [None]), (7, 0, ["lp2"]), (7, 1, []), (9, 0, [None])]
)
def test_a_device_s_entry_is_the_new_process_s_or_the_new_thread_s(alone, minor, tid, shown):
    def program(vm):
        told = []
        old = space(
            vm,
            maptype=VM_MAPTYPE_UKSMAP,
            object=lambda ba, op, *_: told.append((op, ba.peek("aux_info"))),
            aux=SimpleNamespace(minor=minor),
        )
        p2 = SimpleNamespace(name="p2")
        lp2 = Lwp(p2, tid)
        new = v.vmspace_fork(old, p2, lp2)
        infos = [entry.ba.peek("aux_info") for entry in entries(new)]
        names = ["p2" if info is p2 else "lp2" if info is lp2 else info for info in infos]
        return names, told[1:] == [(UKSMAPOP_ADD, info) for info in infos]

    assert (shown, True) == alone(program, check=False)


def test_a_thread_s_device_is_not_copied_without_a_thread(alone):
    def program(vm):
        dev = SimpleNamespace(minor=7)
        old = space(vm, maptype=VM_MAPTYPE_UKSMAP, object=lambda *_: None, aux=dev)
        return len(entries(fork(old)))

    assert 0 == alone(program, check=False)


# -- several at once ------------------------------------------------------------------------------


@pytest.mark.ci
def test_a_store_of_the_parent_comes_before_the_fork_or_faults(together):
    def program(vm):
        old = space(vm, 1)
        touch(old, 0)
        pmap_maybethreaded(old.vm_pmap)
        told = {}

        def parent():
            told["stored"] = store(old)

        def forker():
            told["new"] = fork(old)
            vm.machine.check(not store(old), "what was copied is read-only")

        vm.machine.spawn(parent)
        vm.machine.spawn(forker)
        vm.machine.join()
        found = v.vm_map_lookup(told["new"].vm_map, at(0), VM_PROT_WRITE)
        vm.machine.check(found.wflags == v.FW_DIDCOW, "the child copies what it writes")
        shared = contents(found.ba.backing_ba.peek("object").peek("rb_memq")[0])
        vm.machine.check(shared == told["stored"], "a store that was allowed is in both")
        v.vm_map_lookup_done(found.map, found.entry, None)
        for vmspace in (old, told["new"]):
            v.vmspace_rel(vmspace)

    together(program)
