"""Memory of devices and of the kernel, which has no pages in objects, in maps of processes."""

from vmsmp import scenario
from vmsmp.scenarios._kit import give_back, give_pages, take_pages
from vmsmp.scenarios.vm_fault._memory import Process
from vmsmp.scenarios.vm_map._spaces import BASE, map_device
from vmsmp.vm.vm_fault import vm_fault_page
from vmsmp.vm.vm_map import (
    KERN_SUCCESS,
    UKSMAPOP_FAULT,
    VM_INHERIT_SHARE,
    VM_PROT_READ,
    VM_PROT_RW,
    VM_SUBSYS_MMAP,
    Mapping,
    vm_map_find,
    vm_map_inherit,
    vm_map_remove,
    vmspace_fork,
)
from vmsmp.vm.vm_object import vm_object_deallocate
from vmsmp.vm.vm_page import PAGE_SIZE, VM_ALLOC_NORMAL, vm_page_alloczwq, vm_page_freezwq, vm_page_unhold
from vmsmp.vm.vm_pager import dev_pager_alloc


class FrameBuffer:
    """A device whose memory is some frames that the kernel has set aside."""

    def __init__(self, frames):
        self.frames = frames
        self.si_object = None

    def __repr__(self):
        return f"<screen of {len(self.frames)} frames>"

    def d_mmap(self, offset, prot):
        """The frame at that byte, or -1 behind the last one; it may not be executed."""
        page = offset // PAGE_SIZE
        return self.frames[page] if page < len(self.frames) and prot <= VM_PROT_RW else -1


class Kpmap:
    """/dev/kpmap: one page that the kernel shares with all processes.  `asked` counts the faults."""

    minor = 6

    def __init__(self, m, frame):
        self.frame = frame
        self.asked = m.atomic(0, name="asked")

    def uksmap(self, _ba, op, _dev, fake):
        """The device's function: give the frame of the mapping's first page, and refuse all others."""
        if op != UKSMAPOP_FAULT:
            return 0
        self.asked.fetchadd(1)
        if fake.pindex:
            return 22  # EINVAL
        fake.phys = self.frame
        return 0


def kernel_pages(vm, count):
    """Return that many pages that the kernel keeps for itself."""
    return [vm_page_alloczwq(vm, n, VM_ALLOC_NORMAL) for n in range(count)]


@scenario(cpus=3, tags={"map", "fault", "device"}, pages=8)
def device_against_faults(m):
    """Processes fault a device's memory in, and unmap it, while others allocate every page that is freed."""
    vm = m.boot(pages=24, l2_size=1)
    memory = kernel_pages(vm, 2)
    for n, page in enumerate(memory):
        vm.memory.store(page.phys, 0, 10 + n)
    screen = FrameBuffer([page.phys for page in memory])
    process = Process(vm)
    obj = dev_pager_alloc(vm, screen, 2, VM_PROT_RW)
    what = Mapping(object=obj, prot=VM_PROT_RW, max=VM_PROT_RW, id=VM_SUBSYS_MMAP)
    vm_map_find(process.map, BASE, 2 * PAGE_SIZE, PAGE_SIZE, False, what)

    def user(n):
        process.enter()
        for page in range(2):
            at = BASE + page * PAGE_SIZE
            m.check(process.load(at) == 10 + page, "a device shows its memory")
            process.store(at + 512 * n, n)
            m.check(process.load(at + 512 * n) == n, "what was written to a device's memory is there")

    def taker():
        for _ in m.rounds(2):
            pages = take_pages(vm, 1)
            if pages[0] is not None:
                vm.memory.store(pages[0].phys, 0, "mine")
                m.check(vm.memory.load(pages[0].phys) == "mine", "a page has what its owner wrote")
                give_pages(pages)

    for n in range(m.ncpus):
        m.spawn(*((user, n + 1) if n != 1 and n < 7 else (taker,)))
    m.join()
    give_back(process.vmspace)
    m.check(screen.si_object is None, "a device that nobody maps has no object")
    for page in memory:
        vm_page_freezwq(page)


@scenario(cpus=3, tags={"map", "fault", "device", "fork"}, pages=10)
def kernel_page_that_is_shown(m):
    """A page of the kernel is mapped by a process and its children, which read it, fork and unmap it."""
    vm = m.boot(pages=32, l2_size=1)
    (page,) = kernel_pages(vm, 1)
    kpmap = Kpmap(m, page.phys)
    process = Process(vm)
    map_device(m, process.map, kpmap, kpmap.uksmap, BASE, 2)
    vm_map_inherit(process.map, BASE, BASE + 2 * PAGE_SIZE, VM_INHERIT_SHARE)
    vm.memory.store(page.phys, 0, 1)

    def kernel():
        for turn in m.rounds(3):
            vm.memory.store(page.phys, 0, 2 + turn)

    def reader():
        process.enter()
        last = 0
        for _ in m.rounds(2):
            value = process.load(BASE)
            m.check(value >= last, "what the kernel shows does not go back")
            last = value
            m.check(process.load(BASE + PAGE_SIZE) is None, "the kernel shows nothing else")
        found = vm_fault_page(process.map, BASE, VM_PROT_READ, 0, False)
        m.check(found.page is page, "who looks at a process finds the kernel's page")
        vm_page_unhold(found.page)

    def forker():
        child = Process(vm)
        give_back(child.vmspace)
        child.vmspace = vmspace_fork(process.vmspace, None, None)
        child.map = child.vmspace.vm_map
        m.check(child.enter().load(BASE) >= 1, "a child is shown what its parent is")
        vm_map_remove(child.map, BASE, BASE + 2 * PAGE_SIZE)
        m.check(child.load(BASE) is None, "what was unmapped is gone")
        give_back(child.vmspace)

    for n in range(m.ncpus):
        m.spawn((reader, forker, kernel)[n % 3])
    m.join()
    m.check(kpmap.asked.load() >= 1, "the device was asked")
    give_back(process.vmspace)
    vm_page_freezwq(page)


@scenario(cpus=2, tags={"map", "fault", "device", "reference"}, pages=None)
def device_that_is_opened_again(m):
    """Processes map and unmap a device: its object ends with the last mapping, and a new one begins."""
    vm = m.boot(pages=24, l2_size=1)
    memory = kernel_pages(vm, 1)
    vm.memory.store(memory[0].phys, 0, 7)
    screen = FrameBuffer([memory[0].phys])

    def user():
        process = Process(vm).enter()
        for _ in m.rounds(2):
            obj = dev_pager_alloc(vm, screen, 1, VM_PROT_RW)
            what = Mapping(object=obj, prot=VM_PROT_READ, max=VM_PROT_RW, id=VM_SUBSYS_MMAP)
            rv, _ = vm_map_find(process.map, BASE, PAGE_SIZE, PAGE_SIZE, False, what)
            m.check(rv == KERN_SUCCESS, "a range that is free can be mapped")
            m.check(process.load(BASE) == 7, "a device shows its memory")
            vm_map_remove(process.map, BASE, BASE + PAGE_SIZE)
        give_back(process.vmspace)

    for _ in range(min(m.ncpus, 4)):  # more wait for the device's token, and no more
        m.spawn(user)
    m.join()
    obj = screen.si_object
    if obj is not None:  # a lookup adds one reference too many
        while obj.ref_count.load() > 1:
            vm_object_deallocate(obj)
        vm_object_deallocate(obj)
    for page in memory:
        vm_page_freezwq(page)
