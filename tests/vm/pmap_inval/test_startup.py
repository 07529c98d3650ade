"""The globals of the protocol."""

from __future__ import annotations

from vmsmp.vm.pmap_inval import Xinvltlb


def test_a_machine_answers_ipis(alone, memory):
    def program(vm):
        return vm.machine.vector is Xinvltlb, vm.inval.smp_active_mask, vm.inval.gd_xinvaltlb[0]

    assert (True, 1, 0) == alone(program, **memory)


def test_the_active_cpus_are_those_that_there_are(alone, memory):
    def program(vm):
        vm.machine.spawn(lambda: None)
        return vm.inval.smp_active_mask

    assert 0b11 == alone(program, **memory)
