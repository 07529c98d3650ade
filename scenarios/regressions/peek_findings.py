"""Findings where a debugger looks at a process' memory: the model does what vm_fault_page does."""

from vmsmp import scenario
from vmsmp.scenarios._kit import busied_page, give_back
from vmsmp.scenarios.fork._processes import at, exits, new_process, write
from vmsmp.scenarios.vm_fault._memory import Process
from vmsmp.scenarios.vm_fault.devices import FrameBuffer, Kpmap, kernel_pages
from vmsmp.scenarios.vm_map._spaces import BASE, map_device
from vmsmp.vm.procfs_mem import procfs_rwmem
from vmsmp.vm.vm_fault import vm_fault_page
from vmsmp.vm.vm_map import (
    VM_PROT_READ,
    VM_PROT_RW,
    VM_SUBSYS_MMAP,
    Mapping,
    vm_map_find,
    vm_map_protect,
    vm_map_remove,
    vm_map_user_wiring,
)
from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    vm_page_busy_wait,
    vm_page_freezwq,
    vm_page_unhold,
    vm_page_wakeup,
)
from vmsmp.vm.vm_pager import dev_pager_alloc, dev_pager_getpage


def _peeks_at(m, vm, frame):
    """A debugger looks at what a process has mapped of physical memory."""
    process = Process(vm)
    memory = Kpmap(m, frame)
    map_device(m, process.map, memory, memory.uksmap, BASE, 1)

    def debugger():
        found = vm_fault_page(process.map, BASE, VM_PROT_READ, 0, False)
        m.check(found.page is None, "what is nobody's memory is not looked at")

    m.spawn(debugger)
    m.join()
    give_back(process.vmspace)


@scenario(
    cpus=1, tags={"fault", "device", "finding"}, fixed=True, schedule="v1:debugger_holds_a_free_page:0:"
)
def debugger_holds_a_free_page(m):
    """A process has mapped physical memory (/dev/mem), and who looks at it holds a free page.

    A page is held so that it does not become free.  `vm_fault_page` holds the page of the frame that the
    device's function says, whatever that is: it may be free, which the kernel asserts that it is not, or
    anybody's, and become free as it is held.
    Repair `peek-asks-for-an-owner`: hold a page only if it is wired.
    """
    vm = m.boot(pages=8, l2_size=1)
    _peeks_at(
        m, vm, next(page.phys for page in vm.page.vm_page_array if vm.page.queue_type(page.queue) == "free")
    )


@scenario(
    cpus=1, tags={"fault", "device", "finding"}, fixed=True, schedule="v1:debugger_holds_what_is_no_page:0:"
)
def debugger_holds_what_is_no_page(m):
    """A process has mapped a device's registers (/dev/mem), and the kernel faults when a debugger looks.

    `vm_fault_page` takes any frame for one of those that have a vm_page, and holds what would be that page.
    Repair `peek-asks-for-memory`: other frames cannot be looked at.
    """
    vm = m.boot(pages=8, l2_size=1)
    _peeks_at(m, vm, 100)


@scenario(
    cpus=2,
    tags={"map", "fault", "wire", "finding"},
    fixed=True,
    schedule="v1:peek_keeps_an_older_right:1c:1.15>2",
)
def peek_keeps_an_older_right(m):
    """A debugger may not read what can be read, because it could be written to a moment ago.

    `vm_fault_page` asks for all that a wired entry allows.  It has to begin anew, for the page is busy, and
    before it does, the entry allows less.  It asks for all of it still.
    Repair `peek-begins-afresh`: a fault for a page that begins anew asks for what it was called for.
    """
    vm = m.boot(pages=24, l2_size=1)
    process = new_process(m, vm, 1)
    write(process, 0, 1)
    vm_map_user_wiring(process.map, at(0), at(1), False)
    page = process.map.raw_rb_root.at_or_before(at(0)).ba.raw_object.raw_rb_memq[0]

    def debugger():
        found = vm_fault_page(process.map, at(0), VM_PROT_READ, 0, False)
        m.check(found.page is not None, "what can be read can be looked at")
        vm_page_unhold(found.page)

    def changer():
        vm_page_busy_wait(page, False)
        vm_map_protect(process.map, at(0), at(1), VM_PROT_READ, False)
        vm_page_wakeup(page)

    m.spawn(debugger)
    m.spawn(changer)
    m.join()
    exits(process)


@scenario(
    cpus=2,
    tags={"map", "fault", "device", "finding"},
    fixed=True,
    schedule="v1:debugger_outlives_a_device:9:",
)
def debugger_outlives_a_device(m):
    """A process unmaps a device while a debugger copies what is there, and the kernel panics.

    `vm_fault_page` holds the page that it returns, which keeps its memory.  The page of a device is one that
    the pager has allocated, and frees with the object: it asserts that nobody holds it.
    Repair `device-waits-for-holds`: wait until nobody does.
    """
    vm = m.boot(pages=20, l2_size=1)
    (frame,) = kernel_pages(vm, 1)
    process = Process(vm)
    obj = dev_pager_alloc(vm, FrameBuffer([frame.phys]), 1, VM_PROT_RW)
    dev_pager_getpage(obj, busied_page(vm, obj, 0), 0)
    vm_page_wakeup(obj.peek("rb_memq")[0])
    what = Mapping(object=obj, prot=VM_PROT_RW, max=VM_PROT_RW, id=VM_SUBSYS_MMAP)
    vm_map_find(process.map, BASE, PAGE_SIZE, PAGE_SIZE, False, what)

    def debugger():
        found = vm_fault_page(process.map, BASE, VM_PROT_READ, 0, False)
        m.spawn(vm_map_remove, process.map, BASE, BASE + PAGE_SIZE, name="process")
        m.yield_()  # it copies what is there
        vm_page_unhold(found.page)

    m.spawn(debugger)
    m.join()
    give_back(process.vmspace)
    vm_page_freezwq(frame)


@scenario(
    cpus=1,
    tags={"map", "fault", "peek", "finding"},
    fixed=True,
    schedule="v1:writer_waits_for_its_own_page:0:",
)
def writer_waits_for_its_own_page(m):
    """A process writes to its own memory through /proc, from the same page: it sleeps for ever.

    `procfs_rwmem` has the page busied that it copies to, and `vm_fault_page` has unmapped it.  If what is
    copied is in the same page the kernel faults on it, and waits until the page is not busy any more.
    Repair `write-copies-first`: read what is to be written before the page is busied.
    """
    vm = m.boot(pages=24, l2_size=1)
    process = new_process(m, vm, 1)

    def user():
        process.enter().store(at(0), 7)
        m.check(procfs_rwmem(process.vmspace, at(0) + 8, at(0), writing=True) == 0, "it can be written")
        m.check(process.load(at(0) + 8) == 7, "what was written is there")

    m.spawn(user)
    m.join()
    give_back(process.vmspace)


@scenario(
    cpus=1,
    tags={"map", "fault", "wire", "peek", "finding"},
    fixed=True,
    schedule="v1:reader_waits_for_its_own_page:0:",
)
def reader_waits_for_its_own_page(m):
    """A process reads memory that it has locked through /proc, into the same page: it sleeps for ever.

    What is read is held and not busied, so that who reads may fault on it.  But `vm_fault_page` asks for all
    that a wired entry allows, and takes that for what its caller has asked for: it busies a page that is only
    read, and marks it dirty.
    Repair `peek-only-reads`: busy the page if the caller is to write to it.
    """
    vm = m.boot(pages=24, l2_size=1)
    process = new_process(m, vm, 1)

    def user():
        process.enter().store(at(0), 7)
        vm_map_user_wiring(process.map, at(0), at(1), False)
        m.check(procfs_rwmem(process.vmspace, at(0), at(0) + 8, writing=False) == 0, "it can be read")

    m.spawn(user)
    m.join()
    give_back(process.vmspace)
