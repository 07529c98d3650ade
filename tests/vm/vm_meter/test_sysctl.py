"""The thresholds by name, and what is counted."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.vm.vm_meter import SYSCTLS, vmstats_rollup
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_drop, vm_object_hold
from vmsmp.vm.vm_page import (
    VM_ALLOC_NORMAL,
    vm_page_alloc,
    vm_page_alloczwq,
    vm_page_busy_wait,
    vm_page_free,
    vm_page_wakeup,
)

THRESHOLDS = [one.name for one in SYSCTLS if one.write]
OTHERS = [one.name for one in SYSCTLS if not one.write]


def limit(name):
    return {"vm.page_free_hysteresis": "vm_page_free_hysteresis"}.get(name, name.removeprefix("vm."))


@pytest.mark.parametrize("name", THRESHOLDS)
def test_a_threshold_is_read_and_written_by_its_name(alone, name):
    def program(vm):
        before = vm.sysctl[name] == getattr(vm.meter.limits, limit(name))
        vm.sysctl[name] = 1234
        return before, getattr(vm.meter.limits, limit(name))

    assert (True, 1234) == alone(program, pages=5000)


@pytest.mark.parametrize("name", OTHERS)
def test_a_count_cannot_be_written(alone, name):
    with pytest.raises(vmsmp.UsageError, match="read-only"):
        alone(lambda vm: vm.sysctl.__setitem__(name, 1))


def stats(vm, *names):
    return [vm.sysctl[f"vm.stats.vm.{name}"] for name in names]


def test_the_size_of_memory_is_told(alone):
    assert [4096, 8] == alone(lambda vm: stats(vm, "v_page_size", "v_page_count"))


def test_pages_are_counted_once_they_are_rolled_up(alone):
    def program(vm):
        vm_page_alloczwq(vm, 0, VM_ALLOC_NORMAL)
        before = stats(vm, "v_free_count", "v_wire_count")
        vmstats_rollup(vm)
        return before, stats(vm, "v_free_count", "v_wire_count"), vm.sysctl["vm.vmtotal.t_free"]

    assert ([8, 0], [7, 1], 7) == alone(program)


def test_low_pages_are_counted(alone):
    assert [3] == alone(lambda vm: stats(vm, "v_dma_pages"), low_pages=3)


def insert(vm, obj):
    """A page in the object, busied and wakened by the CPU that does this."""
    vm_object_hold(obj)
    m = vm_page_alloc(vm, obj, 0, VM_ALLOC_NORMAL)
    vm_object_drop(obj)
    return m


def test_events_of_all_cpus_are_added_up(alone):
    def program(vm):
        obj = vm_object_allocate(vm, 4)
        vm_page_free(insert(vm, obj))
        vm.machine.spawn(lambda: vm_page_free(insert(vm, obj))).join()
        return stats(vm, "v_tfree", "v_pfree")

    assert [2, 0] == alone(program)


def test_a_page_inserted_by_one_cpu_and_removed_by_another_is_in_no_object(alone):
    def program(vm):
        obj = vm_object_allocate(vm, 4)
        m = insert(vm, obj)
        during = vm.sysctl["vm.vmtotal.t_rm"]
        vm_page_wakeup(m)
        vm.machine.spawn(remove, m).join()
        return during, vm.sysctl["vm.vmtotal.t_rm"], [gd.t_rm for gd in vm.meter.cpus()]

    def remove(m):
        vm_page_busy_wait(m, True)
        vm_page_free(m)

    assert (1, 0, [1, -1]) == alone(program)
