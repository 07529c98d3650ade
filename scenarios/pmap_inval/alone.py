"""One CPU gives invalidation commands: entries change or not, and only what they name is flushed."""

from vmsmp import scenario
from vmsmp.mmu.entry import PG_RW
from vmsmp.scenarios.pmap_inval._tables import (
    KERNEL_PAGES,
    PAGES,
    boot,
    kernel_entry,
    kernel_load,
    map_kernel,
    new_space,
    run_in,
    touch,
    user_entry,
)
from vmsmp.vm.pmap import pmap_maybethreaded
from vmsmp.vm.pmap_inval import (
    VA_ALL,
    pmap_inval_bulk,
    pmap_inval_bulk_flush,
    pmap_inval_bulk_init,
    pmap_inval_smp,
    pmap_inval_smp_cmpset,
    smp_invltlb,
)


@scenario(cpus=1, tags={"mmu", "tlb"})
def commands_alone(m):
    """Entries of a process are stored, compared and stored, or flushed: each command returns the old one."""
    vm = boot(m)
    vm.inval.pmap_inval_force_nonopt = m.choose(2)
    space = new_space(vm, "P", 3)
    pmap = space.vm_pmap
    entries = [user_entry(space, n) for n in range(3)]

    def cached():
        return [n for n in range(3) if m.curcpu.mmu.tlb.holds(0, PAGES[n])]

    def use():
        for va in PAGES[:3]:
            touch(m.curcpu.load, va)

    def cpu():
        if m.choose(2):
            pmap_maybethreaded(pmap)
        run_in(m, space)
        use()
        m.check(cached() == [0, 1, 2], "what is used is cached")
        was = entries[0].peek()
        m.check(
            pmap_inval_smp(pmap, PAGES[0], 1, entries[0], was & ~PG_RW) == was,
            "a command tells what was there",
        )
        m.check((cached(), entries[0].peek()) == ([1, 2], was & ~PG_RW), "the CPU forgets what has changed")
        use()
        wrong = pmap_inval_smp_cmpset(pmap, PAGES[0], entries[0], was, 0)
        m.check(not wrong and entries[0].peek() == was & ~PG_RW, "an entry that is another one stays")
        use()
        m.check(
            pmap_inval_smp_cmpset(pmap, PAGES[0], entries[0], entries[0].peek(), 0),
            "and is changed if it is not",
        )
        m.check((cached(), entries[0].peek()) == ([1, 2], 0), "the CPU forgets what has changed")
        entries[1].swap(0)
        pmap_inval_smp(pmap, PAGES[1], 1, None, 0)
        m.check(cached() == [2], "what has changed before is forgotten as well")
        bulk = pmap_inval_bulk_init(pmap)
        m.check(pmap_inval_bulk(bulk, PAGES[2], entries[2], 0), "a command in bulk tells what was there")
        m.check(cached() == [], "a user's page goes at once")
        pmap_inval_bulk_flush(bulk)
        m.check(not pmap.pm_active_lock.load() & 1, "a command is over when it returns")
        m.check(not vm.inval.smp_invmask.load(), "and nobody is asked any more")

    m.spawn(cpu)
    m.join()


@scenario(cpus=1, tags={"mmu", "tlb"})
def bulks_alone(m):
    """Entries of the kernel change in bulk: neighbours are flushed one by one, others with the whole TLB."""
    vm = boot(m, pages=30)
    numbers = (0, 1, 2, 3, 4)
    map_kernel(vm, *numbers)
    kernel = vm.pmap.kernel_pmap

    def cached():
        return [n for n in numbers if m.curcpu.mmu.tlb.holds(0, KERNEL_PAGES[n])]

    def use():
        for n in numbers:
            kernel_load(m, n)

    def cpu():
        use()
        m.check(cached() == [*numbers], "what is used is cached")
        bulk = pmap_inval_bulk_init(kernel)
        take, left = [
            ((0,), [1, 2, 3, 4]),
            ((1, 2, 3), [0, 4]),
            ((0, 2), []),
            ((1, 0), []),
            ((0, 1, 4, 2), []),
            ((), [*numbers]),
        ][m.choose(6)]
        for n in take:
            old = kernel_entry(vm, n).peek()
            m.check(
                pmap_inval_bulk(bulk, KERNEL_PAGES[n], kernel_entry(vm, n), 0) == old,
                "each tells what it was",
            )
        m.check(cached() == [*numbers], "the kernel's pages are flushed together")
        pmap_inval_bulk_flush(bulk)
        m.check(cached() == left, "neighbours are flushed one by one, and otherwise all is")
        use()
        m.check(cached() == [n for n in numbers if n not in take], "what was taken away is gone")
        how = m.choose(4)
        if how == 0:
            pmap_inval_bulk(None, KERNEL_PAGES[4], kernel_entry(vm, 4), 0)
        elif how == 1:
            pmap_inval_bulk(bulk, KERNEL_PAGES[4], kernel_entry(vm, 4), 0)
            pmap_inval_bulk_flush(bulk)
        elif how == 2:
            pmap_inval_smp(kernel, *((KERNEL_PAGES[1], 129), (VA_ALL, 1))[m.choose(2)], None, 0)
        else:
            smp_invltlb(vm)
        at_most = [n for n in numbers if n not in take]
        expect = [at_most, [n for n in at_most if n != 4], [], at_most][how]
        m.check(cached() == expect, "a command takes what it names, of whichever bulk")
        m.check(not kernel.pm_active_lock.load(), "nobody waits for the kernel's commands")

    m.spawn(cpu)
    m.join()
