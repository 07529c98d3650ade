"""The globals of the protocol, on machines with memory and without."""

from __future__ import annotations

from vmsmp.vm.pmap_inval import Xinvltlb


def test_a_machine_with_memory_answers_ipis(alone, memory):
    def program(vm):
        return vm.machine.vector is Xinvltlb, vm.inval.smp_active_mask, vm.inval.gd_xinvaltlb[0]

    assert (True, 1, 0) == alone(program, **memory)


def test_a_machine_without_memory_has_nothing_to_answer(alone):
    assert (None, []) == alone(lambda vm: (vm.machine.vector, list(vm.inval.invinfos())))


def test_the_active_cpus_are_those_that_there_are(alone, memory):
    def program(vm):
        vm.machine.spawn(lambda: None)
        return vm.inval.smp_active_mask

    assert 0b11 == alone(program, **memory)
