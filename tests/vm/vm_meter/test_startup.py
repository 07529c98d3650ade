"""The counts of a machine just booted, and those of each CPU."""

from __future__ import annotations

from vmsmp.vm.vm_page import VM_ALLOC_NORMAL, vm_page_alloc

COUNTS = ("v_free_count", "v_cache_count", "v_inactive_count", "v_active_count", "v_wire_count")


def test_boot_counts_every_page_as_free(alone):
    def program(vm):
        return [vm.meter.count(name) for name in COUNTS]

    assert [8, 0, 0, 0, 0] == alone(program)


def test_a_cpu_s_first_view_is_what_boot_counted_and_its_deltas_are_zero(alone):
    def program(vm):
        gd = vm.mycpu()
        return gd.gd_vmstats.peek("v_free_count"), [gd.gd_vmstats_adj.peek(name) for name in COUNTS]

    assert (8, [0] * 5) == alone(program)


def test_the_true_count_is_the_global_one_and_every_cpu_s_delta(alone):
    def program(vm):
        m = vm.machine
        m.spawn(vm_page_alloc, vm, None, 0, VM_ALLOC_NORMAL).join()
        m.spawn(vm_page_alloc, vm, None, 1, VM_ALLOC_NORMAL).join()
        return vm.meter.vmstats.peek("v_free_count"), vm.meter.count("v_free_count")

    assert (8, 6) == alone(program)


def test_each_cpu_has_counts_of_its_own(alone):
    def program(vm):
        worker = vm.machine.spawn(vm.mycpu)
        worker.join()
        return vm.mycpu() is vm.mycpu(), vm.mycpu() is worker.result

    assert (True, False) == alone(program)


def test_parallel_cpus_take_and_give_pages_and_none_is_missing_afterwards(parallel):
    from vmsmp.vm.vm_page import vm_page_free

    def program(vm):
        def worker():
            for n in range(20):
                m = vm_page_alloc(vm, None, n, VM_ALLOC_NORMAL)
                if m is not None:
                    vm_page_free(m)

        for _ in range(3):
            vm.machine.spawn(worker)
        vm.machine.join()
        return vm.meter.count("v_free_count"), sum(pq.peek("lcnt") for pq in vm.page.vm_page_queues[1:5])

    assert (16, 16) == parallel(program, pages=16, l2_size=4)
