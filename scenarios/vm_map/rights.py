"""A thread alone that asks for rights and inheritance of ranges, and what the map says of each then."""

from vmsmp import scenario
from vmsmp.scenarios.vm_map._ranges import ANON, at, map_at, new_map, over, store, touch, unmap_all
from vmsmp.vm.vm_kern import kmem_suballoc
from vmsmp.vm.vm_map import (
    COWF_COPY_ON_WRITE,
    KERN_INVALID_ARGUMENT,
    KERN_PROTECTION_FAILURE,
    KERN_SUCCESS,
    VM_INHERIT_COPY,
    VM_INHERIT_NONE,
    VM_INHERIT_SHARE,
    VM_PROT_ALL,
    VM_PROT_NONE,
    VM_PROT_READ,
    VM_PROT_RW,
    VM_PROT_WRITE,
    vm_map_check_protection,
    vm_map_inherit,
    vm_map_lock_read,
    vm_map_protect,
    vm_map_unlock,
)
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_deallocate, vm_object_reference_quick
from vmsmp.vm.vm_page import PAGE_SIZE


def said(map, what):
    """The entries behind the first: from which page to which, and what each says; looking invisibly."""
    bounds = [(entry.ba.raw_start, entry.ba.raw_end, what(entry)) for entry in map.raw_rb_root][1:]
    return [((start - at(0)) // PAGE_SIZE, (end - at(0)) // PAGE_SIZE, told) for start, end, told in bounds]


def rights(map):
    return said(map, lambda entry: entry.raw_protection)


def limits(map):
    return said(map, lambda entry: (entry.raw_protection, entry.peek("max_protection")))


def heritage(map):
    return said(map, lambda entry: entry.raw_inheritance)


@scenario(cpus=1, tags={"map", "protect"}, pages=None)
def rights_alone(m):
    """A thread changes the rights of ranges: of all that is mapped there, if of anything, and no more."""
    vm = m.boot(pages=14, l2_size=1)
    space = new_map(vm, 24)
    before = map_at(space, 0, 1, ANON._replace(id=11))

    def protect(page, pages, prot, set_max=False):
        rv = over(vm_map_protect, space, page, pages, prot, set_max)
        m.check(not space.lock.holders, "then the map is unlocked")
        return rv

    def changed():
        map_at(space, 2, 4)
        map_at(space, 7, 2)
        m.check(protect(3, 2, VM_PROT_READ) == KERN_SUCCESS, "a range may be made read-only")
        parts = [(2, 3, VM_PROT_RW), (3, 5, VM_PROT_READ), (5, 6, VM_PROT_RW), (7, 9, VM_PROT_RW)]
        m.check(rights(space) == parts, "that, and no more")
        m.check(protect(2, 4, VM_PROT_RW) == KERN_SUCCESS, "and writeable")
        parts = [(2, 6, VM_PROT_RW), (7, 9, VM_PROT_RW)]
        m.check(rights(space) == parts, "what is alike then is one")
        m.check(
            protect(6, 1, VM_PROT_READ) == KERN_SUCCESS and rights(space) == parts, "a hole has no rights"
        )
        protect(5, 3, VM_PROT_READ)
        parts = [(2, 5, VM_PROT_RW), (5, 6, VM_PROT_READ), (7, 8, VM_PROT_READ), (8, 9, VM_PROT_RW)]
        m.check(rights(space) == parts, "and is passed over")
        protect(-9, 99, VM_PROT_NONE)
        parts = [(2, 6, VM_PROT_NONE), (7, 9, VM_PROT_NONE)]
        m.check(rights(space) == parts, "a range reaches as far as the map")
        vm_map_protect(space, at(9), at(4), VM_PROT_READ, False)
        m.check({told for _, _, told in rights(space)} == {VM_PROT_NONE}, "inside out it is nothing")

    def refused():
        map_at(space, 7, 2)
        map_at(space, 10, 2, ANON._replace(prot=VM_PROT_READ, max=VM_PROT_READ))
        protect(7, 2, VM_PROT_READ)
        parts = [(7, 9, VM_PROT_READ), (10, 12, VM_PROT_READ)]
        m.check(protect(7, 4, VM_PROT_RW) == KERN_PROTECTION_FAILURE, "what may not be written stays so")
        m.check(rights(space) == parts, "nothing else of the range is changed then")
        m.check(protect(8, 4, VM_PROT_RW) == KERN_PROTECTION_FAILURE, "it need not be the first")
        parts[:1] = [(7, 8, VM_PROT_READ), (8, 9, VM_PROT_READ)]
        m.check(rights(space) == parts, "but it was cut where it begins")
        m.check(protect(7, 3, VM_PROT_RW) == KERN_SUCCESS, "what is behind it does not matter")
        parts[:2] = [(7, 9, VM_PROT_RW)]
        m.check(rights(space) == parts, "nor is it changed")
        kernel = vm.map.kernel_map
        inner = kmem_suballoc(kernel, PAGE_SIZE)
        rv = vm_map_protect(kernel, inner.min_addr, inner.max_addr, VM_PROT_READ, False)
        m.check(rv == KERN_INVALID_ARGUMENT, "a map inside another one has rights of its own")

    def limited():
        map_at(space, 2, 4)
        protect(4, 2, VM_PROT_WRITE)
        m.check(protect(3, 2, VM_PROT_READ, True) == KERN_SUCCESS, "rights may be limited")
        parts = [
            (2, 3, (VM_PROT_RW, VM_PROT_ALL)),
            (3, 4, (VM_PROT_READ, VM_PROT_READ)),
            (4, 5, (VM_PROT_NONE, VM_PROT_READ)),
            (5, 6, (VM_PROT_WRITE, VM_PROT_ALL)),
        ]
        m.check(limits(space) == parts, "what is above the limit is lost, and nothing is won")
        m.check(protect(3, 1, VM_PROT_RW) == KERN_PROTECTION_FAILURE, "for good")

    def used():
        map_at(space, 2, 2)
        touch(space, 2, VM_PROT_RW)
        touch(space, 3, VM_PROT_RW)
        protect(2, 1, VM_PROT_READ)
        m.check(not store(space, 2) and store(space, 3), "what is read-only is not written to")
        protect(2, 1, VM_PROT_RW)
        m.check(touch(space, 2, VM_PROT_RW) and store(space, 2), "what is writeable is")
        obj = vm_object_allocate(vm, 1)
        vm_object_reference_quick(obj)
        map_at(space, 5, 1, ANON._replace(object=obj, cow=COWF_COPY_ON_WRITE))
        touch(space, 5, VM_PROT_RW)
        protect(5, 1, VM_PROT_RW)
        m.check(store(space, 5), "who has the right already keeps what is mapped")
        protect(5, 1, VM_PROT_ALL)
        m.check(not store(space, 5), "else a copy is looked for once more")
        m.check(touch(space, 5, VM_PROT_RW) and store(space, 5), "and there")
        vm_object_deallocate(obj)

    def thread():
        m.check(before == KERN_SUCCESS, "a range that is free can be mapped")
        part = (changed, refused, limited, used)[m.choose(4)]
        part()
        unmap_all(m, space)

    m.spawn(thread)
    m.join()


@scenario(cpus=1, tags={"map", "protect"}, pages=None)
def heritage_alone(m):
    """A thread says what its children get of ranges, and asks which rights it has to them."""
    vm = m.boot(pages=10, l2_size=1)
    space = new_map(vm, 24)
    map_at(space, 0, 1, ANON._replace(id=11))

    def inherit(page, pages, value):
        rv = over(vm_map_inherit, space, page, pages, value)
        m.check(not space.lock.holders, "then the map is unlocked")
        return rv

    def said_so():
        map_at(space, 2, 4)
        map_at(space, 7, 2)
        m.check(inherit(3, 5, VM_INHERIT_SHARE) == KERN_SUCCESS, "a range may be shared")
        parts = [(2, 3, VM_INHERIT_COPY), (3, 6, VM_INHERIT_SHARE)]
        parts += [(7, 8, VM_INHERIT_SHARE), (8, 9, VM_INHERIT_COPY)]
        m.check(heritage(space) == parts, "all that is mapped there, and no more")
        m.check(inherit(3, 5, 9) == KERN_INVALID_ARGUMENT and heritage(space) == parts, "or not at all")
        inherit(3, 1, VM_INHERIT_NONE)
        parts[1:2] = [(3, 4, VM_INHERIT_NONE), (4, 6, VM_INHERIT_SHARE)]
        m.check(heritage(space) == parts, "it may be left out")
        m.check(inherit(1, 9, VM_INHERIT_COPY) == KERN_SUCCESS, "or copied")
        m.check(heritage(space) == [(2, 6, VM_INHERIT_COPY), (7, 9, VM_INHERIT_COPY)], "what is alike is one")

    def asked():
        map_at(space, 2, 2)
        map_at(space, 4, 2, ANON._replace(prot=VM_PROT_READ))
        map_at(space, 7, 1)

        def allows(page, pages, prot, have_lock=False):
            answer = over(vm_map_check_protection, space, page, pages, prot, have_lock)
            m.check(bool(space.lock.holders) is have_lock, "then the map is as it was")
            return answer

        m.check(allows(2, 2, VM_PROT_WRITE) and allows(2, 4, VM_PROT_READ), "rights are there")
        m.check(not allows(3, 2, VM_PROT_WRITE) and not allows(4, 1, VM_PROT_WRITE), "or not everywhere")
        m.check(not allows(5, 3, VM_PROT_READ) and not allows(5, 3, VM_PROT_NONE), "a hole has none")
        m.check(not allows(1, 2, VM_PROT_NONE) and not allows(7, 2, VM_PROT_NONE), "wherever it is")
        m.check(not allows(6, 0, VM_PROT_NONE) and allows(5, 0, VM_PROT_READ), "nothing is in it, or not")
        vm_map_lock_read(space)
        m.check(allows(2, 4, VM_PROT_READ, True), "who has the map locked may ask, too")
        vm_map_unlock(space)

    def thread():
        part = (said_so, asked)[m.choose(2)]
        part()
        unmap_all(m, space)

    m.spawn(thread)
    m.join()
