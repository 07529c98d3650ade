"""Entries and error codes: what an entry says, and which access it refuses with which code."""

from __future__ import annotations

from itertools import product

import pytest

import vmsmp
from vmsmp.mmu.entry import frame_of, key_of
from vmsmp.mmu.fault import FETCH, LOAD, STORE, Access, PageFault
from vmsmp.mmu.space import AddressSpace
from vmsmp.mmu.textbook.entry import (
    FAULT_MEANS,
    PHYSICAL_BITS,
    PTE_MEANS,
    FaultCode,
    Pte,
    entry_for,
    fault_code,
    flags_of,
    in_words,
    manual_name,
    marked,
    permissions_of,
)

SYSTEM = Access(user=False)


@pytest.mark.parametrize("permissions", ["r--", "rw-", "r-x", "rwx"])
def test_an_entry_has_the_permissions_that_it_was_made_with(permissions):
    assert permissions == permissions_of(entry_for(1, permissions))


@pytest.mark.parametrize("frame", [0, 302, (1 << 34) - 1])
@pytest.mark.parametrize("key", [0, 15])
def test_frame_key_and_flags_do_not_disturb_one_another(frame, key):
    entry = entry_for(frame, "rw-", key=key)
    assert (frame, key, Pte.P | Pte.RW | Pte.US | Pte.XD) == (frame_of(entry), key_of(entry), flags_of(entry))


def test_of_an_entry_that_is_not_present_all_else_is_ignored():
    entry = entry_for(5, "rwx") & ~Pte.P
    assert (Pte(0), "---", FaultCode.US) == (flags_of(entry), permissions_of(entry), fault_code(entry, LOAD))


@pytest.mark.parametrize(
    ("entry", "access", "code"),
    [
        (0, LOAD, 0x4),
        (0, STORE, 0x6),
        (0, FETCH, 0x14),
        (0, SYSTEM, 0x0),
        (entry_for(1, "r--"), STORE, 0x7),
        (entry_for(1, "rw-"), FETCH, 0x15),
        (entry_for(1, "rwx", user=False), LOAD, 0x5),
        (entry_for(1, "rwx") | 1 << PHYSICAL_BITS, LOAD, 0xD),
        (entry_for(1, "r--", user=False), Access(write=True, user=False), 0x3),
    ],
)
def test_a_refused_access_has_its_code(entry, access, code):
    assert code == fault_code(entry, access)


@pytest.mark.parametrize("access", [LOAD, STORE, FETCH, SYSTEM], ids=in_words)
def test_what_is_allowed_has_no_code(access):
    assert fault_code(entry_for(1, "rwx"), access) is None


@pytest.mark.parametrize(
    ("pkru", "access", "code"),
    [
        (0b01 << 6, LOAD, 0x25),
        (0b01 << 6, STORE, 0x27),
        (0b10 << 6, LOAD, None),
        (0b10 << 6, STORE, 0x27),
        (0b11 << 6, FETCH, None),
        (0b11 << 4, STORE, None),
        (0b01 << 6, SYSTEM, 0x21),
    ],
)
def test_a_key_forbids_data_accesses_or_writes(pkru, access, code):
    assert code == fault_code(entry_for(1, "rwx", key=3), access, pkru)


def test_a_key_says_nothing_of_the_kernel_s_pages():
    assert fault_code(entry_for(1, "rw-", user=False, key=3), SYSTEM, pkru=0b11 << 6) is None


def test_a_walk_marks_what_was_accessed_and_what_was_written():
    entry = entry_for(1, "rw-")
    assert (Pte.A, Pte.A | Pte.D) == tuple(
        marked(entry, access) & (Pte.A | Pte.D) for access in (LOAD, STORE)
    )


def test_every_bit_has_a_meaning():
    assert ([*Pte], [*FaultCode]) == ([*PTE_MEANS], [*FAULT_MEANS])


def test_bits_have_the_names_of_the_manuals():
    assert ["R/W", "U/S", "W/R", "I/D", "XD"] == [
        manual_name(bit) for bit in (Pte.RW, Pte.US, FaultCode.WR, FaultCode.ID, Pte.XD)
    ]


def test_an_access_says_what_it_is():
    assert ["user read", "user write", "user fetch", "supervisor read"] == [
        in_words(access) for access in (LOAD, STORE, FETCH, SYSTEM)
    ]


def test_the_machine_s_own_walk_refuses_the_same_with_the_same_code():
    """Each kind of entry and key against each access, on a CPU that goes through its TLB and its tables."""
    va, key = 0x40_1000, 3
    accesses = [Access(*what) for what in product([False, True], repeat=3) if what[:2] != (True, True)]
    entries = [
        0,
        *(entry_for(0, r, user=u, key=key) for r in ("r--", "rw-", "r-x", "rwx") for u in (True, False)),
    ]
    told = []

    def program(m):
        mmu = m.mmu(frames=8, pke=True)
        space = AddressSpace(mmu, "process")
        frame = mmu.memory.take("process")
        space.activate()
        unit = m.curcpu.mmu
        for entry, unit.pkru, access in product(entries, [0, 0b01 << 2 * key, 0b10 << 2 * key], accesses):
            space.enter(va, frame, entry)
            unit.invlpg(va)
            try:
                unit.access(va, access, 0)
                code = None
            except PageFault as fault:
                code = fault.code
            told.append((entry, unit.pkru, access, code))

    assert vmsmp.explore(program, schedules=1).failure is None
    assert len(entries) * 3 * len(accesses) == len(told)
    assert [] == [one for one in told if one[3] != fault_code(one[0], one[2], one[1])]
