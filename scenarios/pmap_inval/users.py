"""Entries of processes change while other CPUs use them, start to, come back to them or stop."""

from vmsmp import PINTERLOCKED, scenario
from vmsmp.mmu.entry import PG_M, PG_RW
from vmsmp.scenarios.pmap_inval._tables import (
    PAGES,
    boot,
    new_space,
    read_all,
    reuse,
    run_in,
    touch,
    user_entry,
)
from vmsmp.vm.pmap import pmap_maybethreaded
from vmsmp.vm.pmap_inval import VA_ALL, pmap_inval_smp, pmap_inval_smp_cmpset


@scenario(cpus=2, tags={"mmu", "tlb"})
def removal_against_switch_in(m):
    """A page of a process is removed and reused while another CPU switches to its address space."""
    vm = boot(m)
    space = new_space(vm, "P", 1)
    gone = m.atomic(0, name="gone")

    def user():
        run_in(m, space)
        read_all(m, PAGES[:1])
        while not gone.load():
            m.pause()
        m.check(touch(m.curcpu.load, PAGES[0]) is None, "a page that was removed is gone")

    def owner():
        reuse(vm, pmap_inval_smp(space.vm_pmap, PAGES[0], 1, user_entry(space, 0), 0))
        gone.store(1)

    m.spawn(owner, name="owner")
    for _ in range(m.ncpus - 1):
        m.spawn(user, name="user")
    m.join()


@scenario(cpus=2, tags={"mmu", "tlb"})
def removals_cross(m):
    """Threads of one process remove a page each: the one that waits for its turn answers the other."""
    vm = boot(m)
    space = new_space(vm, "P", 3)
    pmap_maybethreaded(space.vm_pmap)

    def thread(n):
        run_in(m, space)
        for va in PAGES[:2]:
            touch(m.curcpu.load, va)
        old = pmap_inval_smp(space.vm_pmap, PAGES[n % 2], 1, user_entry(space, n % 2), 0)
        if old:
            reuse(vm, old)
        m.check(touch(m.curcpu.load, PAGES[n % 2]) is None, "a page that was removed is gone")
        m.check(touch(m.curcpu.load, PAGES[2]) == 0, "the other page is there")

    for n in range(m.ncpus):
        m.spawn(thread, n, name="thread")
    m.join()


@scenario(cpus=2, tags={"mmu", "tlb"})
def protection_against_stores(m):
    """A page becomes read-only, if its entry is still what it was, while a process stores to it."""
    vm = boot(m)
    space = new_space(vm, "P", 1)
    pte = user_entry(space, 0)
    frame = pte.peek() >> 12
    stored = m.atomic(0, name="stored")

    def user(n):
        run_in(m, space)
        for turn in m.rounds(2):
            if touch(m.curcpu.store, PAGES[0], f"{n} {turn}") is None:
                stored.store(1)

    def cleaner():
        old = pte.load()
        while old & PG_RW and not pmap_inval_smp_cmpset(space.vm_pmap, PAGES[0], pte, old, old & ~PG_RW):
            old = pte.load()
        copies = [vm.memory.load(frame) for _ in range(2)]
        m.check(copies[0] == copies[1], "a page that nobody may write stays as it is")
        m.check(old & PG_M or copies[0] == 0, "what was written is told by M")

    m.spawn(cleaner, name="cleaner")
    for n in range(m.ncpus - 1):
        m.spawn(user, n, name="user")
    m.join()


@scenario(cpus=2, tags={"mmu", "tlb", "sleep"}, fixed=True)
def removal_against_a_sleeper(m):
    """A thread sleeps, so its CPU leaves its address space, and comes back while a page is removed."""
    vm = boot(m)
    space = new_space(vm, "P", 1)
    woken, gone = m.atomic(0, name="woken"), m.atomic(0, name="gone")

    def sleeper():
        run_in(m, space)
        touch(m.curcpu.load, PAGES[0])
        while not woken.load():
            m.tsleep_interlock(woken)
            if not woken.load():
                m.tsleep(woken, PINTERLOCKED, "idle")
        read_all(m, PAGES[:1])
        while not gone.load():
            m.pause()
        m.check(touch(m.curcpu.load, PAGES[0]) is None, "a page that was removed is gone")

    def owner():
        woken.store(1)
        m.wakeup(woken)
        reuse(vm, pmap_inval_smp(space.vm_pmap, PAGES[0], 1, user_entry(space, 0), 0))
        gone.store(1)

    m.spawn(sleeper, name="sleeper")
    m.spawn(owner, name="owner")
    m.join()


@scenario(cpus=2, tags={"mmu", "tlb"}, fixed=True)
def switch_in_with_guesses(m):
    """A CPU walks the tables speculatively as soon as they are loaded, while a page is removed."""
    vm = boot(m, guesses=tuple(PAGES[:1]))
    space = new_space(vm, "P", 1)

    def user():
        run_in(m, space)
        read_all(m, PAGES[:1])

    def owner():
        reuse(vm, pmap_inval_smp(space.vm_pmap, PAGES[0], 1, user_entry(space, 0), 0))

    m.spawn(user, name="user")
    m.spawn(owner, name="owner")
    m.join()


@scenario(cpus=2, tags={"mmu", "tlb"})
def an_address_space_is_flushed(m):
    """All pages of a process are removed at once, and then all of its translations are flushed together."""
    vm = boot(m)
    space = new_space(vm, "P", 3)
    entries = [user_entry(space, n) for n in range(3)]

    def user():
        run_in(m, space)
        for _ in m.rounds(2):
            read_all(m, PAGES[:3])

    def owner():
        old = [pte.swap(0) for pte in entries]
        pmap_inval_smp(space.vm_pmap, VA_ALL, 1, None, 0)
        for pte in old:
            reuse(vm, pte)

    m.spawn(owner, name="owner")
    for _ in range(m.ncpus - 1):
        m.spawn(user, name="user")
    m.join()
