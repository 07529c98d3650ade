"""Repairs of the mutexes (sys/kern/kern_mutex.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Repair

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
    Repair(
        "late-writer-lets-readers-in",
        "vmsmp.sync.mutex.link:mtx_delete_link",
        "stale |= _unlink(mtx, link, state)",
        """
        stale |= _unlink(mtx, link, state)
        if stale & MTX_EXWANTED and mtx.mtx_shlink and not mtx.mtx_lock.load() & MTX_EXCLUSIVE:
            from vmsmp.sync.lock import SHARED
            from vmsmp.sync.mutex.release import _grant

            mtx.mtx_lock.fetchadd(len(mtx.mtx_shlink))
            while mtx.mtx_shlink:
                _grant(mtx, mtx.mtx_shlink.pop(0), SHARED)
            stale |= MTX_SHWANTED
        """,
        "with the last writer gone, readers that wait come in beside others",
        also=(
            Edit(
                "vmsmp.sync.mutex.link:mtx_delete_link",
                "td = curthread(mtx.machine)",
                """
                from vmsmp.sync.mutex.mtx import MTX_EXCLUSIVE

                td = curthread(mtx.machine)
                """,
            ),
        ),
    ),
)
