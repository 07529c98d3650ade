"""Memory of several sockets: pages of a CPU's own socket first, then those of others."""

from vmsmp import scenario
from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    VM_ALLOC_NORMAL,
    vm_numa_organize,
    vm_numa_organize_finalize,
    vm_page_alloc,
    vm_page_free,
)

#: Colours of each of the two sockets.
EACH = 4


def _two_sockets(m, pages, first):
    """Boot a machine of two sockets, the first of which has `first` pages."""
    topology = (2, 1, max(1, -(-m.ncpus // 2)))
    vm = m.boot(pages=pages, l2_size=2 * EACH, set_assoc_mask=EACH - 1, topology=topology, adj_limit=2)
    vm_numa_organize(vm, 0, first * PAGE_SIZE, 0)
    vm_numa_organize(vm, first * PAGE_SIZE, (pages - first) * PAGE_SIZE, 1)
    return vm


def _use(m, vm, rounds):
    """Allocate pages and free them."""
    mine = [vm_page_alloc(vm, None, n, VM_ALLOC_NORMAL) for n in rounds]
    m.check(None not in mine, "while there is memory an allocation succeeds")
    for page in mine:
        vm_page_free(page)


@scenario(cpus=3, tags={"page", "alloc", "numa"}, pages=None)
def numa_borrows(m):
    """CPUs of two sockets allocate nearly all memory, their own and then the other's, and free it."""
    vm = _two_sockets(m, 2 * m.ncpus + 1, m.ncpus)
    for _ in range(m.ncpus):
        m.spawn(_use, m, vm, m.rounds(2))
    m.join()
    home = all(page.pc // EACH == (page.phys >= m.ncpus) for page in vm.page.vm_page_array)
    m.check(home, "a page that was borrowed goes back to its socket")


@scenario(cpus=3, tags={"page", "alloc", "numa"}, pages=None)
def numa_lends_at_boot(m):
    """One socket has all memory but a page, and some of it is lent to the other; CPUs of both use it."""
    pages = 2 * EACH * (1 + m.ncpus)
    vm = _two_sockets(m, pages, pages - 1)
    vm_numa_organize_finalize(vm)
    lent = [page for page in vm.page.vm_page_array[:-1] if page.pc >= EACH]
    m.check(lent, "the socket that has little is lent some")
    for _ in range(m.ncpus):
        m.spawn(_use, m, vm, m.rounds(3))
    m.join()
