"""Who is killed when nothing else helps."""

from __future__ import annotations

import pytest

from vmsmp.engine.clock import HZ
from vmsmp.scenarios.fork._processes import new_process, write
from vmsmp.vm.vm_glue import Swapper
from vmsmp.vm.vm_meter import P_LOWMEMKILL
from vmsmp.vm.vm_pageout import Killer, vm_pageout_kill


def processes_of(vm, sizes):
    """Processes that have written to so many pages each."""
    processes = []

    def process(pages):
        space = new_process(vm.machine, vm, max(1, pages))
        for page in range(pages):
            write(space, page, page)
        processes.append(vm.mycpu().proc)

    for pages in sizes:
        vm.machine.spawn(process, pages).join()
    return processes


@pytest.mark.parametrize(("sizes", "victim"), [((1, 3, 2), 1), ((2, 2), 0), ((1,), 0), ((), None)], ids=str)
def test_the_first_of_the_largest_processes_is_killed(alone, sizes, victim):
    def program(vm):
        processes = processes_of(vm, sizes)
        killed = vm_pageout_kill(Killer(Swapper(vm, processes)))
        marked = [n for n, p in enumerate(processes) if p.p_flags.peek() & P_LOWMEMKILL]
        return killed is (None if victim is None else processes[victim]), marked, len(vm.console)

    expected = [] if victim is None else [victim]
    assert (True, expected, len(expected)) == alone(program, pages=60)


@pytest.mark.parametrize(("ago", "kills"), [(HZ - 1, False), (HZ, True)])
def test_one_process_is_killed_in_a_second_at_most(alone, ago, kills):
    def program(vm):
        killer = Killer(Swapper(vm, processes_of(vm, (1,))))
        killer.lastkillticks = vm.machine.ticks - ago
        return vm_pageout_kill(killer) is not None

    assert kills is alone(program, pages=40)


def test_who_is_killed_already_is_killed_again(alone):
    def program(vm):
        killer = Killer(Swapper(vm, processes_of(vm, (2, 1))))
        victims = []
        for _ in range(2):
            victims.append(vm_pageout_kill(killer))
            killer.lastkillticks -= HZ
        return victims[0] is victims[1]

    assert alone(program, pages=40)
