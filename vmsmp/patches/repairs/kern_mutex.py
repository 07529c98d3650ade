"""Repairs of the mutexes (sys/kern/kern_mutex.c)."""

from __future__ import annotations

from typing import Final

from vmsmp.patches.patch import Edit, Repair

#: In place of `stale |= _unlink(mtx, link, state)`.
_UNLINK_THE_LAST_WRITER: Final = """
stale |= _unlink(mtx, link, state)
if stale & MTX_EXWANTED and mtx.mtx_shlink:
    from vmsmp.sync.lock import SHARED
    from vmsmp.sync.mutex.mtx import MTX_EXCLUSIVE
    from vmsmp.sync.mutex.release import _grant

    if not mtx.mtx_lock.load() & MTX_EXCLUSIVE:
        mtx.mtx_lock.fetchadd(len(mtx.mtx_shlink))
        while mtx.mtx_shlink:
            _grant(mtx, mtx.mtx_shlink.pop(0), SHARED)
        stale |= MTX_SHWANTED
"""

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
        _UNLINK_THE_LAST_WRITER,
        "with the last writer gone, whether late or aborted, readers that wait come in beside others",
        also=(
            Edit(
                "vmsmp.sync.mutex.link:mtx_abort_link",
                "stale |= _unlink(mtx, link, state)",
                _UNLINK_THE_LAST_WRITER,
            ),
            Edit(
                "vmsmp.sync.mutex.atomic:AtomicMutex._wait",
                "return EWOULDBLOCK",
                """
                if line is self._writers and not line and self._owner is None:
                    let_in.extend(self._let_readers_in())
                return EWOULDBLOCK
                """,
            ),
            Edit(
                "vmsmp.sync.mutex.atomic:AtomicMutex._wait",
                "return int(error)",
                """
                self._call_back(let_in)
                return int(error)
                """,
            ),
            Edit(
                "vmsmp.sync.mutex.atomic:AtomicMutex._wait",
                "code, wait = self._code | ops.SLEEP, Wait(self, mode)",
                """
                let_in: list[tuple[object, int]] = []
                code, wait = self._code | ops.SLEEP, Wait(self, mode)
                """,
            ),
            Edit(
                "vmsmp.sync.mutex.atomic:AtomicMutex.abort_link",
                "return [(link, ENOLCK)]",
                """
                last = line is self._writers and not line and self._owner is None
                return [(link, ENOLCK), *(self._let_readers_in() if last else ())]
                """,
            ),
        ),
    ),
)
