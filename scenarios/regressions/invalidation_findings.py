"""Findings in how the kernel forgets a file's pages: the model does what vm_object.c does, step for step."""

from vmsmp import scenario
from vmsmp.scenarios._kit import end_of_file, file_object, give_back
from vmsmp.scenarios.vm_fault._memory import Process
from vmsmp.scenarios.vm_fault.sharing import map_shared
from vmsmp.scenarios.vm_map._spaces import BASE
from vmsmp.vm.vm_map import vm_map_clean, vm_map_user_wiring
from vmsmp.vm.vm_object import vm_object_deallocate
from vmsmp.vm.vm_page import PAGE_SIZE


@scenario(
    cpus=1,
    tags={"map", "fault", "vnode", "wire", "finding"},
    fixed=True,
    schedule="v1:invalidation_strands_wirings:0:",
)
def invalidation_strands_wirings(m):
    """A process invalidates a file that another one has locked: the page stays wired for ever.

    msync with MS_INVALIDATE has `vm_object_page_remove` forget the file's pages.  A wired one stays, but
    its mappings go, whoever they belong to: once for all that the object's backings map, which is there for
    pages that are in no object, and once more for the page.  With them goes the wired entry.  To unlock it
    `vm_fault_unwire` looks for the page by it, finds none, and goes on: the entry of the map counts no
    wiring any more, and the page does.  It is never reused, not even when the file is gone.
    Repair `invalidation-leaves-wired-pages`: a wired page that is only to be forgotten if it is clean stays
    mapped, too.
    """
    vm = m.boot(pages=24, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1, range(1))
    locker, other = Process(vm), Process(vm)
    for process in (locker, other):
        map_shared(m, process, obj, 1)

    def both():
        locker.enter()
        vm_map_user_wiring(locker.map, BASE, BASE + PAGE_SIZE, False)
        vm_map_clean(other.map, BASE, BASE + PAGE_SIZE, True, True)
        vm_map_user_wiring(locker.map, BASE, BASE + PAGE_SIZE, True)
        wired = [page for page in obj.raw_rb_memq.values() if page.peek("wire_count")]
        m.check(not wired, "a page that nobody has locked is not wired")

    m.spawn(both)
    m.join()
    for process in (locker, other):
        give_back(process.vmspace)
    vm_object_deallocate(obj)
    end_of_file(vp)
