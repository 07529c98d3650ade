"""The memory of a process, read and written by another one."""

from __future__ import annotations

from faults import new_process
from maps import at
from vmsmp.scenarios._kit import give_back
from vmsmp.sync.errno import EFAULT
from vmsmp.vm.procfs_mem import procfs_rwmem


def test_a_word_is_written_and_read_back(alone):
    def program(vm):
        new_process(vm, 3)
        cpu, vmspace = vm.machine.curcpu, vm.mycpu().lwp.lwp_vmspace
        cpu.store(at(0) + 8, 7)
        errors = [
            procfs_rwmem(vmspace, at(1) + 16, at(0) + 8, writing=True),
            procfs_rwmem(vmspace, at(1) + 16, at(2), writing=False),
        ]
        seen = cpu.load(at(1) + 16), cpu.load(at(2))
        give_back(vmspace)
        return errors, seen

    assert ([0, 0], (7, 7)) == alone(program)


def test_what_is_not_mapped_is_refused(alone):
    def program(vm):
        new_process(vm, 1)
        vmspace = vm.mycpu().lwp.lwp_vmspace
        errors = [
            procfs_rwmem(vmspace, uva, va, writing=writing)
            for uva, va in ((at(0), at(8)), (at(8), at(0)))
            for writing in (False, True)
        ]
        give_back(vmspace)
        return errors

    assert [EFAULT] * 4 == alone(program)
