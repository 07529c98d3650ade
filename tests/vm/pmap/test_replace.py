"""Which address space a thread runs in: when the old and the new one count as in use."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.scenarios.pmap_inval import _tables as kit
from vmsmp.vm.pmap import pmap_maybethreaded, pmap_replacevm, pmap_setlwpvm
from vmsmp.vm.pmap.pmap import CPULOCK_EXCL, PMAP_MULTI
from vmsmp.vm.vm_meter.meter import Lwp

MEMORY = {"pages": 32, "l2_size": 1}
IN = ["setbits Q.pm_active", "load Q.pm_active_lock", "flush cpu0.tlb"]


def spaces(vm):
    """Two address spaces; the running CPU runs in the first."""
    one, other = kit.new_space(vm, "P"), kit.new_space(vm, "Q")
    kit.run_in(vm.machine, one)
    return one, other


def test_the_new_pmap_is_in_use_before_it_is_loaded_and_the_old_one_until_it_is(steps):
    rows = steps(lambda vm: [vm.mycpu().lwp, spaces(vm)[1]], pmap_setlwpvm, **MEMORY)
    assert [*IN, "clearbits P.pm_active"] == rows


def test_a_thread_s_first_address_space_replaces_none(steps):
    rows = steps(lambda vm: [vm.mycpu().lwp, kit.new_space(vm, "Q")], pmap_setlwpvm, **MEMORY)
    assert IN == rows


def test_nothing_happens_where_it_is_the_same(steps):
    assert [] == steps(lambda vm: [vm.mycpu().lwp, spaces(vm)[0]], pmap_setlwpvm, **MEMORY)


def test_another_cpu_s_thread_loads_it_later(steps):
    def prepare(vm):
        proc = vm.mycpu().proc
        return [Lwp(proc, 2), spaces(vm)[1]]

    assert [] == steps(prepare, pmap_setlwpvm, **MEMORY)


def test_an_address_space_without_references_cannot_be_run_in(panic):
    def program(vm):
        other = spaces(vm)[1]
        other.vm_refcnt.value = 0x80000000
        kit.run_in(vm.machine, other)

    assert "pmap_setlwpvm: vmspace without references" == panic(program, **MEMORY)


def test_a_cpu_waits_for_the_end_of_an_invalidation_of_the_new_one():
    def program(m):
        vm = m.boot(**MEMORY)
        other = spaces(vm)[1]
        other.vm_pmap.pm_active_lock.value = CPULOCK_EXCL
        kit.run_in(m, other)

    failure = vmsmp.explore(program, sched="dfs:0", schedules=1, check=False).failure
    assert "livelock" == failure.kind


@pytest.mark.parametrize("adjrefs", [False, True])
def test_a_process_goes_over_with_its_thread_and_its_references_if_asked_to(alone, adjrefs):
    def program(vm):
        one, other = spaces(vm)
        p = vm.meter.mycpu().proc
        p.publish("p_vmspace", one)
        one.vm_refcnt.fetchadd(1)
        one.vm_holdcnt.fetchadd(1)
        pmap_replacevm(p, other, adjrefs)
        pmap_replacevm(p, other, adjrefs)
        told = [space.peek("vm_refcnt") for space in (one, other)]
        return told, p.peek("p_vmspace") is other, vm.mycpu().lwp.lwp_vmspace is other

    assert ([1, 2] if adjrefs else [2, 1], True, True) == alone(program, **MEMORY)


def test_a_pmap_stays_one_of_several_threads(alone):
    def program(vm):
        pmap = vm.pmap.make("P")
        pmap_maybethreaded(pmap)
        return pmap.pm_flags.peek()

    assert PMAP_MULTI == alone(program, **MEMORY)
