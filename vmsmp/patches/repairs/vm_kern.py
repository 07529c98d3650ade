"""Repairs of the kernel's own memory (sys/vm/vm_kern.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Repair

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
    Repair(
        "attr-memory-is-busied",
        f"{_MODULE}:kmem_alloc_attr",
        """
        vm_object_hold(kernel_object)
        vm_page_insert(m, kernel_object, at >> PAGE_SHIFT)
        """,
        """
        from vmsmp.vm.vm_page.busy import vm_page_busy_wait

        vm_page_busy_wait(m, False, "kmaatr")
        vm_object_hold(kernel_object)
        vm_page_insert(m, kernel_object, at >> PAGE_SHIFT)
        """,
        "a low page is hard-busied until it is in the kernel's object and valid",
        also=(
            Edit(
                f"{_MODULE}:kmem_alloc_attr",
                """
                m.publish("valid", VM_PAGE_BITS_ALL)
                """,
                """
                m.publish("valid", VM_PAGE_BITS_ALL)
                vm_page_wakeup(m)
                """,
            ),
        ),
    ),
)
