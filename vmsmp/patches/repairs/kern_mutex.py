"""Repairs of the mutexes (sys/kern/kern_mutex.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Repair

REPAIRS = (
    Repair(
        "downgrade-keeps-its-count",
        "vmsmp.sync.mutex.release:_weaken",
        "return mtx_chain_link_sh(mtx, td, word)",
        "return mtx_chain_link_sh(mtx, td, word, handed=0)",
        "readers that a downgrade lets in are counted beside the caller",
    ),
    Repair(
        "late-mutex-looks-again",
        "vmsmp.sync.mutex.link:mtx_wait_link",
        "error = error or EWOULDBLOCK",
        "error = 0 if link.link_state.load() == MTX_LINK_ACQUIRED else error or EWOULDBLOCK",
        "a request that gives up looks at its link again once it has the lists for itself",
    ),
)
