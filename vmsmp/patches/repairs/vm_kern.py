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
        "low-pages-are-busied",
        f"{_MODULE}:kmem_alloc_attr",
        "vm_page_insert(m, kernel_object, at >> PAGE_SHIFT)",
        """
        from vmsmp.vm.vm_page.busy import vm_page_busy_wait, vm_page_wakeup

        vm_page_busy_wait(m, False)
        vm_page_insert(m, kernel_object, at >> PAGE_SHIFT)
        """,
        "a page is busied before it is inserted, until it is valid",
        also=(
            Edit(
                f"{_MODULE}:kmem_alloc_attr",
                'm.publish("valid", VM_PAGE_BITS_ALL)',
                """
                m.publish("valid", VM_PAGE_BITS_ALL)
                vm_page_wakeup(m)
                """,
            ),
        ),
    ),
    Repair(
        "kmem-alloc-attr-gives-back",
        f"{_MODULE}:kmem_alloc_attr",
        """
        if m is None:
            return 0
        """,
        """
        if m is None:
            kmem_free(map, addr, size)
            return 0
        """,
        "if low pages run out, what there was of them is freed with the range",
    ),
    Repair(
        "kmem-free-frees-low-pages",
        f"{_MODULE}:kmem_free",
        "vm_map_remove(map, trunc_page(addr), round_page(addr + size))",
        """
        from vmsmp.vm.vm_page.busy import vm_page_busy_wait, vm_page_wakeup
        from vmsmp.vm.vm_page.contig import vm_page_free_contig
        from vmsmp.vm.vm_page.flags import PAGE_SIZE, PG_FICTITIOUS
        from vmsmp.vm.vm_page.lookup import vm_page_lookup
        from vmsmp.vm.vm_page.residency import vm_page_remove

        vm_map_remove(map, trunc_page(addr), round_page(addr + size))
        kernel_object = map.vm.objects.kernel_object
        first = addr - map.vm.map.kernel_map.min_addr >> PAGE_SHIFT
        vm_object_hold(kernel_object)
        for pindex in range(first, first + (round_page(size) >> PAGE_SHIFT)):
            m = vm_page_lookup(kernel_object, pindex)
            if m is not None and m.flags.load() & PG_FICTITIOUS:
                vm_page_busy_wait(m, False)
                vm_page_remove(m)
                vm_page_wakeup(m)
                vm_page_free_contig(m, PAGE_SIZE)
        vm_object_drop(kernel_object)
        """,
        "the low pages of a range that is freed are taken out of the kernel's object, and given back",
    ),
    Repair(
        "nothing-is-not-allocated",
        f"{_MODULE}:kmem_alloc3",
        "size = round_page(size)",
        """
        size = round_page(size)
        if size == 0:
            return 0
        """,
        "an empty allocation fails before it takes anything",
    ),
)
