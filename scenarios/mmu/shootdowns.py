"""TLB shootdown: a page is unmapped on CPUs that may have cached its translation."""

from vmsmp import scenario
from vmsmp.mmu.entry import PG_RW, PG_U, PG_V
from vmsmp.mmu.fault import PageFault
from vmsmp.mmu.shootdown import protect, unmap
from vmsmp.mmu.space import AddressSpace

PAGES = (0x40_1000, 0x40_2000)


def _mapped(m, **sizes):
    """An MMU, and an address space in which the pages are mapped to frames of its own."""
    mmu = m.mmu(frames=8, **sizes)
    space = AddressSpace(mmu, "parent")
    for va in PAGES:
        space.enter(va, mmu.memory.take("parent"))
    return mmu, space


def _touch(access, *args):
    """Access memory as a process that a fault stops; return whether it succeeded."""
    try:
        access(*args)
    except PageFault:
        return False
    return True


@scenario(cpus=2, tags={"mmu", "tlb"})
def shootdown_then_reuse(m):
    """A process' pages are unmapped while its other thread runs, and their frames get new owners."""
    mmu, space = _mapped(m)

    def user():
        space.activate()
        for _ in m.rounds(2):
            for va in PAGES:
                _touch(m.curcpu.load, va)

    def owner():
        for va in PAGES:
            frame = unmap(space, va)
            mmu.memory.assign(frame, "somebody else")
            mmu.memory.store(frame, 0, "a secret")

    for _ in range(m.ncpus - 1):
        m.spawn(user, name="user")
    m.spawn(owner, name="owner")
    m.join()


@scenario(cpus=2, tags={"mmu", "tlb"})
def shootdown_then_copy(m):
    """A page is made read-only while others store to it: after that its contents do not change."""
    mmu, space = _mapped(m)
    va = PAGES[0]
    frame = mmu.peek(space.root, va).frame

    def user(value):
        space.activate()
        for n in m.rounds(3):
            _touch(m.curcpu.store, va, f"{value} {n}")

    def copier():
        protect(space, va)
        copies = [mmu.memory.load(frame) for _ in range(2)]
        m.check(copies[0] == copies[1], "a page that nobody may write stays as it is")

    for n in range(m.ncpus - 1):
        m.spawn(user, f"user {n}", name="user")
    m.spawn(copier, name="copier")
    m.join()


@scenario(cpus=2, tags={"mmu", "tlb"})
def shootdown_of_what_nobody_asked_for(m):
    """CPUs walk speculatively, also right after a flush, and one of these pages is unmapped."""
    mmu, space = _mapped(m, guesses=PAGES[1:])

    def user():
        space.activate()
        for _ in m.rounds(2):
            _touch(m.curcpu.load, PAGES[0])
        _touch(m.curcpu.load, PAGES[1])

    def owner():
        frame = unmap(space, PAGES[1])
        mmu.memory.assign(frame, "somebody else")

    for _ in range(m.ncpus - 1):
        m.spawn(user, name="user")
    m.spawn(owner, name="owner")
    m.join()


@scenario(cpus=2, tags={"mmu", "tlb"})
def address_spaces_in_turn(m):
    """CPUs switch between two address spaces with different pages at one address, and one is unmapped."""
    mmu = m.mmu(frames=16, pcid=True)
    va = PAGES[0]
    spaces = [AddressSpace(mmu, name, pcid) for pcid, name in enumerate(("parent", "child"), 1)]
    for space in spaces:
        frame = mmu.memory.take(space.name)
        mmu.memory.store(frame, 0, space.name)
        space.enter(va, frame, PG_V | PG_U)

    def user(turn):
        before = None
        for n in m.rounds(3):
            space = spaces[(turn + n) % 2]
            space.activate(before)
            before = space
            for _ in range(2):
                try:
                    m.check(m.curcpu.load(va) == space.name, "an address is what its address space says")
                except PageFault:
                    m.check(space is spaces[1], "the parent's page is mapped all the time")

    def owner():
        mmu.memory.assign(unmap(spaces[1], va), "somebody else")

    for n in range(m.ncpus - 1):
        m.spawn(user, n + 1, name="user")
    m.spawn(owner, name="owner")
    m.join()


@scenario(cpus=2, tags={"mmu", "tlb"})
def shootdowns_cross(m):
    """CPUs unmap each other's pages at the same time: each answers the other's IPI while it waits."""
    mmu, space = _mapped(m)

    def owner(n):
        space.activate()
        for va in PAGES:
            _touch(m.curcpu.load, va)
        frame = unmap(space, PAGES[n % 2])
        if frame is not None:
            mmu.memory.assign(frame, f"cpu{n}")
        for va in PAGES:
            _touch(m.curcpu.load, va)

    for n in range(m.ncpus):
        m.spawn(owner, n, name="owner")
    m.join()


@scenario(cpus=2, tags={"mmu"})
def bits_set_by_walks_are_kept(m):
    """CPUs set A and M in an entry while another one repeatedly makes it read-only."""
    mmu, space = _mapped(m)
    va = PAGES[0]
    frame = mmu.peek(space.root, va).frame
    stored = m.atomic(0, name="stored")

    def user():
        space.activate()
        for _ in m.rounds(2):
            if _touch(m.curcpu.store, va, "new"):
                stored.store(1)

    def cleaner():
        word = space.entry(va)
        protect(space, va)
        m.check(word.load() & 0x40 or not stored.load(), "what was written is told by M")
        word.setbits(PG_RW)

    for _ in range(m.ncpus - 1):
        m.spawn(user, name="user")
    m.spawn(cleaner, name="cleaner")
    m.join()
    m.check(mmu.memory.peek(frame) in (0, "new"), "nothing else was written")
