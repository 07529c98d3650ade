"""The daemon that swaps processes out, and who asks it to."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.engine.clock import HZ
from vmsmp.vm.vm_glue import P_SWAPPEDOUT, VM_SWAP_IDLE, VM_SWAP_NORMAL, Swapper, swapout_procs
from vmsmp.vm.vm_pageout import VmDaemon, vm_daemon, vm_daemon_stop, vm_daemon_turn, vm_req_vmdaemon


@pytest.mark.parametrize(
    ("action", "flags", "left"),
    [
        (0, 0, 0),
        (VM_SWAP_NORMAL, 0, P_SWAPPEDOUT),
        (VM_SWAP_IDLE, 0, P_SWAPPEDOUT),
        (VM_SWAP_IDLE, P_SWAPPEDOUT, P_SWAPPEDOUT),
    ],
)
def test_processes_are_swapped_out_if_that_is_asked_for(alone, action, flags, left):
    def program(vm):
        p = vm.mycpu().proc
        p.p_flags.setbits(flags)
        swapout_procs(Swapper(vm, [p]), action)
        return p.p_flags.peek()

    assert left == alone(program)


def test_what_is_asked_for_is_taken_and_not_done(alone):
    def program(vm):
        p = vm.mycpu().proc
        daemon = VmDaemon(Swapper(vm, [p]))
        daemon.vm_pageout_req_swapout.setbits(VM_SWAP_NORMAL)
        vm_daemon_turn(daemon)
        return daemon.vm_pageout_req_swapout.peek(), p.p_flags.peek()

    assert (0, 0) == alone(program)


@pytest.mark.parametrize(("ago", "now"), [(HZ, False), (HZ + 1, True), (-1, True)])
def test_the_daemon_is_woken_at_most_once_in_a_second(alone, ago, now):
    def program(vm):
        daemon = VmDaemon(Swapper(vm, []))
        daemon.lastrun = before = vm.machine.ticks - ago
        vm_req_vmdaemon(daemon)
        return daemon.lastrun != before

    assert now == alone(program)


def test_the_daemon_ends_when_it_is_told_to():
    def program(m):
        vm = m.boot(pages=4, l2_size=1)
        daemon = VmDaemon(Swapper(vm, []))

        def teller():
            m.tsleep("teller", 0, "teller", 1, overdue=lambda: None)
            vm_daemon_stop(daemon)

        m.spawn(vm_daemon, daemon)
        m.spawn(teller)
        m.join()

    assert vmsmp.run(program, cpus=2).failure is None
