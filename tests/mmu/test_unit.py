"""One CPU's unit: what an access costs, what it sets, when it faults, and what flushes make of it."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.engine import ops
from vmsmp.mmu.entry import PG_A, PG_G, PG_M, PG_NX, PG_RW, PG_U, PG_V
from vmsmp.mmu.fault import FETCH, LOAD, STORE, Access, GeneralProtection, PageFault
from vmsmp.mmu.space import AddressSpace
from vmsmp.mmu.unit import CR3_NOFLUSH
from vmsmp.sync.ipiq import single_apic_ipi
from vmsmp.sync.thread import thread_of

VA = 0x1000
KERNEL_LOAD = Access(user=False)
KERNEL_STORE = Access(write=True, user=False)
READS = ["load table[0][0]", "load table[2][0]", "load table[3][0]", "load table[4][1]"]
MARKS = [text.replace("load", "cmpset") for text in READS]


def one_page(process, **how):
    return lambda m, mmu: (m.curcpu, process(mmu, {VA: how}))


def code_of(unit, va, access):
    """The code of the fault of an access; None if it does not fault."""
    try:
        unit.access(va, access, 1)
    except PageFault as fault:
        return fault.code if fault.va == unit.cr2 == va else "another address"
    return None


# -- what an access costs -------------------------------------------------------------------------


def test_a_first_access_takes_ten_steps_and_the_next_one(steps, process):
    def act(cpu, space):
        cpu.store(VA, 7)
        assert 7 == cpu.load(VA)

    told = steps(one_page(process), act)
    assert [*READS, *MARKS, "fill frame[1]", "store frame[1]", "load frame[1]"] == told


def test_a_walk_of_tables_that_were_walked_before_only_reads(steps, process):
    def act(cpu, space):
        cpu.load(VA)
        cpu.mmu.invlpg(VA)
        cpu.load(VA)

    told = steps(one_page(process), act)
    assert ["load frame[1]", "flush cpu0.tlb", *READS, "fill frame[1]", "load frame[1]"] == told[9:]


def test_the_first_store_to_a_page_that_was_read_walks_once_more_to_set_m(steps, process):
    def act(cpu, space):
        cpu.load(VA)
        cpu.store(VA, 1)
        cpu.store(VA, 2)

    told = steps(one_page(process), act)
    assert [*READS, MARKS[-1], "fill frame[1]", "store frame[1]", "store frame[1]"] == told[10:]


@pytest.mark.parametrize(("level", "reads"), [(2, 3), (3, 2)])
def test_a_walk_of_a_large_page_is_shorter(steps, process, level, reads):
    def prepare(m, mmu):
        space = process(mmu, {})
        space.enter(0, 0, level=level)
        return m.curcpu, space

    told = steps(prepare, lambda cpu, space: cpu.load(0x3000))
    assert ["load", "cmpset"] == [text.split()[0] for text in told[: 2 * reads : reads]]
    assert ["fill frame[3]", "load frame[3]"] == told[2 * reads :]


def test_a_fault_sets_no_bit_and_fills_nothing(steps, process):
    def act(cpu, space):
        assert 0x7 == code_of(cpu.mmu, VA, STORE)
        assert 0x4 == code_of(cpu.mmu, 2 * VA, LOAD)
        assert 0 == len(cpu.mmu.tlb)

    told = steps(one_page(process, bits=PG_V | PG_U), act)
    assert {"load"} == {text.split()[0] for text in told}


@pytest.mark.parametrize(
    ("access", "bits"), [(LOAD, PG_A), (FETCH, PG_A), (STORE, PG_A | PG_M)], ids=["load", "fetch", "store"]
)
def test_a_walk_sets_a_and_for_a_store_m(alone, process, access, bits):
    def program(m, mmu):
        space = process(mmu, {VA: {}})
        m.curcpu.mmu.access(VA, access, 1)
        return [space.entry(VA, level).peek() & (PG_A | PG_M) for level in (4, 3, 2, 1)]

    assert [PG_A, PG_A, PG_A, bits] == alone(program)


# -- protection -----------------------------------------------------------------------------------

USER, RW, XD = PG_U, PG_RW, PG_NX


@pytest.mark.parametrize(
    ("bits", "access", "code"),
    [
        (USER | RW, LOAD, None),
        (USER | RW, STORE, None),
        (USER | RW, FETCH, None),
        (USER, STORE, 0x7),
        (RW, LOAD, 0x5),
        (RW, STORE, 0x7),
        (USER | RW | XD, FETCH, 0x15),
        (USER | RW | XD, LOAD, None),
        (0, STORE, 0x7),
        (RW, KERNEL_LOAD, None),
        (RW, KERNEL_STORE, None),
        (0, KERNEL_STORE, 0x3),
        (USER, KERNEL_STORE, 0x3),
        (XD, Access(fetch=True, user=False), 0x11),
    ],
)
def test_an_access_needs_its_rights(alone, process, bits, access, code):
    def program(m, mmu):
        process(mmu, {VA: {"bits": PG_V | bits}})
        return code_of(m.curcpu.mmu, VA, access)

    assert code == alone(program)


def test_the_kernel_stores_where_it_likes_without_write_protection(alone, process):
    def program(m, mmu):
        process(mmu, {VA: {"bits": PG_V | PG_U}})
        m.curcpu.mmu.wp = False
        return code_of(m.curcpu.mmu, VA, KERNEL_STORE), code_of(m.curcpu.mmu, VA, STORE)

    assert (None, 0x7) == alone(program)


@pytest.mark.parametrize(("access", "code"), [(LOAD, 0x4), (STORE, 0x6), (FETCH, 0x14), (KERNEL_STORE, 0x2)])
def test_an_entry_that_is_not_present_faults_by_what_was_tried(alone, process, access, code):
    def program(m, mmu):
        process(mmu, {VA: {"bits": PG_RW | PG_U}})
        return code_of(m.curcpu.mmu, VA, access), code_of(m.curcpu.mmu, 1 << 46, access)

    assert (code, code) == alone(program)


def test_a_reserved_bit_faults_whatever_was_tried(alone, process):
    def program(m, mmu):
        process(mmu, {VA: {"bits": PG_V | PG_RW | PG_U | PG_NX}})
        return code_of(m.curcpu.mmu, VA, LOAD), code_of(m.curcpu.mmu, VA, FETCH)

    assert (0xD, 0xD) == alone(program, nxe=False)


@pytest.mark.parametrize(
    ("pkru", "bits", "access", "code"),
    [
        (0, USER | RW, STORE, None),
        (0b01, USER | RW, LOAD, 0x25),
        (0b01, USER | RW, STORE, 0x27),
        (0b01, USER | RW, FETCH, None),
        (0b10, USER | RW, LOAD, None),
        (0b10, USER | RW, STORE, 0x27),
        (0b10, USER, STORE, 0x27),
        (0b10, USER | RW, KERNEL_STORE, 0x23),
        (0b11, RW, KERNEL_STORE, None),
        (0b01, RW, LOAD, 0x5),
    ],
)
def test_a_protection_key_takes_rights_to_user_pages_away(alone, process, pkru, bits, access, code):
    def program(m, mmu):
        process(mmu, {VA: {"bits": PG_V | bits, "key": 5}, 2 * VA: {"bits": PG_V | bits, "key": 4}})
        m.curcpu.mmu.pkru = pkru << 2 * 5
        other = code_of(m.curcpu.mmu, 2 * VA, access)
        assert other in (None, 0x5, 0x7)  # another key's page is left alone
        return code_of(m.curcpu.mmu, VA, access)

    assert code == alone(program, pke=True)


def test_keys_that_are_off_mean_nothing(alone, process):
    def program(m, mmu):
        process(mmu, {VA: {"key": 5}})
        m.curcpu.mmu.pkru = (1 << 32) - 1
        return code_of(m.curcpu.mmu, VA, STORE)

    assert None is alone(program)


def test_a_key_closes_what_is_cached_at_once(alone, process):
    def program(m, mmu):
        process(mmu, {VA: {"key": 1}})
        unit = m.curcpu.mmu
        unit.store(VA, 1)
        unit.pkru = 0b01 << 2
        return code_of(unit, VA, LOAD)

    assert 0x25 == alone(program, pke=True)


def test_an_address_that_is_not_canonical_is_no_page_fault(alone, process):
    def program(m, mmu):
        process(mmu, {VA: {}})
        with pytest.raises(GeneralProtection):
            m.curcpu.load(1 << 47)

    alone(program)


def test_a_fault_nobody_handles_ends_the_run(failing, process):
    def program(m, mmu):
        process(mmu, {})
        m.curcpu.store(VA, 1)

    failure = failing(program)
    assert "exception" == failure.kind
    assert "page fault at 0x1000, code 0x6 (not present, write, user)" in failure.message


def test_a_trap_may_mend_a_fault_and_the_access_is_tried_again(alone, process):
    def program(m, mmu):
        space = process(mmu, {})
        seen = []

        def trap(cpu, fault):
            seen.append((cpu.index, fault.va, fault.code, cpu.mmu.cr2))
            space.enter(VA, mmu.memory.take("P"))

        mmu.trap = trap
        m.curcpu.store(VA, "here")
        return seen, m.curcpu.load(VA)

    assert ([(0, VA, 0x6, VA)], "here") == alone(program)


# -- stale entries ---------------------------------------------------------------------------------


def test_a_tlb_is_not_told_of_a_change_of_the_tables(alone, process):
    def program(m, mmu):
        space = process(mmu, {VA: {}})
        m.curcpu.store(VA, "old")
        space.entry(VA).store(0)
        stale = m.curcpu.load(VA)
        m.curcpu.store(VA, "new")
        untouched = space.entry(VA).peek()
        m.curcpu.mmu.invlpg(VA)
        return stale, untouched, code_of(m.curcpu.mmu, VA, LOAD)

    assert ("old", 0, 0x4) == alone(program)


def test_an_entry_with_too_few_rights_is_looked_up_again_before_it_faults(alone, process):
    def program(m, mmu):
        space = process(mmu, {VA: {"bits": PG_V | PG_U}})
        m.curcpu.load(VA)
        space.entry(VA).setbits(PG_RW)  # rights that are given need no flush
        m.curcpu.store(VA, 1)
        return m.curcpu.load(VA), space.entry(VA).peek() & PG_M

    assert (1, PG_M) == alone(program)


def test_an_entry_that_faults_is_gone(alone, process):
    def program(m, mmu):
        process(mmu, {VA: {"bits": PG_V | PG_U}})
        m.curcpu.load(VA)
        return code_of(m.curcpu.mmu, VA, STORE), len(m.curcpu.mmu.tlb)

    assert (0x7, 0) == alone(program)


def test_a_walk_begins_again_if_an_entry_changes_under_it():
    def program(m):
        mmu = m.mmu(frames=16)
        space = AddressSpace(mmu, "P")
        space.enter(VA, mmu.memory.take("P"))
        space.enter(2 * VA, mmu.memory.take("P"))
        one, other = mmu.peek(space.root, VA).frame, mmu.peek(space.root, 2 * VA).frame

        def user():
            space.activate()
            m.curcpu.store(VA, 1)

        def mover():
            space.entry(VA).store(other << 12 | PG_V | PG_RW | PG_U)

        m.spawn(user)
        m.spawn(mover)
        m.join()
        pte = space.entry(VA).peek()
        m.check(pte >> 12 == other, "what the mover stored is kept")
        if mmu.memory.peek(other):
            m.check(pte & PG_M, "a store by the new entry has set M in it")
        else:
            m.check(mmu.memory.peek(one), "the store went by the old entry")

    result = vmsmp.explore(program, sched="dpor", schedules=2_000)
    assert None is result.failure
    assert result.exhausted


# -- flushes --------------------------------------------------------------------------------------

G = PG_V | PG_RW | PG_U | PG_G


@pytest.mark.parametrize(
    ("flush", "left"),
    [
        (lambda unit, space: unit.invlpg(VA), [0x2000, 0x9000]),
        (lambda unit, space: unit.invlpg(0x9000), [0x1000, 0x2000]),
        (lambda unit, space: unit.invltlb(), [0x9000]),
        (lambda unit, space: unit.load_cr3(space.cr3), [0x9000]),
        (lambda unit, space: unit.flush_all(), []),
        (lambda unit, space: unit.invpcid(0), [0x9000]),
        (lambda unit, space: unit.invpcid(0, VA), [0x2000, 0x9000]),
        (lambda unit, space: unit.invpcid(0, 0x9000), [0x1000, 0x2000, 0x9000]),
    ],
    ids=["invlpg", "invlpg of global", "invltlb", "cr3", "all", "pcid", "pcid and page", "pcid and global"],
)
def test_a_flush_is_one_step_and_takes_what_it_names(steps, process, flush, left):
    def prepare(m, mmu):
        space = process(mmu, {VA: {}, 2 * VA: {}, 9 * VA: {"bits": G}})
        for va in (VA, 2 * VA, 9 * VA):
            m.curcpu.load(va)
        return m.curcpu.mmu, space

    def act(unit, space):
        flush(unit, space)
        assert left == [entry.va for _, entry in unit.tlb.entries()]

    assert ["flush cpu0.tlb"] == steps(prepare, act)


@pytest.mark.parametrize(
    ("pcid", "bits", "left"),
    [(False, 0, 0), (True, 0, 1), (True, CR3_NOFLUSH, 2)],
    ids=["without numbers", "with numbers", "with numbers and without flush"],
)
def test_a_switch_to_another_address_space_flushes_by_number(alone, process, pcid, bits, left):
    def program(m, mmu):
        spaces = [process(mmu, {VA: {}}, pcid=n * pcid) for n in (1, 2)]
        unit = m.curcpu.mmu
        for space in spaces:
            unit.load_cr3(space.cr3)
            unit.load(VA)
        unit.load_cr3(spaces[0].cr3 | bits)
        return len(unit.tlb)

    assert left == alone(program, pcid=pcid)


def test_address_spaces_have_numbers_only_where_that_is_asked_for(alone):
    def program(m, mmu):
        for cr3 in (0x1003, 0x1000 | CR3_NOFLUSH):
            with pytest.raises(vmsmp.UsageError, match="no numbers here"):
                m.curcpu.mmu.load_cr3(cr3)

    alone(program)


def test_one_address_is_two_things_in_two_address_spaces(alone, process):
    def program(m, mmu):
        spaces = [process(mmu, {VA: {}}, pcid=n) for n in (1, 2)]
        for n, space in enumerate(spaces):
            space.activate()
            m.curcpu.store(VA, n)
        seen = []
        for space in spaces:
            m.curcpu.mmu.load_cr3(space.cr3 | CR3_NOFLUSH)
            seen.append(m.curcpu.load(VA))
        return seen

    assert [0, 1] == alone(program, pcid=True)


def test_a_full_tlb_walks_again(steps, process):
    def act(cpu, space):
        for va in (VA, 2 * VA, VA):
            cpu.load(va)

    def prepare(m, mmu):
        return m.curcpu, process(mmu, {VA: {}, 2 * VA: {}})

    told = steps(prepare, act, tlb=1)
    assert [*READS, "fill frame[1]", "load frame[1]"] == told[-6:]


def test_which_entry_gives_way_may_be_the_scheduler_s_to_draw():
    ended = set()

    def program(m):
        mmu = m.mmu(frames=16, tlb=2, replacement="draw")
        space = AddressSpace(mmu, "P")
        for n in (1, 2, 3):
            space.enter(n * VA, mmu.memory.take("P"))
        space.activate()
        for n in (1, 2, 3):
            m.curcpu.load(n * VA)
        ended.add(tuple(entry.va // VA for _, entry in m.curcpu.mmu.tlb.entries()))

    assert vmsmp.explore(program, sched="dfs", schedules=10).exhausted
    assert {(1, 3), (2, 3)} == ended


# -- of its own accord ----------------------------------------------------------------------------


def test_a_search_draws_every_walk_that_a_cpu_may_make_of_its_own_accord():
    ended = set()

    def program(m):
        mmu = m.mmu(frames=16, guesses=(2 * VA, 3 * VA))
        space = AddressSpace(mmu, "P")
        for n in (1, 2):
            space.enter(n * VA, mmu.memory.take("P"))
        space.activate()
        m.curcpu.load(VA)
        ended.add(tuple(sorted(entry.va // VA for _, entry in m.curcpu.mmu.tlb.entries())))
        m.check(not space.entry(2 * VA).peek() & PG_M, "nothing is modified by a guess")

    result = vmsmp.explore(program, sched="dpor", schedules=100)
    assert (None, True) == (result.failure, result.exhausted)
    assert {(1,), (1, 2)} == ended


def test_a_guess_that_would_fault_is_let_be(alone, process):
    def program(m, mmu):
        process(mmu, {VA: {}})
        for _ in range(20):
            m.curcpu.load(VA)
        return m.curcpu.mmu.cr2, len(m.curcpu.mmu.tlb)

    assert (0, 1) == alone(program, guesses=(2 * VA,))


def test_interrupts_are_taken_before_an_access_and_not_within():
    when = set()

    def program(m):
        mmu = m.mmu(frames=16)
        space = AddressSpace(mmu, "P")
        space.enter(VA, mmu.memory.take("P"))
        cpu = m.curcpu
        space.activate()

        def look():
            walked = bool(space.entry(VA, 4).peek() & PG_A)
            m.check(walked == bool(len(cpu.mmu.tlb)), "no walk is under way")
            when.add(walked)

        m.spawn(lambda: m.send_ipiq(cpu, look))
        for _ in range(3):
            space.active.load()  # before the next access the IPI may have come
            cpu.load(VA)

    assert None is vmsmp.explore(program, sched="random", schedules=100).failure
    assert {False, True} == when


@pytest.mark.parametrize("engine", ["controlled", "free"])
def test_a_cpu_may_spin_on_what_another_one_stores(engine):
    def program(m):
        mmu = m.mmu(frames=16)
        space = AddressSpace(mmu, "P")
        space.enter(VA, mmu.memory.take("P"))

        def waits():
            space.activate()
            while not m.curcpu.load(VA):
                m.pause()

        def stores():
            space.activate()
            m.curcpu.store(VA, 1)

        m.spawn(waits)
        m.spawn(stores)
        m.join()

    run = (
        vmsmp.explore(program, schedules=50) if engine == "controlled" else vmsmp.run(program, engine="free")
    )
    assert None is run.failure


def test_the_same_line_gives_the_same_run():
    def program(m):
        mmu = m.mmu(frames=16, guesses=(2 * VA,), tlb=1, replacement="draw")
        space = AddressSpace(mmu, "P")
        for n in (1, 2):
            space.enter(n * VA, mmu.memory.take("P"))

        def user(n):
            space.activate()
            for va in (VA, 2 * VA, VA):
                m.curcpu.store(va, n)

        for n in range(3):
            m.spawn(user, n)
        m.join()

    lines = [f"v1:program:{seed}:0.30>1,1.5>2" for seed in (0, 1, 7)]
    runs = [
        [vmsmp.replay(program, line, check=check).digest for line in lines] for check in (True, True, False)
    ]
    assert runs[0] == runs[1] == runs[2]
    assert 3 == len({*runs[0]})


def test_an_interrupt_waits_for_the_end_of_an_access(process):
    told = set()

    def program(m):
        mmu = m.mmu(frames=16)
        m.vector = lambda td: told.add((ops.kind_of(td.cpu.pending) == ops.FILL, len(td.cpu.mmu.tlb)))
        space = process(mmu, {VA: {}})

        def user():
            space.activate()
            m.curcpu.load(VA)

        cpu = m.spawn(user)
        single_apic_ipi(m, thread_of(m, cpu))
        m.join()

    vmsmp.explore(program, sched="dfs:1", schedules=200)
    assert {(False, 0), (False, 1)} == told


@pytest.mark.parametrize("faults", [False, True])
def test_an_interrupt_that_comes_in_an_access_is_taken_at_its_end_whoever_runs_then(process, faults):
    """A CPU that goes on without a rest looks at no interrupt again, and may then wait for who sent it."""

    def program(m):
        mmu = m.mmu(frames=16)
        taken = []
        m.vector = lambda td: taken.append(len(td.cpu.mmu.tlb))
        space = process(mmu, {VA: {}})
        space.activate()
        cpu = m.curcpu

        def trap(cpu, fault):
            taken.append("trap")
            raise fault

        mmu.trap = trap
        hook = "walks" if faults else "used"
        setattr(m.hooks, hook, (lambda *_: setattr(cpu, "latched", True),))
        if faults:
            with pytest.raises(PageFault):
                cpu.load(3 * VA)
        else:
            cpu.load(VA)
        m.check(taken == ([0, "trap"] if faults else [1]), "it is taken once the access is over")
        m.check(not cpu.latched and not cpu.closed, "and nothing is left of it")

    assert None is vmsmp.explore(program, sched="dfs:0", schedules=1, check=False).failure
