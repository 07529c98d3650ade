"""Repairs of the kernel's own memory (sys/vm/vm_kern.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Repair

_MODULE = "vmsmp.vm.vm_kern"

REPAIRS = (
    Repair(
        "kmem-alloc-wait-interlocks",
        f"{_MODULE}:kmem_alloc_wait",
        """
        vm_map_unlock(map)
        vm.machine.tsleep(map.lock, 0, "kmaw", 0)
        """,
        """
        from vmsmp.sync.errno import PINTERLOCKED

        vm.machine.tsleep_interlock(map.lock)
        vm_map_unlock(map)
        vm.machine.tsleep(map.lock, PINTERLOCKED, "kmaw", 0)
        """,
        "the sleep is announced before the map is unlocked, so that no wakeup comes too early",
    ),
)
