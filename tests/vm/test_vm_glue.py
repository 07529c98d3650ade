"""The swapper, and processes that wait for it."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.vm.vm_glue import (
    P_SWAPPEDOUT,
    P_SWAPWAIT,
    Swapper,
    faultin,
    scheduler,
    swapin_request,
    swapper_stop,
    wait_for_swapin,
)


def swapper_of(vm):
    p = vm.mycpu().proc
    return Swapper(vm, [p]), p


def test_a_process_that_is_not_swapped_out_goes_on(alone):
    def program(vm):
        swapper, p = swapper_of(vm)
        wait_for_swapin(swapper, p)
        return swapper.scheduler_notify.peek(), p.p_flags.peek()

    assert (0, 0) == alone(program)


@pytest.mark.parametrize("noted", [0, 1])
def test_a_request_is_noted_once(alone, noted):
    def program(vm):
        swapper, _ = swapper_of(vm)
        swapper.scheduler_notify.store(noted)
        swapin_request(swapper)
        return swapper.scheduler_notify.peek()

    assert 1 == alone(program)


@pytest.mark.parametrize(
    ("flags", "left"), [(P_SWAPPEDOUT | P_SWAPWAIT, 0), (P_SWAPWAIT, P_SWAPWAIT), (P_SWAPPEDOUT | 1, 1)]
)
def test_only_who_is_swapped_out_is_let_in(alone, flags, left):
    def program(vm):
        swapper, p = swapper_of(vm)
        p.p_flags.setbits(flags)
        faultin(swapper, p)
        return p.p_flags.peek()

    assert left == alone(program)


def test_the_swapper_lets_in_who_asks_and_ends_when_it_is_told_to():
    def program(m):
        vm = m.boot(pages=4, l2_size=1)

        def process():
            swapper, p = swapper_of(vm)
            p.p_flags.setbits(P_SWAPPEDOUT)
            m.spawn(scheduler, swapper)
            wait_for_swapin(swapper, p)
            m.check(not p.p_flags.peek(), "a process that is let in asks no more")
            swapper_stop(swapper)

        m.spawn(process)
        m.join()

    assert None is vmsmp.explore(program, schedules=100).failure
