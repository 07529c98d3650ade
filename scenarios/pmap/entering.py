"""Pages are mapped while others unmap them, by address or from the page's side."""

from vmsmp import scenario
from vmsmp.scenarios._kit import Space, idle_pages
from vmsmp.vm.pmap import pmap_page_protect
from vmsmp.vm.vm_map import VM_PROT_NONE, VM_PROT_READ
from vmsmp.vm.vm_meter import vmstats_rollup
from vmsmp.vm.vm_object import vm_object_allocate
from vmsmp.vm.vm_page import vm_page_busy_wait, vm_page_free, vm_page_wakeup


def _object(vm, pages):
    """An object with that many pages, which are idle, and the pages."""
    obj = vm_object_allocate(vm, pages)
    return obj, idle_pages(vm, obj, range(pages))


def _restrict(page, prot):
    """Restrict the rights to a page, as for reusing or cleaning it."""
    vm_page_busy_wait(page, True)
    pmap_page_protect(page, prot)
    vm_page_wakeup(page)


@scenario(cpus=2, tags={"pmap"}, fixed=True)
def enter_against_reclaim(m):
    """A process maps and unmaps a page while the page's mappings are removed from the page's side."""
    vm = m.boot(pages=24, l2_size=1)
    obj, (page,) = _object(vm, 1)
    space = Space(vm, obj, 1)
    space.fault(page, 0, VM_PROT_READ)

    def process():
        space.fault(page, 0)
        space.remove()

    def reclaimer():
        _restrict(page, VM_PROT_NONE)
        _restrict(page, VM_PROT_READ)

    m.spawn(process, name="process")
    m.spawn(reclaimer, name="reclaimer")
    m.join()
    space.end()


@scenario(cpus=2, tags={"pmap"}, fixed=True)
def page_of_two_spaces(m):
    """One of two processes that map a page unmaps it, while the page is freed: no entry is left."""
    vm = m.boot(pages=24, l2_size=1)
    obj, (page,) = _object(vm, 1)
    spaces = [Space(vm, obj, 1) for n in range(2)]
    for space in spaces:
        space.fault(page, 0)

    def reclaimer():
        vm_page_busy_wait(page, True)
        pmap_page_protect(page, VM_PROT_NONE)
        vm_page_free(page)

    m.spawn(spaces[0].remove, name="process")
    m.spawn(reclaimer, name="reclaimer")
    m.join()
    for space in spaces:
        space.end()


@scenario(cpus=2, tags={"pmap"}, fixed=True)
def page_goes_from_space_to_space(m):
    """A process unmaps a page while another one maps it: the page is flagged as mapped all the time."""
    vm = m.boot(pages=24, l2_size=1)
    obj, (page,) = _object(vm, 1)
    spaces = [Space(vm, obj, 1) for n in range(2)]
    spaces[0].fault(page, 0)
    m.spawn(spaces[0].remove, name="leaver")
    m.spawn(spaces[1].fault, page, 0, name="comer")
    m.join()
    for space in spaces:
        space.end()


@scenario(cpus=2, tags={"pmap"}, fixed=True)
def first_pages_of_a_table(m):
    """Two threads map the first two pages of an address space: its page tables are made once."""
    vm = m.boot(pages=24, l2_size=1)
    obj, pages = _object(vm, 2)
    space = Space(vm, obj)
    for n, page in enumerate(pages):
        m.spawn(space.fault, page, n, name="thread")
    m.join()
    m.check(len(space.pmap.peek("pm_pvroot")) == 4, "there is one table page of each level")
    m.check(space.pmap.peek("resident_count") == 6, "table pages and pages are counted")
    space.end()


@scenario(cpus=3, tags={"pmap"}, fixed=True)
def pages_of_one_placemark(m):
    """Three threads map and unmap pages whose placemarks are one slot: each gets its turn."""
    vm = m.boot(pages=24, l2_size=1)
    obj = vm_object_allocate(vm, 33)
    pages = idle_pages(vm, obj, [16 * n for n in range(m.ncpus)])
    space = Space(vm, obj, 33)
    space.fault(pages[0], 0)

    def thread(n):
        space.fault(pages[n], 16 * n)
        space.remove(16 * n)

    for n in range(m.ncpus):
        m.spawn(thread, n, name="thread")
    m.join()
    space.end()


@scenario(cpus=2, tags={"pmap"}, fixed=True)
def ends_of_two_spaces(m):
    """Two processes that map one page give their address spaces back: every table page is free again."""
    vm = m.boot(pages=24, l2_size=1)
    obj, (page,) = _object(vm, 1)
    free = vm.mycpu().gd_vmstats.peek("v_free_count")
    spaces = [Space(vm, obj, 1) for n in range(2)]

    def process(space):
        space.end()
        vm.map.vmspaces.reclaim()

    for space in spaces:
        space.fault(page, 0)
        m.spawn(process, space, name="process")
    m.join()
    vmstats_rollup(vm)
    m.check(vm.mycpu().gd_vmstats.peek("v_free_count") == free, "all pages of tables are free again")
