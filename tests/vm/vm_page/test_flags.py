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
    flags = [value for name, value in vars(h).items() if name.startswith("PG_")]
    assert len(flags) == sum(flags).bit_count()


def test_activation_starts_a_page_with_five_credits():
    assert 5 == h.ACT_INIT


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
