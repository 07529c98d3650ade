"""Codes of faults: the bits as the processor pushes them."""

from __future__ import annotations

import pytest

from vmsmp.mmu import fault
from vmsmp.mmu.fault import FETCH, LOAD, STORE, Access, GeneralProtection, PageFault, code_format

#: As the processor's manual numbers them.
BITS = {"P": 0, "W": 1, "U": 2, "RSV": 3, "I": 4, "PK": 5, "SS": 6, "HLAT": 7, "SGX": 15}


@pytest.mark.parametrize(("name", "number"), BITS.items())
def test_a_bit_of_a_code_is_where_the_manual_has_it(name, number):
    assert 1 << number == getattr(fault, f"PGEX_{name}")


@pytest.mark.parametrize(
    ("access", "nxe", "code"),
    [
        (LOAD, True, 0x4),
        (STORE, True, 0x6),
        (FETCH, True, 0x14),
        (FETCH, False, 0x4),
        (Access(user=False), True, 0x0),
        (Access(write=True, user=False), True, 0x2),
    ],
)
def test_a_code_says_what_was_tried(access, nxe, code):
    assert code == access.code(nxe=nxe)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (0, "0x0 (not present)"),
        (7, "0x7 (protection, write, user)"),
        (0x35, "0x35 (protection, user, fetch, protection key)"),
        (0x80C9, "0x80c9 (protection, reserved bit, shadow stack, HLAT, SGX)"),
    ],
)
def test_a_code_is_told_in_words(code, told):
    assert told == code_format(code)


def test_a_fault_tells_its_address_and_its_code():
    found = PageFault(0x1000, 6)
    assert (0x1000, 6) == (found.va, found.code)
    assert "page fault at 0x1000, code 0x6 (not present, write, user)" == str(found)


def test_an_address_that_cannot_be_translated_is_told():
    assert "general protection fault: 0x800000000000 is not canonical" == str(GeneralProtection(1 << 47))
