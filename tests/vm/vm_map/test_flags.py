"""Constants of maps: the values that the kernel gives them, and addresses and pages."""

from __future__ import annotations

import pytest

from vmsmp.vm.vm_map import flags
from vmsmp.vm.vm_map.flags import (
    VM_MAP_ENTRY_WITHIN_PARTITION,
    eflags_format,
    round_page,
    trunc_page,
)

PARTITION = 32 << 20


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KERN_NO_SPACE", 3),
        ("KERN_FAILURE_NOFAULT", 10),
        ("MAP_ENTRY_IN_TRANSITION", 0x100),
        ("MAP_ENTRY_NEEDS_WAKEUP", 0x200),
        ("MAP_ENTRY_KSTACK", 0x800),
        ("COWF_COPY_ON_WRITE", 2),
        ("COWF_SHARED", 0x800),
        ("COWF_32BIT", 0x1000),
        ("VM_MAPTYPE_SUBMAP", 3),
        ("VM_PROT_ALL", 7),
        ("VM_INHERIT_DEFAULT", 1),
        ("MAP_RESERVE_HYST", 448),
        ("VM_SUBSYS_BRK", 12),
        ("VM_SUBSYS_ZALLOC", 21),
    ],
)
def test_a_constant_has_the_kernel_s_value(name, value):
    assert value == getattr(flags, name)


def test_addresses_are_cut_and_rounded_to_pages():
    assert (0x2000, 0x3000, 0x2000) == (trunc_page(0x2FFF), round_page(0x2001), round_page(0x2000))


@pytest.mark.parametrize(
    ("start", "end", "within"),
    [
        (0, 4096, True),
        (0, PARTITION - 4096, True),
        (0, PARTITION, False),
        (PARTITION - 4096, PARTITION, False),
    ],
)
def test_a_range_that_ends_with_a_partition_counts_as_crossing(start, end, within):
    assert within == VM_MAP_ENTRY_WITHIN_PARTITION(start, end)


def test_flags_of_an_entry_are_shown_by_name():
    assert ("0", "COW|IN_TRANSITION") == (eflags_format(0), eflags_format(0x104))
