"""A machine's memory as a whole: it boots once, and its parts are found by identity."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.records.pool import record_of
from vmsmp.vm.vm_object import vm_object_allocate
from vmsmp.vm.vm_page import vm_get_pg_color


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


def test_parts_are_booted_in_the_order_in_which_they_need_each_other(alone):
    types = ["Vmmeter", "Proc", "Vpgqueues", "VmPage", "VmPageHashElm", "VmObject"]
    types += ["VmObjectHash", "Vnode", "Pmap", "PvEntry", "Placemark", "PmapInvalInfo", "VmMap"]
    types += ["VmMapEntry", "VmMapBacking", "VmMapIlock", "Vmspace", "VmMapEntrySupply"]
    assert types == alone(lambda vm: [pool.type.__name__ for pool in vm.pools])


@pytest.mark.parametrize(("cpus", "ncpus"), [(1, 1), (5, 5), (None, 1)])
def test_a_machine_is_sized_for_the_cpus_that_were_asked_for(alone, cpus, ncpus):
    assert ncpus == alone(lambda vm: vm.ncpus, cpus=cpus)


def test_a_panic_is_told_as_the_kernel_s(panic):
    assert "no memory" == panic(lambda vm: vm.panic("no memory"))


# -- pausing --------------------------------------------------------------------------------------


def test_a_pause_gives_all_tokens_up_and_takes_them_again(steps):
    def prepare(vm):
        tokens = [vm.machine.token("a"), vm.machine.token("b")]
        for token in tokens:
            token.acquire()
        return [vm]

    told = steps(prepare, lambda vm: vm.pause_tokens("pause"))
    assert {"a", "b"} == {word for row in told for word in row.split() if word in ("a", "b")}


def test_a_pause_of_a_cpu_without_tokens_is_no_step(steps):
    assert [] == steps(lambda vm: [vm], lambda vm: vm.pause_tokens("pause"))


# -- the locks there are --------------------------------------------------------------------------


def test_a_machine_just_booted_has_no_lock_yet(alone):
    assert [] == alone(lambda vm: [spin for pool in vm.pools for spin in pool.spinlocks()])


@pytest.mark.parametrize("locks", ["atomic", "exact"])
def test_locks_that_were_wanted_are_there_the_queues_first(alone, locks):
    def program(vm):
        with vm.page.vm_page_array[5].spin:
            pass
        with vm.page.vm_page_array[2].spin, vm.page.vm_page_queues[vm.page.PQ_CACHE].spin:
            pass
        return [
            (lock.name, lock.acquisitions)
            for lock in [spin for pool in vm.pools for spin in pool.spinlocks()]
        ]

    assert [("pq.cache[0].spin", 1), ("pg[2].spin", 1), ("pg[5].spin", 1)] == alone(program, locks=locks)


@pytest.mark.parametrize(("declared", "expected"), [(None, [1, 1, 2]), (3, [3, 3, 3])])
def test_a_machine_whose_cpus_are_not_declared_counts_those_that_there_are(alone, declared, expected):
    def program(vm):
        seen = [vm.ncpus]
        for _ in range(2):
            vm.machine.spawn(lambda: None)
            seen.append(vm.ncpus)
        vm.machine.join()
        return seen

    assert expected == alone(program, cpus=declared)


def test_cpus_that_are_not_declared_have_colours_of_their_own(alone):
    def program(vm):
        for _ in range(2):
            vm.machine.spawn(lambda: None)
        vm.machine.join()
        return [vm_get_pg_color(vm, cpu, None, 0) for cpu in (1, 2)]

    assert [0, 2] == alone(program, l2_size=4)


def test_the_kernel_s_console_keeps_what_was_printed(alone):
    def program(vm):
        vm.kprintf("first")
        vm.kprintf("second")
        return vm.console

    assert ["first", "second"] == alone(program)
