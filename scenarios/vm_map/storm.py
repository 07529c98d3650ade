"""Everything at once on one address space."""

from vmsmp import scenario
from vmsmp.scenarios._kit import give_back, run_in
from vmsmp.scenarios.vm_map._spaces import (
    BASE,
    map_anon,
    map_private,
    new_space,
    shared_file,
    write_page,
)
from vmsmp.vm.vm_map import (
    KERN_SUCCESS,
    KM_PAGEABLE,
    MADV_DONTNEED,
    MADV_FREE,
    MADV_INVAL,
    MADV_NOSYNC,
    MADV_RANDOM,
    MAP_FIXED,
    VM_INHERIT_NONE,
    VM_INHERIT_SHARE,
    VM_PROT_ALL,
    VM_PROT_READ,
    VM_PROT_RW,
    VM_PROT_WRITE,
    VM_SUBSYS_MMAP,
    Mapping,
    vm_map_find,
    vm_map_growstack,
    vm_map_inherit,
    vm_map_kernel_wiring,
    vm_map_lookup,
    vm_map_lookup_done,
    vm_map_madvise,
    vm_map_protect,
    vm_map_remove,
    vm_map_stack,
    vm_map_user_wiring,
    vmspace_anonymous_count,
    vmspace_drop,
    vmspace_hold,
    vmspace_ref,
)
from vmsmp.vm.vm_object import vm_object_deallocate, vm_object_page_remove
from vmsmp.vm.vm_page import PAGE_SIZE

PAGES = 8
STACK = BASE + 16 * PAGE_SIZE


@scenario(cpus=4, tags={"map", "vmspace", "storm"}, pages=8)
def space_storm(m):
    """Threads of one process map, touch, protect, wire, advise, grow and unmap; then they exit one by one."""
    vm = m.boot(pages=36, l2_size=1, sgrowsiz=2 * PAGE_SIZE)
    vmspace = new_space(vm)
    map = vmspace.vm_map
    file = shared_file(vm, PAGES)
    map_anon(m, map, BASE - 4 * PAGE_SIZE, 1, VM_PROT_READ)
    map_anon(m, map, BASE, 3)
    map_private(m, map, file, BASE + 4 * PAGE_SIZE, 4)
    vm_map_stack(map, STACK, PAGES * PAGE_SIZE, MAP_FIXED, VM_PROT_RW, VM_PROT_ALL, 0)
    vmspace.vm_maxsaddr, vmspace.vm_ssize = STACK, 2
    for _ in range(1, m.ncpus):
        vmspace_ref(vmspace)

    def somewhere():
        first = m.choose(PAGES)
        return BASE + first * PAGE_SIZE, BASE + (first + 1 + m.choose(min(3, PAGES - first))) * PAGE_SIZE

    def look():
        found = vm_map_lookup(map, somewhere()[0], (VM_PROT_READ, VM_PROT_WRITE)[m.choose(2)])
        if found.rv == KERN_SUCCESS:
            vm_map_lookup_done(found.map, found.entry, None)

    def write():
        write_page(map, somewhere()[0], VM_PROT_WRITE)

    def change():
        start, end = somewhere()
        if m.choose(3):
            vm_map_protect(map, start, end, (VM_PROT_READ, VM_PROT_RW)[m.choose(2)], False)
        else:
            vm_map_inherit(map, start, end, (VM_INHERIT_NONE, VM_INHERIT_SHARE)[m.choose(2)])

    def wire():
        start, end = somewhere()
        if m.choose(3) == 0:
            if vm_map_kernel_wiring(map, start, end, 0) == KERN_SUCCESS:
                vm_map_kernel_wiring(map, start, end, KM_PAGEABLE)
        else:
            vm_map_user_wiring(map, start, end, bool(m.choose(2)))

    def advise():
        kinds = (MADV_INVAL, MADV_FREE, MADV_DONTNEED, MADV_NOSYNC, MADV_RANDOM)
        vm_map_madvise(map, *somewhere(), kinds[m.choose(len(kinds))])

    def grow():
        if m.choose(3):
            vm_map_growstack(map, STACK + m.choose(PAGES) * PAGE_SIZE)
        else:
            at = STACK + m.choose(PAGES) * PAGE_SIZE
            vm_map_remove(map, at, at + PAGE_SIZE)

    def remap():
        start, end = somewhere()
        if m.choose(2):
            vm_map_remove(map, start, end)
        else:
            what = Mapping(prot=VM_PROT_RW, max=VM_PROT_ALL, id=VM_SUBSYS_MMAP)
            vm_map_find(map, start, end - start, PAGE_SIZE, bool(m.choose(2)), what)

    def onlooker():
        if m.choose(2):
            vmspace_hold(vmspace)
            vmspace_drop(vmspace)
            vmspace_anonymous_count(vmspace)
        else:
            vm_object_page_remove(file, m.choose(PAGES), PAGES, False)

    deeds = (look, write, change, wire, advise, grow, remap, onlooker)

    def thread():
        run_in(vm, vmspace)
        for _ in m.rounds(3):
            deeds[m.choose(len(deeds))]()
        give_back(vmspace)

    for _ in range(m.ncpus):
        m.spawn(thread)
    m.join()
    m.check(vmspace.freed, "the last thread that exits frees the address space")
    vm_object_deallocate(file)
