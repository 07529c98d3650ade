"""Entries of the kernel change, which every CPU may have cached, also one that is idle or spins."""

from vmsmp import PINTERLOCKED, scenario
from vmsmp.scenarios.pmap_inval._tables import (
    KERNEL_PAGES,
    boot,
    kernel_entry,
    kernel_load,
    map_kernel,
    reuse,
)
from vmsmp.sync.thread import curthread
from vmsmp.vm.pmap_inval import (
    cpu_invltlb,
    pmap_inval_bulk,
    pmap_inval_bulk_flush,
    pmap_inval_bulk_init,
    pmap_inval_smp,
    smp_invltlb,
)


def _reader(m, numbers, rounds=3):
    """Read pages of the kernel, again and again."""
    for _ in m.rounds(rounds):
        for n in numbers:
            m.check(kernel_load(m, n) in (0, None), "the kernel reads its own page or none")


@scenario(cpus=2, tags={"mmu", "tlb"})
def kernel_pages_go_in_bulk(m):
    """Pages of the kernel that are not neighbours are removed, flushed together, and reused."""
    vm = boot(m)
    map_kernel(vm, 0, 1, 3)

    def owner():
        bulk = pmap_inval_bulk_init(vm.pmap.kernel_pmap)
        old = [pmap_inval_bulk(bulk, KERNEL_PAGES[n], kernel_entry(vm, n), 0) for n in (0, 1, 3)]
        pmap_inval_bulk_flush(bulk)
        for pte in old:
            reuse(vm, pte)

    m.spawn(owner, name="owner")
    for _ in range(m.ncpus - 1):
        m.spawn(_reader, m, (0, 1, 3), name="reader")
    m.join()


@scenario(cpus=2, tags={"mmu", "tlb"}, fixed=True)
def many_kernel_pages_go(m):
    """More pages of the kernel are removed than are flushed one by one; the first and last were cached."""
    vm = boot(m)
    map_kernel(vm, 0, 128)

    def owner():
        old = [kernel_entry(vm, n).swap(0) for n in (0, 128)]
        pmap_inval_smp(vm.pmap.kernel_pmap, KERNEL_PAGES[0], 129, None, 0)
        for pte in old:
            reuse(vm, pte)

    m.spawn(_reader, m, (0, 128), name="reader")
    m.spawn(owner, name="owner")
    m.join()


@scenario(cpus=3, tags={"mmu", "tlb"})
def kernel_commands_overlap(m):
    """CPUs give several commands about pages of the kernel at the same time, with one slot for each CPU."""
    vm = boot(m, pages=40)
    map_kernel(vm, *range(2 * m.ncpus))

    def owner(cpu):
        mine = (2 * cpu, 2 * cpu + 1)
        _reader(m, range(2 * m.ncpus) if m.ncpus < 4 else mine, 1)
        for n in mine:
            reuse(vm, pmap_inval_smp(vm.pmap.kernel_pmap, KERNEL_PAGES[n], 1, kernel_entry(vm, n), 0))
            m.check(kernel_load(m, n) is None, "a page that was removed is gone")

    for cpu in range(m.ncpus):
        m.spawn(owner, cpu, name="owner")
    m.join()


@scenario(cpus=2, tags={"mmu", "tlb", "spinlock"})
def command_under_a_spinlock(m):
    """A CPU changes an entry of the kernel with a spinlock held: CPUs that spin for the lock answer."""
    vm = boot(m)
    map_kernel(vm, *range(m.ncpus))
    spin = m.spinlock("driver")

    def driver(n):
        kernel_load(m, 0)
        with spin:
            old = pmap_inval_smp(vm.pmap.kernel_pmap, KERNEL_PAGES[n], 1, kernel_entry(vm, n), 0)
            m.check(kernel_load(m, n) is None, "a page that was removed is gone")
        reuse(vm, old)

    for n in range(m.ncpus):
        m.spawn(driver, n, name="driver")
    m.join()


@scenario(cpus=3, tags={"mmu", "tlb", "sleep"}, fixed=True)
def command_against_an_idle_cpu(m):
    """An idle CPU is not interrupted for a removal, and flushes when it wakes (optimized_invltlb)."""
    vm = boot(m)
    vm.sysctl["machdep.optimized_invltlb"] = 1
    map_kernel(vm, 0)
    woken = m.atomic(0, name="woken")
    gone = m.atomic(0, name="gone")

    def sleeper():
        kernel_load(m, 0)
        while not woken.load():
            m.tsleep_interlock(woken)
            if not woken.load():
                m.tsleep(woken, PINTERLOCKED, "idle")
        while not gone.load():
            m.pause()
        m.check(kernel_load(m, 0) is None, "a page that was removed is gone")

    def owner():
        bulk = pmap_inval_bulk_init(vm.pmap.kernel_pmap)
        old = pmap_inval_bulk(bulk, KERNEL_PAGES[0], kernel_entry(vm, 0), 0)
        pmap_inval_bulk_flush(bulk)
        reuse(vm, old)
        gone.store(1)

    def waker():
        woken.store(1)
        m.wakeup(woken)

    m.spawn(sleeper, name="sleeper")
    m.spawn(owner, name="owner")
    m.spawn(waker, name="waker")
    m.join()


@scenario(cpus=2, tags={"mmu", "tlb"})
def all_translations_go(m):
    """CPUs clear entries of the kernel at the same time, and flush all other TLBs and their own."""
    vm = boot(m)
    map_kernel(vm, *range(m.ncpus))

    def owner(n):
        _reader(m, range(m.ncpus), 1)
        old = kernel_entry(vm, n).swap(0)
        smp_invltlb(vm)
        cpu_invltlb(curthread(m))
        reuse(vm, old)
        _reader(m, range(m.ncpus), 1)

    for n in range(m.ncpus):
        m.spawn(owner, n, name="owner")
    m.join()
