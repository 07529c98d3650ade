"""Stacks that grow while other threads grow them, too, map beside them, or look into the process."""

from vmsmp import scenario
from vmsmp.scenarios._kit import give_back, repaired, run_in
from vmsmp.scenarios.vm_map._spaces import BASE, map_anon, new_space
from vmsmp.vm.kern_plimit import setrlimit_stack
from vmsmp.vm.vm_map import (
    KERN_FAILURE,
    KERN_SUCCESS,
    MAP_FIXED,
    MAP_WIREFUTURE,
    USRSTACK,
    VM_MAX_USER_ADDRESS,
    VM_PROT_ALL,
    VM_PROT_NONE,
    VM_PROT_RW,
    VM_SUBSYS_MMAP,
    Mapping,
    exec_new_vmspace,
    vm_map_check_protection,
    vm_map_find,
    vm_map_growstack,
    vm_map_lock,
    vm_map_remove,
    vm_map_stack,
    vm_map_unlock,
)
from vmsmp.vm.vm_page import PAGE_SIZE

#: A stack's size, and by how much it grows, in pages.
PAGES = 8
STEP = 2
BOTTOM = BASE
TOP = BOTTOM + PAGES * PAGE_SIZE


def new_stack(m, vmspace):
    """Make the process' stack, of which the topmost pages are mapped."""
    rv, _ = vm_map_stack(vmspace.vm_map, BOTTOM, TOP - BOTTOM, MAP_FIXED, VM_PROT_RW, VM_PROT_ALL, 0)
    m.check(rv == KERN_SUCCESS, "a range that is free can be a stack")
    vmspace.vm_maxsaddr = BOTTOM
    vmspace.vm_ssize = STEP


def stack_size(vmspace):
    """Return how many pages of the stack are mapped, read invisibly."""
    stack = [e for e in vmspace.vm_map.raw_rb_root if BOTTOM <= e.ba.raw_start < TOP]
    return sum(entry.ba.raw_end - entry.ba.raw_start for entry in stack) // PAGE_SIZE


@scenario(cpus=3, tags={"map", "stack"})
def growing_together(m):
    """Threads fault at different depths of one stack: it grows as deep as the deepest, counted once."""
    vm = m.boot(pages=8, l2_size=1, sgrowsiz=STEP * PAGE_SIZE)
    vmspace = new_space(vm)
    new_stack(m, vmspace)

    def thread():
        run_in(vm, vmspace)
        for _ in m.rounds(2):
            address = BOTTOM + PAGE_SIZE * m.choose(PAGES)
            m.check(vm_map_growstack(vmspace.vm_map, address) == KERN_SUCCESS, "a stack has room to grow")
            mapped = vm_map_check_protection(vmspace.vm_map, address, address + 1, VM_PROT_RW, False)
            m.check(mapped, "a stack that has grown is mapped where it was needed")

    for _ in range(m.ncpus):
        m.spawn(thread)
    m.join()
    m.check(vmspace.vm_ssize == stack_size(vmspace), "the size of the stack is what is mapped of it")
    give_back(vmspace)


@scenario(cpus=3, tags={"map", "stack", "find"})
def stack_beside_mmap(m):
    """A stack grows while other threads map at any address: nothing is mapped in its room."""
    vm = m.boot(pages=8, l2_size=1, sgrowsiz=STEP * PAGE_SIZE)
    vmspace = new_space(vm)
    new_stack(m, vmspace)

    def owner():
        run_in(vm, vmspace)
        for page in range(PAGES - STEP - 1, -1, -STEP):
            grown = vm_map_growstack(vmspace.vm_map, BOTTOM + PAGE_SIZE * page)
            m.check(grown == KERN_SUCCESS, "a stack has room to grow")

    def mapper():
        for _ in m.rounds(2):
            near = BOTTOM - PAGE_SIZE * m.choose(2)
            what = Mapping(prot=VM_PROT_RW, max=VM_PROT_ALL, id=VM_SUBSYS_MMAP)
            rv, at = vm_map_find(vmspace.vm_map, near, PAGE_SIZE, PAGE_SIZE, True, what)
            if rv == KERN_SUCCESS:
                m.check(at < BOTTOM or at >= TOP, "the room that a stack may need is not given to others")
                vm_map_remove(vmspace.vm_map, at, at + PAGE_SIZE)

    for n in range(m.ncpus):
        m.spawn(mapper if n else owner)
    m.join()
    give_back(vmspace)


@scenario(cpus=3, tags={"map", "stack"})
def stack_with_holes(m):
    """A stack grows while another thread unmaps parts of it, which are then needed again."""
    vm = m.boot(pages=8, l2_size=1, sgrowsiz=STEP * PAGE_SIZE)
    vmspace = new_space(vm)
    new_stack(m, vmspace)

    def thread():
        run_in(vm, vmspace)
        for _ in m.rounds(3):
            address = BOTTOM + PAGE_SIZE * m.choose(PAGES)
            if m.choose(2) == 0:
                vm_map_remove(vmspace.vm_map, address, address + (1 + m.choose(2)) * PAGE_SIZE)
            else:
                vm_map_growstack(vmspace.vm_map, address)

    for _ in range(m.ncpus):
        m.spawn(thread)
    m.join()
    give_back(vmspace)


@scenario(cpus=2, tags={"map", "stack"})
def stack_within_limits(m):
    """A stack grows as far as its process' limits allow, whatever they are, and stays within them."""
    vm = m.boot(pages=8, l2_size=1, sgrowsiz=STEP * PAGE_SIZE)
    vmspace = new_space(vm)
    new_stack(m, vmspace)
    limit = PAGE_SIZE * (STEP + m.choose(3)) + m.choose(2) * 100
    wire_future = m.choose(4) == 3
    if wire_future:
        vm_map_lock(vmspace.vm_map)
        vmspace.vm_map.flags |= MAP_WIREFUTURE
        vm_map_unlock(vmspace.vm_map)

    def thread():
        run_in(vm, vmspace)
        vm.mycpu().proc.rlim_stack = limit
        for _ in m.rounds(2):
            vm_map_growstack(vmspace.vm_map, BOTTOM + PAGE_SIZE * m.choose(PAGES))

    for _ in range(m.ncpus):
        m.spawn(thread)
    m.join()
    m.check(stack_size(vmspace) * PAGE_SIZE <= limit, "a stack stays within its limit")
    grown = [entry for entry in vmspace.vm_map.raw_rb_root if entry.ba.raw_start < TOP - STEP * PAGE_SIZE]
    if wire_future:
        m.check(all(entry.raw_wired_count for entry in grown), "what is mapped from now on is wired")
    give_back(vmspace)


@scenario(cpus=2, tags={"map", "stack"})
def stack_of_another(m):
    """A CPU that looks into another process does not make its stack grow, whatever that does meanwhile."""
    vm = m.boot(pages=8, l2_size=1, sgrowsiz=STEP * PAGE_SIZE)
    spaces = [new_space(vm) for _ in range(2)]
    for vmspace in spaces:
        new_stack(m, vmspace)

    def process(n):
        run_in(vm, spaces[n % 2])
        vm.mycpu().proc.rlim_stack = 4 * PAGE_SIZE
        for _ in m.rounds(2):
            address = BOTTOM + PAGE_SIZE * m.choose(PAGES)
            other = spaces[(n + 1) % 2]
            m.check(vm_map_growstack(other.vm_map, address) == KERN_FAILURE, "a stack is its owner's")
            vm_map_growstack(spaces[n % 2].vm_map, address)

    for n in range(m.ncpus):
        m.spawn(process, n)
    m.join()
    for vmspace in spaces:
        size = stack_size(vmspace)
        m.check(vmspace.vm_ssize == size <= 4, "a stack stays within its owner's limit")
        m.check(
            vm_map_check_protection(vmspace.vm_map, TOP - 1, TOP, VM_PROT_NONE, False), "it is still there"
        )
        give_back(vmspace)


@scenario(cpus=1, tags={"map", "stack", "limit"}, pages=None)
def stack_gets_other_limits(m):
    """The limit of a stack is lowered and raised: what is below it cannot be used while it is."""
    vm = m.boot(pages=8, l2_size=1, maxssiz=8 * PAGE_SIZE, sgrowsiz=8 * PAGE_SIZE)
    raised = VM_PROT_RW if repaired(m, "raised-stack-has-its-rights") else VM_PROT_ALL

    def user():
        vmspace = new_space(vm, VM_MAX_USER_ADDRESS)
        run_in(vm, vmspace)
        p = vm.mycpu().proc
        exec_new_vmspace(p)
        map_anon(m, vmspace.vm_map, BASE, 1)
        p.publish("rlim_stack", 8 * PAGE_SIZE)
        rights = [VM_PROT_RW] * 8
        for pages, more, begins, now in (
            (8, 0, 0, None),
            (6, 0, 6, VM_PROT_NONE),
            (3, 100, 3, VM_PROT_NONE),
            (3, 100, 0, None),
            (4, 0, 3, raised),
            (7, 0, 4, raised),
            (2, PAGE_SIZE - 1, 2, VM_PROT_NONE),
        ):
            before = -(-p.peek("rlim_stack") // PAGE_SIZE)
            if repaired(m, "limits-end-with-a-page"):
                begins = min(before, pages + (more > 0))
            setrlimit_stack(p, pages * PAGE_SIZE + more)
            if now is not None:
                for page in range(begins, max(before, pages + (more > 0))):
                    rights[page] = now
            m.check(p.peek("rlim_stack") == pages * PAGE_SIZE + more, "the limit is the one that was set")
            tree = vmspace.vm_map.raw_rb_root
            found = [
                tree.at_or_before(USRSTACK - (page + 1) * PAGE_SIZE).peek("protection") for page in range(8)
            ]
            m.check(found == rights, "what is below the limit has no rights, and the rest has those it had")
        give_back(vmspace)

    m.spawn(user)
    m.join()
