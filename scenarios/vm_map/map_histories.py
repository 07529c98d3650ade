"""Histories of a map: the results of its calls, checked against a plain function from pages to rights."""

from vmsmp import scenario
from vmsmp.check.linearize import History
from vmsmp.check.specs import AddressMap
from vmsmp.scenarios._kit import give_back
from vmsmp.scenarios.vm_map._spaces import map_anon, new_space
from vmsmp.vm.vm_map import (
    KERN_SUCCESS,
    VM_INHERIT_COPY,
    VM_INHERIT_NONE,
    VM_INHERIT_SHARE,
    VM_PROT_ALL,
    VM_PROT_NONE,
    VM_PROT_READ,
    VM_PROT_RW,
    VM_SUBSYS_MMAP,
    Mapping,
    vm_map_check_protection,
    vm_map_find,
    vm_map_inherit,
    vm_map_protect,
    vm_map_remove,
    vmspace_fork,
)
from vmsmp.vm.vm_page import PAGE_SIZE

PAGES = 6
#: The first page of the histories, behind one that is always mapped.
BASE = 2 * PAGE_SIZE


def _at(page):
    return BASE + page * PAGE_SIZE


def _page(address):
    return (address - BASE) // PAGE_SIZE


def _told(map):
    """Return the state of each page of a map, in the form of the specification."""
    said = [None] * PAGES
    for entry in map.raw_rb_root:
        for address in range(max(BASE, entry.ba.raw_start), entry.ba.raw_end, PAGE_SIZE):
            said[_page(address)] = (entry.raw_protection, entry.raw_inheritance)
    return tuple(said)


@scenario(cpus=2, tags={"map", "fork", "history"}, pages=3)
def map_history(m):
    """Threads map, unmap, protect, look up and copy ranges: their calls take effect one at a time."""
    vm = m.boot(pages=20, l2_size=1)
    space = new_space(vm, _at(PAGES))
    map = space.vm_map
    map_anon(m, map, 0, 2, VM_PROT_NONE)
    history = History(m)
    spec = AddressMap(PAGES, VM_INHERIT_COPY, VM_INHERIT_NONE)

    def somewhere():
        first = m.choose(PAGES)
        return first, 1 + m.choose(min(3, PAGES - first))

    def over(call, first, count, *rest):
        return call(map, _at(first), _at(first + count), *rest)

    def put(first, count, prot, fitit):
        what = Mapping(prot=prot, max=VM_PROT_ALL, id=VM_SUBSYS_MMAP)
        return vm_map_find(map, _at(first) if not fitit else 0, count * PAGE_SIZE, PAGE_SIZE, fitit, what)

    def insert():
        first, count = somewhere()
        with history.operation("map", first, count, VM_PROT_RW) as op:
            op.result = put(first, count, VM_PROT_RW, False)[0] == KERN_SUCCESS

    def find():
        count = 1 + m.choose(3)
        with history.operation("find", count, VM_PROT_READ) as op:
            rv, address = put(0, count, VM_PROT_READ, True)
            op.result = _page(address) if rv == KERN_SUCCESS else None

    def remove():
        first, count = somewhere()
        with history.operation("remove", first, count):
            over(vm_map_remove, first, count)

    def protect():
        (first, count), prot = somewhere(), (VM_PROT_READ, VM_PROT_RW)[m.choose(2)]
        with history.operation("protect", first, count, prot):
            over(vm_map_protect, first, count, prot, False)

    def inherit():
        (first, count), value = somewhere(), (VM_INHERIT_NONE, VM_INHERIT_SHARE)[m.choose(2)]
        with history.operation("inherit", first, count, value):
            over(vm_map_inherit, first, count, value)

    def ask():
        (first, count), prot = somewhere(), (VM_PROT_READ, VM_PROT_RW)[m.choose(2)]
        with history.operation("allows", first, count, prot) as op:
            op.result = over(vm_map_check_protection, first, count, prot, False)

    def fork():
        with history.operation("fork") as op:
            child = vmspace_fork(space, None, None)
            op.result = _told(child.vm_map)
        give_back(child)

    deeds = (insert, find, remove, protect, inherit, ask, fork)

    def thread():
        for _ in m.rounds(2):
            deeds[m.choose(len(deeds))]()

    insert()
    for _ in range(m.ncpus):
        m.spawn(thread)
    m.join()
    history.judge(spec)
    give_back(space)
