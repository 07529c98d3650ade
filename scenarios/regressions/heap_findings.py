"""Findings where a heap ends: the model does what vm_unix.c does, step for step."""

from vmsmp import scenario
from vmsmp.scenarios.fork._processes import at, exits, new_process
from vmsmp.sync.errno import EOPNOTSUPP
from vmsmp.vm.vm_page import PAGE_SIZE
from vmsmp.vm.vm_unix import sys_obreak, sys_sbrk


def with_heap(m, vm):
    """Return a process whose heap begins at page 8."""
    process = new_process(m, vm, 1)
    process.vmspace.vm_daddr = at(8)
    return process


@scenario(cpus=1, tags={"map", "mmap", "finding"}, fixed=True, schedule="v1:break_forgets_its_page:0:")
def break_forgets_its_page(m):
    """A process sets the end of its heap, and is then given memory before that end once more.

    `sys_sbrk` counts the heap in bytes, and may leave its end within a page.  `sys_obreak` maps from the next
    page on, and adds what it has mapped to the size as it was: the new end is as far within its page as the
    old one was, before the address that was asked for.  What `sys_sbrk` hands out next overlaps what the
    process has by then.
    Repair `break-ends-where-it-is-set`: the size is whole pages before anything is added.
    """
    vm = m.boot(pages=16, l2_size=1)
    process = with_heap(m, vm)

    def user():
        process.enter()
        sys_sbrk(process.vmspace, 100)
        m.check(not sys_obreak(process.vmspace, at(10)), "a heap may end where there is room")
        _, begin = sys_sbrk(process.vmspace, 16)
        m.check(begin >= at(10), "what a heap grows by is behind it")

    m.spawn(user)
    m.join()
    exits(process)


@scenario(
    cpus=1, tags={"map", "mmap", "finding"}, fixed=True, schedule="v1:heap_passes_the_limit_of_the_map:0:"
)
def heap_passes_the_limit_of_the_map(m):
    """A process has as much mapped as it may have, and lets its heap grow all the same.

    `vm_mmap`, `sys_obreak` and the growth of a stack compare the size of the map with RLIMIT_VMEM.
    `sys_sbrk` does not.
    Repair `sbrk-looks-at-the-map`: it compares, too.
    """
    vm = m.boot(pages=16, l2_size=1)
    process = with_heap(m, vm)

    def user():
        process.enter()
        vm.mycpu().proc.rlim_vmem = process.map.peek("size")
        sys_sbrk(process.vmspace, PAGE_SIZE)
        m.check(process.map.peek("size") <= vm.mycpu().proc.peek("rlim_vmem"), "a map keeps within its limit")

    m.spawn(user)
    m.join()
    exits(process)


@scenario(cpus=1, tags={"map", "mmap", "finding"}, fixed=True, schedule="v1:heap_passes_its_own_limit:0:")
def heap_passes_its_own_limit(m):
    """A heap grows beyond RLIMIT_DATA, by less than a page.

    `sys_sbrk` compares the limit with the end that the heap would have if it grew from where it ends.  But
    what does not fit in the last page begins on the next one, and the heap ends so much later.
    Repair `sbrk-limits-what-it-maps`: compare with the end that it will have.
    """
    vm = m.boot(pages=16, l2_size=1)
    process = with_heap(m, vm)

    def user():
        process.enter()
        limit = vm.mycpu().proc.rlim_data = PAGE_SIZE + 200
        sys_sbrk(process.vmspace, 200)
        sys_sbrk(process.vmspace, PAGE_SIZE)
        m.check(process.vmspace.vm_dsize <= limit, "a heap keeps within its limit")

    m.spawn(user)
    m.join()
    exits(process)


@scenario(cpus=1, tags={"map", "mmap", "finding"}, fixed=True, schedule="v1:smaller_heap_is_out_of_memory:0:")
def smaller_heap_is_out_of_memory(m):
    """A process wants its heap smaller, and is told that there is no memory.

    A heap does not shrink, and `sys_sbrk` is to say so (EOPNOTSUPP).  But it has the increment in a variable
    without a sign when it asks whether that is negative, so nothing ever is; the sum with the heap's end
    wraps around, and that is taken for a lack of room.
    Repair `sbrk-knows-the-sign`: ask the argument.
    """
    vm = m.boot(pages=16, l2_size=1)
    process = with_heap(m, vm)

    def user():
        process.enter()
        error, _ = sys_sbrk(process.vmspace, -PAGE_SIZE)
        m.check(error == EOPNOTSUPP, "a heap does not shrink, and memory is not what it lacks")

    m.spawn(user)
    m.join()
    exits(process)
