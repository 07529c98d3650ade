"""Vnodes: INV-VN1, a vnode's count says how many references are out."""

from __future__ import annotations

from typing import Final

from vmsmp.check.rules import Books, Broken, Rules, SystemRules
from vmsmp.vm.vnode import VREF, Vnode


def broken_count(vp: Vnode, books: Books) -> Broken | None:
    """Whether the count is another than the number of references that are out."""
    out = books.counts(vp).get(VREF, 0)
    if vp.v_refcnt.value != out:
        return Broken("INV-VN1", f"its word counts {vp.v_refcnt.value} references, and {out} are out")
    return None


RULES: Final = (Rules(Vnode, written={"v_refcnt": (broken_count,)}, at_rest=(broken_count,), stored=False),)
SYSTEM: Final = SystemRules()
