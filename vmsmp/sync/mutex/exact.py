"""The exact mutex: the kernel's functions as the methods that all locks have."""

from __future__ import annotations

from vmsmp.sync.arguments import ticks
from vmsmp.sync.mutex.link import mtx_abort_link
from vmsmp.sync.mutex.mtx import MtxLink, StructMtx
from vmsmp.sync.mutex.release import mtx_downgrade, mtx_unlock, mtx_upgrade_try
from vmsmp.sync.mutex.request import (
    mtx_lock,
    mtx_lock_ex,
    mtx_lock_ex_try,
    mtx_lock_sh,
    mtx_lock_sh_quick,
    mtx_lock_sh_try,
    mtx_spinlock,
)


class ExactMutex(StructMtx):
    """struct mtx under the functions of this package."""

    acquire = mtx_lock
    acquire_shared = mtx_lock_sh_quick
    release = mtx_unlock
    downgrade = mtx_downgrade

    spin = mtx_spinlock
    abort_link = mtx_abort_link

    def lock_ex_link(self, link: MtxLink, timo: int = 0) -> int:
        return mtx_lock_ex(self, link, timo=ticks(timo))

    def lock_sh_link(self, link: MtxLink, timo: int = 0) -> int:
        return mtx_lock_sh(self, link, timo=ticks(timo))

    def lock_timed(self, timo: int) -> int:
        return mtx_lock_ex(self, timo=ticks(timo))

    def try_acquire(self) -> bool:
        return mtx_lock_ex_try(self) == 0

    def try_acquire_shared(self) -> bool:
        return mtx_lock_sh_try(self) == 0

    def try_upgrade(self) -> bool:
        return mtx_upgrade_try(self) == 0
