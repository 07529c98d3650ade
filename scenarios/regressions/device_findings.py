"""Findings in the kernel's pagers of devices: the model does what vm_pager.h and device_pager.c do."""

from vmsmp import scenario
from vmsmp.scenarios._kit import busied_page, give_back
from vmsmp.scenarios.vm_fault._memory import Process
from vmsmp.scenarios.vm_fault.devices import FrameBuffer, Kpmap, kernel_pages
from vmsmp.scenarios.vm_map._spaces import BASE, map_device
from vmsmp.vm.vm_map import (
    KERN_SUCCESS,
    VM_PROT_RW,
    VM_SUBSYS_MMAP,
    Mapping,
    vm_map_find,
    vm_map_user_wiring,
)
from vmsmp.vm.vm_object import vm_object_deallocate
from vmsmp.vm.vm_page import PAGE_SIZE, vm_page_freezwq, vm_page_wakeup
from vmsmp.vm.vm_pager import VM_PAGER_ERROR, dev_pager_alloc, dev_pager_getpage, vnode_pager_freepage


@scenario(
    cpus=1,
    tags={"map", "fault", "device", "finding"},
    fixed=True,
    schedule="v1:device_fault_zeroes_a_free_page:0:",
)
def device_fault_zeroes_a_free_page(m):
    """A fault on a device's memory zeroes a page that has been freed meanwhile, and marks it valid.

    The fault has allocated a page for the device's object.  `old_dev_pager_fault` frees it and puts a page of
    the device in its place, but leaves the caller's pointer as it was.  `vm_pager_get_page` tests whether the
    page at that pointer is all valid; one that was just freed is not, so it is zeroed and marked valid.
    A new owner of that page loses its contents; without one, a free page is marked valid.
    The fault itself looks the page up again, and is fine.
    Repair `device-pages-are-valid`: the page that the pager of a device was given is not used again.
    """
    vm = m.boot(pages=16, l2_size=1)
    (page,) = kernel_pages(vm, 1)
    screen = FrameBuffer([page.phys])
    process = Process(vm)
    obj = dev_pager_alloc(vm, screen, 1, VM_PROT_RW)
    what = Mapping(object=obj, prot=VM_PROT_RW, max=VM_PROT_RW, id=VM_SUBSYS_MMAP)
    vm_map_find(process.map, BASE, PAGE_SIZE, PAGE_SIZE, False, what)

    def user():
        m.check(process.enter().load(BASE) == 0, "a device shows its memory")

    m.spawn(user)
    m.join()
    free = [one for one in vm.page.vm_page_array if vm.page.queue_type(one.peek("queue")) == "free"]
    m.check(not any(one.peek("valid") for one in free), "a free page is not valid")
    give_back(process.vmspace)
    vm_page_freezwq(page)


@scenario(
    cpus=1,
    tags={"map", "fault", "device", "wire", "finding"},
    fixed=True,
    schedule="v1:munlock_unwires_a_kernel_page:0:",
)
def munlock_unwires_a_kernel_page(m):
    """A process locks and unlocks a page that the kernel shares with it: the kernel's page is unwired.

    A fault on memory of the kernel (UKSMAP) maps the page and never wires it, even for a wiring.
    `vm_fault_wire` respects that when it undoes a wiring.  `vm_fault_unwire` tests only the object of the
    entry, which has none, and unwires the page that it finds mapped: it drops the kernel's own wiring, and
    puts the page on a queue.  The pagedaemon may free it while it is in use.
    Repair `munlock-spares-kernel-pages`: memory that a device gives by a function is not unwired.
    """
    vm = m.boot(pages=16, l2_size=1)
    (page,) = kernel_pages(vm, 1)
    kpmap = Kpmap(m, page.phys)
    process = Process(vm)
    map_device(m, process.map, kpmap, kpmap.uksmap, BASE, 1)

    def user():
        process.enter()
        rv = vm_map_user_wiring(process.map, BASE, BASE + PAGE_SIZE, False)
        m.check(rv == KERN_SUCCESS, "what the kernel shows can be locked")
        vm_map_user_wiring(process.map, BASE, BASE + PAGE_SIZE, True)
        m.check(page.peek("wire_count") == 1, "the kernel's page is wired by the kernel")

    m.spawn(user)
    m.join()
    give_back(process.vmspace)
    vm_page_freezwq(page)


@scenario(
    cpus=2,
    tags={"map", "object", "device", "finding"},
    fixed=True,
    schedule="v1:device_forgets_its_new_object:f4248:1.30>2",
)
def device_forgets_its_new_object(m):
    """A device is mapped again while its last mapping is being torn down, and the kernel panics later.

    A lookup skips an object that is being terminated, so the device gets another one.  The termination of the
    first may lose the object's token, as it does between many pages.  Only after that it clears the device's
    pointer to its object, which by now is the new one.  When that is terminated in turn, there is none.
    Repair `device-forgets-its-own`: clear the pointer only if it is to the object that is terminated.
    """
    vm = m.boot(pages=8, l2_size=1, object_hash=1, scan_yield=1)
    (frame,) = kernel_pages(vm, 1)
    screen = FrameBuffer([frame.phys])
    obj = dev_pager_alloc(vm, screen, 1, VM_PROT_RW)
    dev_pager_getpage(obj, busied_page(vm, obj, 0), 0)
    vm_page_wakeup(obj.peek("rb_memq")[0])

    def other():
        vm_object_deallocate(dev_pager_alloc(vm, screen, 1, VM_PROT_RW))

    m.spawn(vm_object_deallocate, obj, name="user")
    m.spawn(other)
    m.join()
    vm_page_freezwq(frame)


@scenario(
    cpus=1,
    tags={"map", "fault", "device", "finding"},
    fixed=True,
    schedule="v1:device_that_fails_is_mapped:0:",
)
def device_that_fails_is_mapped(m):
    """A process reads from a device that has nothing to show any more, and has memory mapped that is none.

    A driver says by -1 that there is nothing at an address.  `old_dev_pager_fault` makes a physical address
    of what the driver says, and asserts that *that* is not -1.  It is not, for it was shifted: the process
    gets an entry with the highest frame that there could be.
    Repair `device-may-refuse`: the page cannot be read.
    """
    vm = m.boot(pages=4, l2_size=1)
    screen = FrameBuffer([])
    obj = dev_pager_alloc(vm, screen, 0, VM_PROT_RW)

    def user():
        page = busied_page(vm, obj, 0)
        rv = dev_pager_getpage(obj, page, 0)
        m.check(rv == VM_PAGER_ERROR, "where a device shows nothing nothing is mapped")
        vnode_pager_freepage(page)

    m.spawn(user)
    m.join()
    vm_object_deallocate(obj)
