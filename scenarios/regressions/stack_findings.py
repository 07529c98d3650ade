"""Findings in stacks, and in the room and the limit that they have: the model does what the kernel does."""

from vmsmp import scenario
from vmsmp.scenarios._kit import give_back, run_in
from vmsmp.scenarios.fork._processes import exits, new_process
from vmsmp.scenarios.regressions.space_findings import TOP, stack_of
from vmsmp.scenarios.vm_map._spaces import BASE, map_anon, new_space
from vmsmp.vm.kern_plimit import setrlimit_stack
from vmsmp.vm.vm_map import (
    KERN_SUCCESS,
    MAP_FIXED,
    USRSTACK,
    VM_MAX_USER_ADDRESS,
    VM_PROT_ALL,
    VM_PROT_READ,
    VM_PROT_RW,
    exec_new_vmspace,
    vm_map_check_protection,
    vm_map_growstack,
    vm_map_remove,
    vm_map_stack,
)
from vmsmp.vm.vm_page import PAGE_SIZE

GIB = 1 << 30


def is_mapped(map, address):
    """Whether an address can be read and written."""
    return vm_map_check_protection(map, address, address + PAGE_SIZE, VM_PROT_RW, False)


@scenario(cpus=1, tags={"map", "stack", "finding"}, fixed=True, schedule="v1:deep_stack_grows_too_little:0:")
def deep_stack_grows_too_little(m):
    """A process needs its stack five gigabytes below where it ends, has the room, and is killed.

    `vm_map_growstack` keeps by how much a stack must grow in an int.  Of five gigabytes, one is left, so the
    stack grows by that, and the address is not mapped.  A growth by two or three gigabytes is negative then,
    which is refused.
    Repair `growth-has-its-length`: keep it in a variable of 64 bits.
    """
    vm = m.boot(pages=8, l2_size=1)
    vmspace = new_space(vm, 32 * GIB)
    map, top = vmspace.vm_map, 16 * GIB
    rv, _ = vm_map_stack(map, 8 * GIB, top - 8 * GIB, MAP_FIXED, VM_PROT_RW, VM_PROT_ALL, 0)
    m.check(rv == KERN_SUCCESS, "a range that is free can be a stack")
    vmspace.vm_maxsaddr = top

    def process():
        run_in(vm, vmspace)
        rv = vm_map_growstack(map, top - 5 * GIB)
        grown = rv == KERN_SUCCESS and is_mapped(map, top - 5 * GIB)
        m.check(grown, "a stack that has grown is mapped where it was needed")

    m.spawn(process)
    m.join()
    give_back(vmspace)


@scenario(cpus=1, tags={"map", "stack", "finding"}, fixed=True, schedule="v1:cut_stack_loses_its_room:0:")
def cut_stack_loses_its_room(m):
    """A process unmaps the lower part of its stack, and the stack cannot grow as far as before.

    Each entry of a stack knows by how much it may grow below its start.  A cut copies that into both parts.
    If the lower part goes, the upper one may grow by so much from where it begins, which is higher: it loses
    as much of its room as was unmapped.
    Repair `upper-part-has-the-lower-one-s-place`: the upper part may also grow into the place of the lower.
    """
    vm = m.boot(pages=8, l2_size=1, sgrowsiz=4 * PAGE_SIZE)
    vmspace = stack_of(m, vm, pages=4)
    map = vmspace.vm_map

    def process():
        run_in(vm, vmspace)
        vm_map_remove(map, TOP - 4 * PAGE_SIZE, TOP - 2 * PAGE_SIZE)
        grown = vm_map_growstack(map, BASE) == KERN_SUCCESS and is_mapped(map, BASE)
        m.check(grown, "a stack can use its room")

    m.spawn(process)
    m.join()
    give_back(vmspace)


@scenario(cpus=1, tags={"map", "stack", "finding"}, fixed=True, schedule="v1:room_is_lost_for_good:0:")
def room_is_lost_for_good(m):
    """A stack grows up to a mapping in its room; the mapping goes, and the stack cannot grow any more.

    A growth is rounded up.  If it would reach into a mapping, `vm_map_growstack` cuts it, and notes that
    nothing is left to grow into.  That stays so when the mapping is removed.
    Repair `room-is-only-taken`: cut the growth, and leave the room as it is.
    """
    vm = m.boot(pages=8, l2_size=1, sgrowsiz=4 * PAGE_SIZE)
    vmspace = stack_of(m, vm, pages=4)
    map = vmspace.vm_map

    def process():
        run_in(vm, vmspace)
        map_anon(m, map, BASE + PAGE_SIZE, 1)
        m.check(vm_map_growstack(map, BASE + 3 * PAGE_SIZE) == KERN_SUCCESS, "there is room above a mapping")
        vm_map_remove(map, BASE + PAGE_SIZE, BASE + 2 * PAGE_SIZE)
        grown = vm_map_growstack(map, BASE + PAGE_SIZE) == KERN_SUCCESS and is_mapped(map, BASE + PAGE_SIZE)
        m.check(grown, "a stack can use its room")

    m.spawn(process)
    m.join()
    give_back(vmspace)


@scenario(cpus=1, tags={"map", "stack", "finding"}, fixed=True, schedule="v1:raised_limit_leaves_a_page:0:")
def raised_limit_leaves_a_page(m):
    """A process lowers the limit of its stack and raises it again, and a page of its stack stays unusable.

    `kern_setrlimit` closes what is between the two limits, and opens it later.  Where that begins it rounds
    down, and the size it rounds up, each by itself.  With limits that end within a page, more is closed than
    is opened again.
    Repair `limits-end-with-a-page`: round where the range begins and where it ends.
    """
    vm = m.boot(pages=24, l2_size=1)
    process = new_process(m, vm, 1, VM_MAX_USER_ADDRESS)

    def user():
        run_in(vm, process.vmspace)
        p = vm.mycpu().proc
        exec_new_vmspace(p)
        map_anon(m, process.map, BASE, 1)
        for quarters in (43, 34, 37):
            setrlimit_stack(p, quarters * PAGE_SIZE // 4)
        usable = is_mapped(process.map, USRSTACK - 9 * PAGE_SIZE)
        m.check(usable, "a stack can be used up to its limit")

    m.spawn(user)
    m.join()
    exits(process)


@scenario(cpus=1, tags={"map", "stack", "finding"}, fixed=True, schedule="v1:lowered_limit_closes_others:0:")
def lowered_limit_closes_others(m):
    """A process has mapped something in the room of its stack, lowers the limit, and cannot read it.

    `kern_setrlimit` takes the rights of all that is mapped between the two limits, whatever it is.  When the
    limit is raised it gives all of it the rights of a stack, or none, not even the stack, if something there
    may not have them.
    Repair `limit-is-of-the-stack`: change the entries of stacks only.
    """
    vm = m.boot(pages=24, l2_size=1)
    process = new_process(m, vm, 1, VM_MAX_USER_ADDRESS)
    file = USRSTACK - 40 * PAGE_SIZE

    def user():
        run_in(vm, process.vmspace)
        p = vm.mycpu().proc
        exec_new_vmspace(p)
        map_anon(m, process.map, BASE, 1)
        map_anon(m, process.map, file, 1, VM_PROT_READ, VM_PROT_READ)
        for pages in (64, 16):
            setrlimit_stack(p, pages * PAGE_SIZE)
        readable = vm_map_check_protection(process.map, file, file + PAGE_SIZE, VM_PROT_READ, False)
        m.check(readable, "the limit of a stack changes no other memory")

    m.spawn(user)
    m.join()
    exits(process)


@scenario(cpus=1, tags={"map", "stack", "finding"}, fixed=True, schedule="v1:stack_behind_another_panics:0:")
def stack_behind_another_panics(m):
    """Two small stacks are made side by side, and the kernel panics.

    A stack that is no larger than the step by which stacks grow is mapped as a whole.  Behind another one
    the insertion extends the entry of that.  `vm_map_stack` takes the entry behind that one for the new
    stack, and cuts the new stack off only then.
    Repair `new-stack-is-cut-off-first`: cut first.
    """
    vm = m.boot(pages=8, l2_size=1, sgrowsiz=2 * PAGE_SIZE)
    vmspace = new_space(vm)
    map = vmspace.vm_map
    map_anon(m, map, BASE - 2 * PAGE_SIZE, 1)
    map_anon(m, map, BASE + 4 * PAGE_SIZE, 1)

    def process():
        for page in (0, 2):
            bottom = BASE + page * PAGE_SIZE
            rv, _ = vm_map_stack(map, bottom, 2 * PAGE_SIZE, MAP_FIXED, VM_PROT_RW, VM_PROT_ALL, 0)
            m.check(rv == KERN_SUCCESS, "a range that is free can be a stack")

    m.spawn(process)
    m.join()
    give_back(vmspace)
