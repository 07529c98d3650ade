"""Threads that remove ranges, or have them in transition: what is left, of pages, objects and entries."""

from vmsmp import scenario
from vmsmp.scenarios._kit import end_of_file, file_object, mappings
from vmsmp.scenarios.vm_map._ranges import ANON, at, map_at, map_somewhere, new_map, over, touch, unmap_all
from vmsmp.scenarios.vm_map.cuts import Changing, bounds, entry_at, shared
from vmsmp.vm.vm_map import (
    KERN_SUCCESS,
    MAP_CLIP_NO_HOLES,
    MAP_ENTRY_IN_TRANSITION,
    MAP_ENTRY_NEEDS_WAKEUP,
    VM_PROT_RW,
    vm_map_clip_range,
    vm_map_remove,
    vm_map_unclip_range,
    vm_map_user_wiring,
)
from vmsmp.vm.vm_object import (
    OBJ_NOSPLIT,
    OBJ_ONEMAPPING,
    OBJPC_SYNC,
    vm_object_allocate,
    vm_object_deallocate,
    vm_object_reference_quick,
)
from vmsmp.vm.vm_page import PAGE_SIZE, vm_page_busy_wait, vm_page_dirty
from vmsmp.vm.vm_pageout import vm_pageout_flush


def kept(obj):
    """Which pages of an object are in memory; looking invisibly."""
    return [*obj.peek("rb_memq")]


@scenario(cpus=1, tags={"map", "delete"}, pages=None)
def removals_alone(m):
    """A thread removes ranges of all kinds: what is mapped there is gone, and what nobody else can have."""
    vm = m.boot(pages=14, l2_size=1)
    space = new_map(vm, 16)
    map_at(space, 0, 1, ANON._replace(id=11))

    def remove(page, pages):
        m.check(over(vm_map_remove, space, page, pages) == KERN_SUCCESS, "anything can be removed")
        m.check(not space.lock.holders and not space.token.holders, "then nothing is locked")
        return bounds(space)[1:]

    def put(page, pages, obj, offset=0):
        """Map an object's pages there, and touch all."""
        vm_object_reference_quick(obj)
        map_at(space, page, pages, ANON._replace(object=obj, offset=offset * PAGE_SIZE))
        for n in range(page, page + pages):
            touch(space, n, VM_PROT_RW)

    def memory():
        map_at(space, 2, 4)
        for page in range(2, 6):
            touch(space, page, VM_PROT_RW)
        obj = entry_at(space, at(2)).ba.raw_object
        m.check(remove(6, 3) == remove(7, 2) == [(2, 6)], "where nothing is nothing is removed")
        m.check(remove(3, 1) == [(2, 3), (4, 6)] and kept(obj) == [0, 2, 3], "a page may be removed")
        m.check(obj.peek("size") == 4, "the rest is what it was")
        m.check(remove(5, 4) == [(2, 3), (4, 5)] and kept(obj) == [0, 2], "or all from somewhere on")
        m.check(obj.peek("size") == 3, "then the object has no more")
        m.check(remove(1, 2) == [(4, 5)] and not obj.freed, "it is there while anything of it is")
        m.check(remove(0, 16) == [] and obj.freed, "and not longer")

    def others():
        """Pages that somebody else may have stay, and so do those of an object that is to be whole."""
        obj = vm_object_allocate(vm, 4)
        put(2, 2, obj)
        for flags, left in (0, [0, 1]), (OBJ_ONEMAPPING | OBJ_NOSPLIT, [0, 1]), (OBJ_ONEMAPPING, [0]):
            obj.flags.clearbits(OBJ_ONEMAPPING | OBJ_NOSPLIT)
            obj.flags.setbits(flags)
            m.check(remove(3, 1) == [(2, 3)] and kept(obj) == left, "what others may have is left")
            put(3, 1, obj, 1)
        m.check((shared(obj), obj.peek("size")) == ((3, 2), 4), "and who maps it is known")
        obj.flags.clearbits(OBJ_ONEMAPPING)
        remove(2, 2)
        m.check(
            kept(obj) == [0, 1] and not any(map(mappings, obj.peek("rb_memq").values())), "but not mapped"
        )
        vm_object_deallocate(obj)

    def swapped():
        """What has been written to swap is gone from there as well."""
        obj = vm_object_allocate(vm, 2)
        put(2, 2, obj)
        for page in [*obj.peek("rb_memq").values()]:
            vm_page_busy_wait(page, True)
            vm_page_dirty(page)
            vm_pageout_flush([page], OBJPC_SYNC)
        obj.flags.setbits(OBJ_ONEMAPPING)
        remove(3, 1)
        m.check([*obj.peek("swblock_root")] == [0] and kept(obj) == [0], "swap of what is removed is free")
        remove(2, 1)
        vm_object_deallocate(obj)

    def files():
        vp, obj = file_object(vm, 2, range(2))
        put(2, 2, obj)
        refs = obj.peek("ref_count")
        m.check(remove(2, 1) == [(3, 4)] and kept(obj) == [0, 1], "a file keeps its pages")
        told = [mappings(page) for page in obj.peek("rb_memq").values()]
        m.check(told == [0, 1] and obj.peek("ref_count") == refs, "which are mapped where they still are")
        remove(3, 1)
        vm_object_deallocate(obj)
        end_of_file(vp)

    def wired():
        map_at(space, 2, 3)
        over(vm_map_user_wiring, space, 2, 3, False)
        pages = [*entry_at(space, at(2)).ba.raw_object.peek("rb_memq").values()]
        m.check([page.peek("wire_count") for page in pages] == [1, 1, 1], "what is locked is wired")
        remove(2, 2)
        m.check([page.peek("wire_count") for page in pages] == [0, 0, 1], "what is removed is not")

    def holes():
        map_at(space, 2, 3)
        map_at(space, 6, 3, ANON._replace(id=12))
        map_at(space, 10, 6, ANON._replace(id=13))
        m.check(map_somewhere(space, 4)[0] != KERN_SUCCESS, "there is no room for four pages")
        m.check(remove(5, 3) == [(2, 5), (8, 9), (10, 16)], "a hole is made larger")
        m.check(remove(8, 1) and map_somewhere(space, 5) == (KERN_SUCCESS, at(5)), "and has room")

    def thread():
        part = (memory, others, swapped, files, wired, holes)[m.choose(6)]
        part()
        unmap_all(m, space)

    m.spawn(thread)
    m.join()


@scenario(cpus=1, tags={"map", "transition"}, pages=None)
def transitions_alone(m):
    """A thread has ranges in transition, with holes or without: just these, and as before when it is over."""
    vm = m.boot(pages=8, l2_size=1)
    space = new_map(vm)
    map_at(space, 0, 1, ANON._replace(id=11))
    map_at(space, 2, 4)
    map_at(space, 6, 2, ANON._replace(id=12))
    map_at(space, 9, 2)
    whole = bounds(space)

    def in_transition():
        marked = [entry for entry in space.raw_rb_root if entry.raw_eflags & MAP_ENTRY_IN_TRANSITION]
        ends = [(entry.ba.raw_start, entry.ba.raw_end) for entry in marked]
        return [((start - at(0)) // PAGE_SIZE, (end - at(0)) // PAGE_SIZE) for start, end in ends]

    def thread():
        with Changing(space, 8) as change:

            def begin(page, pages, flags=MAP_CLIP_NO_HOLES):
                return vm_map_clip_range(space, at(page), at(page + pages), change.count, flags)

            def end(first, page, pages, flags=MAP_CLIP_NO_HOLES):
                vm_map_unclip_range(space, first, at(page), at(page + pages), change.count, flags)
                waited = any(one.raw_eflags & MAP_ENTRY_NEEDS_WAKEUP for one in space.raw_rb_root)
                m.check(not in_transition() and bounds(space) == whole, "then all is as it was")
                m.check(not waited and not space.transitions, "and nobody is waited for")

            for page, pages in ((1, 1), (8, 1), (7, 2), (10, 2), (3, 8)):
                m.check(begin(page, pages) is None, "what has a hole is left alone")
                m.check(not in_transition() and bounds(space) == whole, "and as it was")
            first = begin(3, 1)
            m.check(first is entry_at(space, at(3)) and in_transition() == [(3, 4)], "a part of an entry")
            second = begin(5, 2)
            m.check(in_transition() == [(3, 4), (5, 6), (6, 7)], "and parts of two")
            second.eflags |= MAP_ENTRY_NEEDS_WAKEUP
            vm_map_unclip_range(space, second, at(5), at(7), change.count, MAP_CLIP_NO_HOLES)
            m.check(in_transition() == [(3, 4)], "one may end before the other")
            end(first, 3, 1)
            first = begin(7, 3, 0)
            m.check(in_transition() == [(7, 8), (9, 10)], "holes may be passed over")
            end(first, 7, 3, 0)
            first = begin(9, 5, 0)
            m.check(in_transition() == [(9, 11)], "wherever they are")
            end(first, 9, 5, 0)
            m.check(begin(1, 2, 0) is None, "but not the first page")
        unmap_all(m, space)

    m.spawn(thread)
    m.join()
