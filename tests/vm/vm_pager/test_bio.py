"""Requests to a device, and the CPU that completes them."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.vm.vm_pager import Bio, device_attach, device_detach, started, vn_strategy


@pytest.mark.parametrize(("failing", "error", "counted"), [(False, False, 1), (True, True, 0)])
def test_without_a_cpu_of_its_own_the_device_completes_a_request_at_once(alone, failing, error, counted):
    def program(vm):
        done = []
        vm.pager.device.failing = failing
        vn_strategy(vm, started(vm, Bio([None], True, done.append)))
        return [bio.error for bio in done], vm.pager.device.transfers

    assert ([error], counted) == alone(program)


@pytest.mark.parametrize("locks", ["atomic", "exact"])
def test_the_device_s_cpu_completes_every_request_and_ends(together, locks):
    def program(vm):
        done = []
        cpu = device_attach(vm)

        def user(n):
            vn_strategy(vm, Bio([n], False, lambda bio: done.append((bio.pages[0], vm.engine.current))))

        users = [vm.machine.spawn(user, n) for n in range(3)]
        for one in users:
            one.join()
        device_detach(vm)
        vm.machine.join()
        vm.machine.check(sorted(n for n, _ in done) == [0, 1, 2], "each once")
        vm.machine.check({who for _, who in done} == {cpu}, "by the device's CPU")

    together(program, locks=locks)


def test_requests_may_be_completed_in_any_order():
    orders = set()

    def program(m):
        vm = m.boot(pages=1, l2_size=1)
        done = []
        for n in range(3):
            vm.pager.device.queue.append(Bio([n], False, lambda bio: done.append(bio.pages[0])))
        device_attach(vm)
        device_detach(vm)
        m.join()
        orders.add(tuple(done))

    vmsmp.explore(program, sched="random", schedules=60)
    assert 6 == len(orders)
