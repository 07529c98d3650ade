"""Slots: who may look at one, and how a report shows it."""

from __future__ import annotations

import pytest

from vmsmp.vm.pmap_inval import InvalMode, PmapInvalInfo


def test_a_new_slot_is_free(alone, memory):
    def program(vm):
        info = vm.inval.invinfo(3)
        return info.name, info.state(), info is vm.inval.invinfo(3)

    assert ("invinfo[3]", "free", True) == alone(program, **memory)


def test_a_slot_shows_its_command(alone, memory):
    def program(vm):
        info = vm.inval.invinfo(0)
        info.va, info.npgs, info.mode = 0x1000, 2, InvalMode.INVSTORE
        info.mask.value, info.done.value = 1, 3
        some = info.state()
        info.va = -1
        return some, info.state()

    some, everything = alone(program, **memory)
    assert "INVSTORE 0x1000 (2), mask 0b1, done 0b11" == some
    assert "INVSTORE all, mask 0b1, done 0b11" == everything


@pytest.mark.parametrize(
    ("cpu", "done", "reads", "writes"), [(1, 0, True, True), (2, 0, False, False), (2, 4, True, False)]
)
def test_a_command_is_its_cpu_s_and_is_read_by_those_that_have_not_finished(
    alone, memory, cpu, done, reads, writes
):
    def program(vm):
        m = vm.machine
        cpus = [m.curcpu, *(m.spawn(lambda: None) for _ in range(2))]
        m.join()
        info = vm.inval.invinfo(1)
        info.done.value = done
        va = PmapInvalInfo.fields["va"]
        found = va.may_read(cpus[cpu], info), va.may_write(cpus[cpu], info)
        info.done.value = 0
        return found

    assert (reads, writes) == alone(program, check=True, **memory)
