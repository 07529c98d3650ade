"""Memory that is wired, unwired and unmapped while its process uses it, and stacks that grow with use."""

from vmsmp import scenario
from vmsmp.scenarios._kit import give_back
from vmsmp.scenarios.vm_fault._memory import Process
from vmsmp.scenarios.vm_map._spaces import BASE, map_anon
from vmsmp.vm.vm_fault import vm_fault
from vmsmp.vm.vm_map import (
    KERN_FAILURE,
    KERN_INVALID_ADDRESS,
    KERN_SUCCESS,
    MAP_FIXED,
    VM_PROT_ALL,
    VM_PROT_RW,
    vm_map_remove,
    vm_map_stack,
    vm_map_user_wiring,
)
from vmsmp.vm.vm_page import PAGE_SIZE


@scenario(cpus=3, tags={"map", "fault", "wire", "delete"}, pages=6)
def wirings_of_used_memory(m):
    """Memory is locked and unlocked while threads store to it and one unmaps it: no page stays wired."""
    vm = m.boot(pages=14, l2_size=1)
    process = Process(vm)
    if m.choose(2):
        vm.map.fault = lambda *how: KERN_FAILURE if m.choose(4) == 3 else vm_fault(*how)
    map_anon(m, process.map, BASE, 2)

    def wirer():
        process.enter()
        for _ in m.rounds(2):
            rv = vm_map_user_wiring(process.map, BASE, BASE + 2 * PAGE_SIZE, False)
            m.check(rv in (KERN_SUCCESS, KERN_FAILURE, KERN_INVALID_ADDRESS), "a wiring is made or refused")
            if rv == KERN_SUCCESS:
                vm_map_user_wiring(process.map, BASE, BASE + 2 * PAGE_SIZE, True)

    def user():
        process.enter()
        for turn in m.rounds(2):
            at = BASE + m.choose(2) * PAGE_SIZE
            if process.store(at, turn + 1) is None:
                m.check(process.load(at) in (None, 0, 1, 2), "a page has what was stored, or zeros")

    def unmapper():
        process.enter()
        process.store(BASE, 1)
        vm_map_remove(process.map, BASE + m.choose(2) * PAGE_SIZE, BASE + 2 * PAGE_SIZE)

    for n in range(m.ncpus):
        m.spawn((wirer, user, unmapper)[n % 3])
    m.join()
    give_back(process.vmspace)


@scenario(cpus=2, tags={"map", "fault", "stack"}, pages=6)
def stacks_grow_by_faults(m):
    """Threads touch a stack ever deeper at once: it grows as deep as it may, and no deeper."""
    vm = m.boot(pages=14, l2_size=1, sgrowsiz=PAGE_SIZE)
    process = Process(vm)
    vm_map_stack(process.map, BASE, 4 * PAGE_SIZE, MAP_FIXED, VM_PROT_RW, VM_PROT_ALL, 0)
    process.vmspace.vm_maxsaddr = BASE
    process.vmspace.vm_ssize = 1

    def thread(n):
        process.enter()
        for page in (2, 0):
            at = BASE + page * PAGE_SIZE
            m.check(process.store(at, n + 1) is None, "a stack grows to where it is touched")
            m.check(process.load(at) > 0, "what was stored is loaded")
        m.check(process.load(BASE - PAGE_SIZE) is None, "there is nothing below a stack's room")

    for n in range(m.ncpus):
        m.spawn(thread, n)
    m.join()
    m.check(process.vmspace.vm_ssize == 4, "a stack that has grown is counted once")
    give_back(process.vmspace)
