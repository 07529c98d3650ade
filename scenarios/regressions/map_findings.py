"""Findings in the kernel's address spaces: the model does what vm_map.c does, step for step."""

from vmsmp import scenario
from vmsmp.scenarios._kit import give_back, run_in
from vmsmp.scenarios.vm_map._ranges import (
    ANON,
    anon_apart,
    at,
    map_at,
    map_somewhere,
    new_map,
    over,
    touch,
    unmap_all,
)
from vmsmp.vm.vm_map import (
    COWF_COPY_ON_WRITE,
    KERN_SUCCESS,
    MAP_FIXED,
    VM_INHERIT_COPY,
    VM_INHERIT_NONE,
    VM_PROT_ALL,
    VM_PROT_READ,
    VM_PROT_RW,
    VM_SUBSYS_MMAP,
    vm_map_find,
    vm_map_growstack,
    vm_map_inherit,
    vm_map_protect,
    vm_map_remove,
    vm_map_stack,
    vmspace_alloc,
)
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_deallocate, vm_object_reference_quick
from vmsmp.vm.vm_page import PAGE_SIZE


@scenario(
    cpus=1,
    tags={"map", "finding"},
    fixed=True,
    schedule="v1:simplify_asks_the_wrong_neighbour:0:",
)
def simplify_asks_the_wrong_neighbour(m):
    """Joining a map's first entry with the next one follows a null pointer.

    A process makes the first page of its lowest mapping read-only, and writeable again.  Its entry is the
    first of the map, and continues into the next one.  Before `vm_map_simplify_entry` joins them it compares
    the entry's chain with that of the entry *before*, where it means the one behind.  There is none before.
    If there is one, the chain of the entry behind is never compared, so that an entry with another chain may
    be joined, too, and lose it; and an entry that was joined just before is read after it has been freed.
    Repair `simplify-asks-the-next`: compare with the chain of the entry behind.
    """
    vm = m.boot(pages=8, l2_size=1)
    map = new_map(vm)
    map_at(map, 0, 3)

    def process():
        over(vm_map_protect, map, 0, 1, VM_PROT_READ, False)
        over(vm_map_protect, map, 0, 1, VM_PROT_RW, False)

    m.spawn(process, name="process")
    m.join()
    unmap_all(m, map)


@scenario(
    cpus=1,
    tags={"map", "find", "finding"},
    fixed=True,
    schedule="v1:searches_miss_joined_holes:0:",
)
def searches_miss_joined_holes(m):
    """No room is found although two adjacent holes together have enough.

    A search notes where it ended, and the next one of its kind begins there.  `vm_map_delete` moves such
    hints back to a hole that is large enough, but it takes the removed range alone as the hole, without the
    free addresses before it.  Two ranges that are removed one after the other make a hole of two pages, but
    each alone has only one, so searches for two pages begin behind them for as long as the map exists.  A
    hole before the map's first entry is not noted at all if the removed range began in free addresses.
    Repair `holes-begin-where-they-do`: the hole begins where the entry before it ends, or with the map.
    """
    vm = m.boot(pages=8, l2_size=1)
    map = new_map(vm, 4)
    for page in range(2):
        map_at(map, page, 1, anon_apart(page))
    map_somewhere(map, 2)

    def process():
        over(vm_map_remove, map, 0, 1)
        over(vm_map_remove, map, 1, 1)
        m.check(map_somewhere(map, 2)[0] == KERN_SUCCESS, "room is found while there is some")

    m.spawn(process, name="process")
    m.join()
    unmap_all(m, map)


@scenario(
    cpus=1,
    tags={"map", "object", "finding"},
    fixed=True,
    schedule="v1:shadow_hides_mappings:0:",
)
def shadow_hides_mappings(m):
    """While an entry gets an object of its own, its mappings of the old one cannot be found.

    A process has read a page of memory that it shares until it writes, so the page is mapped read-only, and
    then it writes to another one.  `vm_map_entry_shadow` takes the head of the entry's chain off the list of
    the old object, and puts the element behind it there only after the head is on the list of the new one.
    In between it may sleep, with the list unlocked.  A CPU that then removes the mappings of a page of the
    old object (the pagedaemon, for instance, which needs no token for it) scans the list, finds none, clears
    the page's flags and frees it: the process goes on reading a page that has another owner by then.
    Repair `shadow-attaches-first`: put the element behind the head on the list before the head leaves it.
    """
    vm = m.boot(pages=12, l2_size=1)
    map = new_map(vm)
    obj = vm_object_allocate(vm, 2)
    vm_object_reference_quick(obj)
    map_at(map, 0, 2, ANON._replace(object=obj, cow=COWF_COPY_ON_WRITE))

    def process():
        touch(map, 0, VM_PROT_READ)
        touch(map, 1, VM_PROT_RW)

    m.spawn(process, name="process")
    m.join()
    unmap_all(m, map)
    vm_object_deallocate(obj)


@scenario(cpus=1, tags={"map", "find", "finding"}, fixed=True, schedule="v1:search_does_not_begin_anew:0:")
def search_does_not_begin_anew(m):
    """A process maps memory near the end of its map, if possible, and is refused although the map is empty.

    Without MAP_FIXED the address is a hint.  `vm_map_findspace` looks for room from there on, and nobody
    looks before it when there is none.
    Repair `search-begins-anew`: then look from the lowest address on.
    """
    vm = m.boot(pages=8, l2_size=1)
    map = new_map(vm, 4)

    def process():
        what = ANON._replace(id=VM_SUBSYS_MMAP)
        rv, _ = vm_map_find(map, map.max_addr - PAGE_SIZE, 2 * PAGE_SIZE, PAGE_SIZE, True, what)
        m.check(rv == KERN_SUCCESS, "room is found while there is some")

    m.spawn(process, name="process")
    m.join()
    unmap_all(m, map)


@scenario(
    cpus=1, tags={"map", "stack", "finding"}, fixed=True, schedule="v1:joined_stack_forgets_its_room:0:"
)
def joined_stack_forgets_its_room(m):
    """A stack of five pages has six after its parts have been joined.

    Each part that a stack grows by is an entry, which knows how much may still grow below it.
    `vm_map_simplify_entry` joins two of them without a look at that.  The upper one survives and begins
    lower, and would have as much below it as before.
    Repair `joined-parts-have-the-lower-one-s-room`: it has what the lower one had.
    """
    vm = m.boot(pages=12, l2_size=1, sgrowsiz=PAGE_SIZE)
    vm.mmu.trap = None
    vmspace = vmspace_alloc(vm, at(0), at(64))
    map = vmspace.vm_map
    vm_map_stack(map, at(3), 5 * PAGE_SIZE, MAP_FIXED, VM_PROT_RW, VM_PROT_ALL, 0)
    vmspace.vm_maxsaddr = at(3)

    def process():
        run_in(vm, vmspace)
        for page in (6, 5, 4):
            vm_map_growstack(map, at(page))
        for value in (VM_INHERIT_NONE, VM_INHERIT_COPY):
            over(vm_map_inherit, map, 5, 2, value)
        vm_map_growstack(map, at(2))
        m.check(map.raw_rb_root.at_or_before(at(2)) is None, "a stack keeps within its room")

    m.spawn(process, name="process")
    m.join()
    give_back(vmspace)
