"""The bits of a page's words and of allocation requests."""

from __future__ import annotations

import pytest

from vmsmp.vm import vm_page as h


def test_the_busy_word_is_laid_out_as_in_the_kernel():
    assert (0x80000000, 0x40000000, 0x20000000, 0x1FFFFFFF) == (
        h.PBUSY_LOCKED,
        h.PBUSY_WANTED,
        h.PBUSY_SWAPINPROG,
        h.PBUSY_MASK,
    )


def test_every_flag_is_one_bit_of_its_own():
    flags = [
        value for name, value in vars(h).items() if name.startswith("PG_") and name != "PG_KEEP_NEWPAGE_MASK"
    ]
    assert len(flags) == sum(flags).bit_count()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WINATCFLS", 0x4),
        ("FICTITIOUS", 0x8),
        ("WRITEABLE", 0x10),
        ("MAPPED", 0x20),
        ("MAPPEDMULTI", 0x40),
        ("REFERENCED", 0x80),
        ("CLEANCHK", 0x100),
        ("NOSYNC", 0x400),
        ("UNQUEUED", 0x800),
        ("MARKER", 0x1000),
        ("RAM", 0x2000),
        ("SWAPPED", 0x4000),
        ("NOTMETA", 0x8000),
        ("NEED_COMMIT", 0x40000),
    ],
)
def test_every_flag_has_the_kernel_s_value(name, value):
    assert value == getattr(h, f"PG_{name}")


def test_the_credits_of_a_page_are_the_kernel_s():
    assert (1, 3, 5, 64) == (h.ACT_DECLINE, h.ACT_ADVANCE, h.ACT_INIT, h.ACT_MAX)


def test_a_request_for_a_cpu_s_colours_carries_its_number_and_no_other_request():
    request = h.VM_ALLOC_CPU(7)
    assert (7, h.VM_ALLOC_CPU_SPEC) == (request >> h.VM_ALLOC_CPU_SHIFT, request & 0xFFFF)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0"),
        (3, "3"),
        (h.PBUSY_LOCKED, "LOCKED|0"),
        (h.PBUSY_LOCKED | h.PBUSY_WANTED | 2, "LOCKED|WANTED|2"),
        (h.PBUSY_SWAPINPROG, "SWAPINPROG|0"),
    ],
)
def test_a_busy_word_reads_as_its_bits_and_its_count(value, words):
    assert words == h.busy_format(value)


@pytest.mark.parametrize(
    ("value", "words"), [(0, "0"), (h.PG_MAPPED, "PG_MAPPED"), (h.PG_RAM | h.PG_MAPPED, "PG_MAPPED|PG_RAM")]
)
def test_flags_read_as_their_names(value, words):
    assert words == h.flags_format(value)


@pytest.mark.parametrize("cpu", [0, 1, 63])
def test_a_request_for_a_cpu_s_colours_names_it(cpu):
    request = h.VM_ALLOC_CPU(cpu) | h.VM_ALLOC_NORMAL
    assert (cpu, True) == (h.VM_ALLOC_GETCPU(request), bool(request & h.VM_ALLOC_CPU_SPEC))
