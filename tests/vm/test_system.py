"""A machine's memory as a whole: it boots once, and its parts are found by identity."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.records.pool import record_of
from vmsmp.vm.vm_object import vm_object_allocate


def test_identities_lead_back_to_pages_queues_counts_and_objects(alone):
    def program(vm):
        m, pq, obj = vm.page.vm_page_array[5], vm.page.vm_page_queues[3], vm_object_allocate(vm, 1)
        gd = vm.mycpu()
        for thing in (m, pq, obj, vm.meter.vmstats, gd.gd_vmstats, gd.gd_vmstats_adj):
            assert thing is record_of(vm.machine, thing.ident)
        assert m is record_of(vm.machine, m.busy_count.ident)
        assert m is record_of(vm.machine, m.spin.ident)
        assert obj is record_of(vm.machine, obj.ref_count.ident)
        return vm.machine.find(m.busy_count.ident) is m.busy_count

    assert True is alone(program, l2_size=4)


def test_a_machine_boots_once(alone):
    with pytest.raises(vmsmp.UsageError, match="booted already"):
        alone(lambda vm: vm.machine.boot())
