"""pmap.c: page tables in memory, their locks, and every way to change them.

| module | contents |
|---|---|
| bits | the bits of entries, and the indexes of entries and table pages |
| pmap | struct pmap, struct pv_entry, placemarks, and the legend of their locks |
| startup | the pmaps of a machine, and the kernel's boot tables |
| placemark | waiting for placemarks, and letting them go |
| pv | pv entries: holds and locks of table pages, and looking them up |
| entries | from an address to its entry, and what an entry says of its page |
| tables | making table pages |
| lifetime | the life of a user's pmap |
| enter | mapping a page at an address |
| scan | visiting the entries of a range |
| remove | removing and protecting ranges |
| interlock | interlock_count, and the flags of a page whose entry is gone |
| reverse | from a page to its entries |
| pgscan | visiting the pages of a range; unwiring |
| query | questions about addresses |
| kernel | the kernel's own mappings, and the growth of its tables |
| replace | which address space a thread runs in |
| contents | zeroing and copying a page |
| ddb | what the debugger shows |
"""

from __future__ import annotations

from vmsmp.vm.exports import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "bits": (
            "KERNEL_TABLE_BITS",
            "NBPDP",
            "NBPDR",
            "NPTEPGSHIFT",
            "NUPDP_TOTAL",
            "NUPD_TOTAL",
            "NUPTE_TOTAL",
            "NUPT_TOTAL",
            "PDPSHIFT",
            "PDP_BASE",
            "PDRSHIFT",
            "PD_BASE",
            "PG_MANAGED",
            "PG_N",
            "PG_W",
            "PML4SHIFT",
            "PML4_BASE",
            "PT_BASE",
            "TABLE_BITS",
            "entry_index",
            "parent_pindex",
            "pindex_format",
            "pmap_pd_pindex",
            "pmap_pdp_pindex",
            "pmap_pml4_pindex",
            "pmap_pt_pindex",
            "pmap_pte_pindex",
            "pte_prot",
            "zone_of",
        ),
        "pmap": (
            "ALL_CPUS",
            "CPULOCK_EXCL",
            "PLACEMARK",
            "PMAP_EMULATE_AD_BITS",
            "PMAP_FLAG_SIMPLE",
            "PMAP_HVM",
            "PMAP_LEGEND",
            "PMAP_MULTI",
            "PMAP_SEGSHARED",
            "PM_NOPLACEMARK",
            "PM_PLACEMARKS",
            "PM_PLACEMARK_WAKEUP",
            "PM_ZONE",
            "PV_HOLD",
            "PV_HOLD_LOCKED",
            "PV_HOLD_MASK",
            "PV_HOLD_WAITING",
            "PV_LEGEND",
            "PV_LOCK",
            "Placemark",
            "Pmap",
            "PvEntry",
            "hold_format",
            "mark_format",
            "pmap_reference",
            "pmap_resident_count",
            "pmap_resident_tlnw_count",
        ),
        "startup": (
            "Pmaps",
            "startup",
        ),
        "placemark": (
            "names",
            "pv_placemarker_wait",
            "pv_placemarker_wakeup",
            "sleep_on",
        ),
        "pv": (
            "pv_alloc",
            "pv_drop",
            "pv_entry_lookup",
            "pv_free",
            "pv_get",
            "pv_get_try",
            "pv_hold_try",
            "pv_lock",
            "pv_put",
            "pv_unlock",
        ),
        "entries": (
            "page_named",
            "page_of",
            "pmap_pte",
            "pv_pte_lookup",
            "transfer",
            "vtopte",
        ),
        "tables": (
            "new_table_page",
            "pmap_allocpte",
        ),
        "lifetime": (
            "pmap_pinit",
            "pmap_pinit0",
            "pmap_puninit",
            "pmap_release",
            "pmap_release_pv",
            "pmap_remove_pv_page",
            "pmap_remove_pv_pte",
        ),
        "enter": ("pmap_enter",),
        "scan": (
            "PmapScanInfo",
            "ScanFunc",
            "pmap_scan",
        ),
        "remove": (
            "pmap_protect",
            "pmap_protect_callback",
            "pmap_remove",
            "pmap_remove_callback",
            "pmap_remove_noinval",
            "pmap_remove_pages",
        ),
        "interlock": (
            "interlock_bump",
            "interlock_drop",
            "interlock_wait",
            "pmap_removed_pte",
        ),
        "reverse": (
            "After",
            "pmap_clear_modify",
            "pmap_clear_reference",
            "pmap_clearbit",
            "pmap_is_modified",
            "pmap_mapped_sync",
            "pmap_page_backing_scan",
            "pmap_page_protect",
            "pmap_remove_all",
            "pmap_remove_specific",
            "pmap_testbit",
            "pmap_ts_referenced",
        ),
        "pgscan": (
            "PmapPgscanInfo",
            "pmap_pgscan",
            "pmap_pgscan_callback",
            "pmap_unwire",
        ),
        "query": (
            "MINCORE_INCORE",
            "MINCORE_MODIFIED",
            "MINCORE_MODIFIED_OTHER",
            "MINCORE_REFERENCED",
            "MINCORE_REFERENCED_OTHER",
            "pmap_addr_hint",
            "pmap_extract",
            "pmap_extract_done",
            "pmap_fault_page_quick",
            "pmap_mincore",
            "pmap_prefault_ok",
        ),
        "kernel": (
            "invlpg_here",
            "pmap_growkernel",
            "pmap_invalidate_range",
            "pmap_kenter",
            "pmap_kenter_noinval",
            "pmap_kenter_quick",
            "pmap_kextract",
            "pmap_kmodify_rw",
            "pmap_kremove",
            "pmap_kremove_noinval",
            "pmap_kremove_quick",
            "pmap_kvtom",
            "pmap_qenter",
            "pmap_qenter_noinval",
            "pmap_qremove",
            "pmap_qremove_noinval",
            "pmap_qremove_quick",
        ),
        "replace": (
            "pmap_maybethreaded",
            "pmap_replacevm",
            "pmap_setlwpvm",
        ),
        "contents": (
            "pmap_copy_page",
            "pmap_zero_page",
            "pmap_page_set_memattr",
            "pmap_zero_page_area",
        ),
        "ddb": (
            "pmap_print",
            "show_pmap",
        ),
    },
)
