"""Mutants of the mutexes (sys/kern/kern_mutex.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Mutant

_PACKAGE = "vmsmp.sync.mutex"

MUTANTS = (
    Mutant(
        "MX-01",
        f"{_PACKAGE}.link:_sleep_on_link",
        """
        mtx.machine.tsleep_interlock(link)
        if link.link_state.load() & MTX_LINK_LINKED:
        """,
        """
        if link.link_state.load() & MTX_LINK_LINKED:
            mtx.machine.tsleep_interlock(link)
        """,
        "INV-MX5",
        "the grant and its wakeup come between the look at the link and the interlock",
        "mutex_hands_over",
    ),
    Mutant(
        "MX-02",
        f"{_PACKAGE}.request:mtx_lock_sh",
        "if not word & (MTX_EXCLUSIVE | MTX_EXWANTED):",
        "if not word & MTX_EXWANTED:",
        "INV-MX1",
        "a reader comes in beside the owner",
        "mutex_lets_readers_in",
    ),
    Mutant(
        "MX-03",
        f"{_PACKAGE}.release:mtx_chain_link_sh",
        "if len(mtx.mtx_shlink) > handed:",
        "if False:",
        "INV-MX2",
        "readers are let in that the word does not count",
        "mutex_lets_readers_in",
    ),
    Mutant(
        "MX-04",
        f"{_PACKAGE}.release:mtx_unlock",
        """
        if word & (MTX_MASK | MTX_LINKSPIN) == MTX_LINKSPIN | 1:
            mtx.machine.pause()
            continue
        """,
        "",
        "INV-MX3",
        "a release takes the head of a list into which another CPU is just putting its link",
        "mutex_hands_over",
        also=(
            Edit(f"{_PACKAGE}.release:mtx_chain_link_ex", "word &= ~MTX_LINKSPIN", "pass"),
            Edit(f"{_PACKAGE}.release:mtx_chain_link_sh", "word &= ~MTX_LINKSPIN", "pass"),
        ),
    ),
    Mutant(
        "MX-05",
        f"{_PACKAGE}.release:_release",
        "return mtx.mtx_lock.cmpset(word, 0)",
        "return mtx.mtx_lock.store(0) is None",
        "INV-MX3",
        "a request that came after the look at the word is forgotten",
        "mutex_hands_over",
    ),
)
