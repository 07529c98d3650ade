"""The bits of entries, and the indexes of entries and table pages."""

from __future__ import annotations

import pytest

from vmsmp.mmu.entry import PG_NX, PG_RW
from vmsmp.vm.pmap import (
    NUPD_TOTAL,
    NUPT_TOTAL,
    NUPTE_TOTAL,
    PD_BASE,
    PDP_BASE,
    PML4_BASE,
    PT_BASE,
    entry_index,
    parent_pindex,
    pindex_format,
    pmap_pd_pindex,
    pmap_pdp_pindex,
    pmap_pml4_pindex,
    pmap_pt_pindex,
    pmap_pte_pindex,
    pte_prot,
    zone_of,
)
from vmsmp.vm.vm_map import VM_MIN_KERNEL_ADDRESS

GIB = 1 << 30


@pytest.mark.parametrize(
    ("prot", "bits"),
    [(0, 0), (1, PG_NX), (4, 0), (5, 0), (2, PG_RW), (3, PG_RW), (6, PG_RW), (7, PG_RW), (0x11, PG_NX)],
)
def test_rights_are_bits_of_an_entry(prot, bits):
    assert bits == pte_prot(prot)


def test_the_zones_of_indexes_follow_each_other_from_the_leaves_up():
    assert [NUPTE_TOTAL, NUPTE_TOTAL + NUPT_TOTAL] == [PT_BASE, PD_BASE]
    assert PD_BASE + NUPD_TOTAL == PDP_BASE
    assert PDP_BASE + 512 == PML4_BASE == pmap_pml4_pindex()


def test_an_address_has_an_index_in_each_zone():
    va = 3 * GIB + 5 * (2 << 20) + 7 * 4096
    assert va >> 12 == pmap_pte_pindex(va)
    assert PT_BASE + 3 * 512 + 5 == pmap_pt_pindex(va)
    assert PD_BASE + 3 == pmap_pd_pindex(va)
    assert PDP_BASE == pmap_pdp_pindex(va)


def test_addresses_of_the_kernel_have_indexes_of_leaf_entries():
    assert 0 < pmap_pte_pindex(VM_MIN_KERNEL_ADDRESS) < NUPTE_TOTAL


def test_a_table_page_is_named_by_an_entry_of_its_parent():
    va = 3 * GIB + 5 * (2 << 20)
    pt, pd, pdp = pmap_pt_pindex(va), pmap_pd_pindex(va), pmap_pdp_pindex(va)
    assert [(pd, 5), (pdp, 3), (PML4_BASE, 0)] == [
        (parent_pindex(pindex), entry_index(pindex)) for pindex in (pt, pd, pdp)
    ]
    assert None is parent_pindex(PML4_BASE)


def test_the_top_table_shares_its_zone_of_placemarks():
    assert [0, 0, 1, 2, 3, 3] == [
        zone_of(pindex) for pindex in (0, PT_BASE - 1, PT_BASE, PD_BASE, PDP_BASE, PML4_BASE)
    ]


@pytest.mark.parametrize(
    ("pindex", "text"),
    [(0x10, "pte[0x10]"), (PT_BASE + 2, "pt[2]"), (PD_BASE, "pd[0]"), (PDP_BASE + 1, "pdp[1]")],
)
def test_an_index_says_what_it_is_of(pindex, text):
    assert text == pindex_format(pindex)
    assert "pml4[0]" == pindex_format(PML4_BASE)
