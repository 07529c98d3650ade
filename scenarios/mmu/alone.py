"""One CPU and its TLB: what each access may do, what it caches, and what each flush removes."""

from vmsmp import scenario
from vmsmp.mmu.entry import PG_A, PG_G, PG_M, PG_NX, PG_RW, PG_U, PG_V
from vmsmp.mmu.fault import FETCH, LOAD, STORE, Access, GeneralProtection, PageFault
from vmsmp.mmu.shootdown import protect, unmap
from vmsmp.mmu.space import AddressSpace
from vmsmp.mmu.unit import CR3_NOFLUSH

VA = 0x40_1000
#: Pages beside it: of the same table, global, and a large one.
BESIDE, SHARED, LARGE = VA + 0x1000, VA + 0x2000, 0x80_0000
ALL = PG_V | PG_RW | PG_U


def code_of(unit, va, access):
    """The error code of an access's fault, or None if it succeeds."""
    try:
        unit.access(va, access, "stored")
    except PageFault as fault:
        return fault.code
    return None


def expected(bits, access, *, nxe, locked, wp):
    """The code that an access must give by the bits of the only entry that takes a right away."""
    what = 2 * access.write | 4 * access.user | 16 * (access.fetch and nxe)
    if not bits & PG_V:
        return what
    if bits & PG_NX and not nxe:
        return what | 0x9  # a reserved bit
    strict = access.user or wp
    allowed = (
        (bits & PG_U or not access.user)
        and (bits & PG_RW or not access.write or not strict)
        and not (bits & PG_NX and access.fetch)
    )
    kept = locked and bits & PG_U and not access.fetch and (locked & 1 or (access.write and strict))
    return None if allowed and not kept else what | 1 | 32 * bool(kept)


@scenario(cpus=1, tags={"mmu", "tlb"})
def accesses_alone(m):
    """A CPU accesses pages with all kinds of rights: each access is allowed or not, and sets A and M."""
    nxe, pke = bool(m.choose(2)), bool(m.choose(2))
    mmu = m.mmu(frames=12, nxe=nxe, pke=pke)
    space = AddressSpace(mmu, "P")
    frame = mmu.memory.take("P")

    def cpu():
        unit = m.curcpu.mmu
        space.activate()
        unit.wp = bool(m.choose(2))
        locked = m.choose(4) if pke else 0
        unit.pkru = locked << 2 * 5
        for _ in m.rounds(6):
            bits = PG_V * (m.choose(4) > 0) | PG_RW * m.choose(2) | PG_U * m.choose(2) | PG_NX * m.choose(2)
            space.enter(VA, frame, bits, key=5 if pke else 0)
            unit.invlpg(VA)
            for access in (LOAD, STORE, FETCH, Access(user=False), Access(write=True, user=False)):
                before = space.entry(VA).load()
                known = unit.tlb.holds(0, VA)
                code = code_of(unit, VA, access)
                right = expected(bits, access, nxe=nxe, locked=locked, wp=unit.wp)
                m.check(code == right, "an access is allowed if all rights for it are given, and no other is")
                after = space.entry(VA).load()
                m.check(code is None or before == after, "an access that is not allowed leaves no trace")
                said = after & (PG_A | PG_M * access.write)
                m.check(code is not None or said == PG_A | PG_M * access.write, "an access tells the tables")
                m.check(after & ~(PG_A | PG_M) == before & ~(PG_A | PG_M), "and nothing else")
                m.check(after & PG_M == before & PG_M or access.write, "only a store says that it was one")
                m.check(unit.tlb.holds(0, VA) == (code is None), "what is allowed is cached")
                m.check(code is None or unit.cr2 == VA, "a fault says where it was")
                m.check(known or code is None or not unit.tlb.holds(0, VA), "a fault caches nothing")
        try:
            m.curcpu.load(1 << 47)
        except GeneralProtection:
            return
        m.check(False, "an address that is none is refused")

    m.spawn(cpu)
    m.join()


@scenario(cpus=1, tags={"mmu", "tlb"})
def flushes_alone(m):
    """A CPU caches pages of two address spaces, and flushes some: only those are walked again."""
    pcid = bool(m.choose(2))
    mmu = m.mmu(frames=600 * 2, pcid=pcid)
    spaces = [AddressSpace(mmu, name, n * pcid) for n, name in enumerate(("P", "Q"), 1)]
    first = mmu.memory.frames - 512
    frames = [mmu.memory.take("both") for _ in range(4)]
    for space, frame in zip(spaces, frames, strict=False):
        space.enter(VA, frame)
        space.enter(BESIDE, frames[2])
        space.enter(SHARED, frames[3], ALL | PG_G)
        space.enter(LARGE, first - first % 512, level=2)

    def cpu():
        unit = m.curcpu.mmu
        old, new = (space.cr3 for space in spaces)
        tags = [space.pcid for space in spaces]

        def cached(tag):
            return {va for va in (VA, BESIDE, SHARED, LARGE) if unit.tlb.holds(tag, va)}

        def use(space):
            for va in (VA, BESIDE, SHARED, LARGE, LARGE + 0x5000):
                unit.load(va)
            m.check(cached(space.pcid) == {VA, BESIDE, SHARED, LARGE}, "what is used is cached")

        unit.load_cr3(old)
        use(spaces[0])
        unit.load_cr3(new)
        left = {VA, BESIDE, SHARED, LARGE} if pcid else {SHARED}
        m.check(cached(tags[0]) == left, "a switch forgets what is not global, or has no number of its own")
        use(spaces[1])
        unit.store(VA, "new")
        flush, gone, others = [
            (lambda: unit.invlpg(VA), {VA}, set()),
            (lambda: unit.invlpg(SHARED), {SHARED}, {SHARED}),
            (lambda: unit.invlpg(LARGE + 0x7000), {LARGE}, set()),
            (unit.invltlb, {VA, BESIDE, LARGE}, set()),
            (unit.flush_all, {VA, BESIDE, SHARED, LARGE}, {VA, BESIDE, SHARED, LARGE}),
            (lambda: unit.invpcid(tags[1]), {VA, BESIDE, LARGE}, set()),
            (lambda: unit.invpcid(tags[1], VA), {VA}, set()),
            (lambda: unit.load_cr3(new), {VA, BESIDE, LARGE}, set()),
        ][m.choose(8)]
        flush()
        m.check(cached(tags[1]) == {VA, BESIDE, SHARED, LARGE} - gone, "a flush takes what it names")
        if pcid:
            m.check(cached(tags[0]) == left - others, "and nothing of other address spaces")
        use(spaces[1])
        m.check(unit.load(VA) == "new", "an address is what its address space says")
        unit.load_cr3(old | CR3_NOFLUSH * pcid)
        m.check(unit.load(VA) == 0, "an address is what its address space says")

    m.spawn(cpu)
    m.join()


@scenario(cpus=1, tags={"mmu", "tlb"})
def shootdowns_alone(m):
    """A CPU unmaps and protects pages of its own, with a small TLB: it never sees more than it may."""
    mmu = m.mmu(frames=12, tlb=2, pcid=bool(m.choose(2)))
    space = AddressSpace(mmu, "P", int(mmu.config.pcid))
    for va in (VA, BESIDE, SHARED):
        space.enter(va, mmu.memory.take("P"))

    def cpu():
        unit = m.curcpu.mmu
        space.activate()
        m.check(space.active.load() == 1 << m.curcpu.index, "a CPU that may cache is counted")
        tag = space.pcid
        for va in (VA, BESIDE, VA, SHARED):
            unit.store(va, va)
        m.check(
            [unit.tlb.holds(tag, va) for va in (VA, BESIDE, SHARED)] == [True, False, True], "the oldest goes"
        )
        protect(space, VA)
        m.check(code_of(unit, VA, STORE) == 7, "what was protected is not written to")
        m.check(unit.load(VA) == VA, "and can be read")
        unit.load(SHARED)
        frame = unmap(space, SHARED)
        m.check(mmu.memory.peek(frame) == SHARED, "who unmaps a page gets its frame")
        m.check(
            code_of(unit, SHARED, LOAD) == 4 and unmap(space, SHARED) is None, "what was unmapped is gone"
        )
        m.check(unmap(space, LARGE) is None, "what was never mapped has no frame")
        mmu.memory.give(frame)
        m.check(mmu.memory.take("Q") == frame, "a frame that was given back is taken again")
        m.check(mmu.memory.load(frame) in (0, SHARED), "with what was in it, or zeros")
        other = AddressSpace(mmu, "Q", 2 * tag)
        other.activate(space)
        m.check(
            (space.active.load(), other.active.load()) == (0, 1 << m.curcpu.index), "a CPU is in one of them"
        )
        m.check(code_of(unit, VA, LOAD) == 4, "and sees nothing of the other")

    m.spawn(cpu)
    m.join()
