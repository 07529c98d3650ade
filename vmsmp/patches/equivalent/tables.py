"""Removals in page tables and in what invalidates them that change nothing."""

from __future__ import annotations

from typing import Final

from vmsmp.patches.equivalent.entry import Equivalent

_UNMAPPED = "a page that nobody maps has no entry to change"
_PMAP = "every map has a pmap"
_LONG_WAY = "the long way does the same where nobody else has to answer"
_TOLD = "CPUs are told though they need not be"
_CLEARED = "the flags went when the page left its pv entry"

EQUIVALENTS: Final = (
    # -- what nobody reads -----------------------------------------------------------------------
    Equivalent("vm.pmap_inval.command.pmap_inval_*-gone", "pm_invgen", "nobody reads the count"),
    Equivalent("vm.pmap_inval.command.pmap_inval_*-swap", "pm_invgen", "nobody reads the count"),
    Equivalent("vm.pmap.pmap.pmap_reference-*", "", "nobody reads the count"),
    Equivalent("vm.pmap.pv.pv_free-*", "pm_pvhint_pt", "the hint is kept up to date, and not used"),
    Equivalent("vm.pmap.pv.pv_entry_lookup-*", "pindex < PD_BASE", "the hint is not used"),
    # -- what cannot be --------------------------------------------------------------------------
    Equivalent("vm.pmap.*-always", "if pmap is not None:", _PMAP),
    Equivalent("vm.pmap.*-never", "if pmap is None:", _PMAP),
    Equivalent("vm.pmap.enter.pmap_enter-always", "if entry is not None:", "only observers are told"),
    Equivalent(
        "vm.pmap.query.pmap_fault_page_quick-*",
        "needed",
        "leaf entries have no pv entries, so no page is found either way",
    ),
    Equivalent(
        "vm.pmap.lifetime.pmap_pinit-gone",
        "pm_active.value = 0",
        "no CPU is left in a pmap that is used again, as is asserted when it is given back",
    ),
    # -- done another way ------------------------------------------------------------------------
    Equivalent("vm.pmap.pv.pv_put-flag1", "PV_HOLD_LOCKED | 2", "the slow way, step by step, does the same"),
    Equivalent("vm.pmap.pv.pv_put-never", "PV_HOLD_LOCKED | 2", "the slow way, step by step, does the same"),
    Equivalent("vm.pmap.pv.pv_free-flag1", "PV_HOLD_LOCKED | 2", "the slow way, step by step, does the same"),
    Equivalent("vm.pmap.pv.pv_free-never", "PV_HOLD_LOCKED | 2", "the slow way, step by step, does the same"),
    Equivalent("vm.pmap.lifetime.pmap_puninit-gone", "vm_page_flag_clear(", _CLEARED),
    Equivalent("vm.pmap.lifetime.pmap_puninit-flag?", "vm_page_flag_clear(", _CLEARED),
    Equivalent("vm.pmap_inval.command.pmap_inval_smp*-never", "if _alone(pmap, td):", _LONG_WAY),
    Equivalent("vm.pmap_inval.command._alone-term1", "pmap_inval_force_nonopt", _LONG_WAY),
    Equivalent(
        "vm.pmap_inval.smp._signal-*",
        "if enable >= 2",
        "a CPU that is not asked for anything finds no command",
    ),
    Equivalent(
        "vm.pmap_inval.command._*_smp-swap",
        "info.",
        "the slot is its CPU's own until `done` is stored",
    ),
    # -- done for nothing ------------------------------------------------------------------------
    Equivalent("vm.pmap.enter._replace-always", "if local:", "the CPU flushes what it has not cached"),
    Equivalent("vm.pmap.enter._replace-never", "if nosync or", _TOLD),
    Equivalent("vm.pmap.enter._replace-term[12]", "if nosync or", _TOLD),
    Equivalent("vm.pmap.reverse.pmap_remove_*-never", "& PG_MAPPED:", _UNMAPPED),
    Equivalent("vm.pmap.reverse.pmap_clearbit-never", "PG_MAPPED | PG_WRITEABLE", _UNMAPPED),
    Equivalent("vm.pmap.reverse._clear_writeable-never", "& PG_WRITEABLE:", _UNMAPPED),
)
