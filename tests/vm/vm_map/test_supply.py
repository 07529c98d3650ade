"""Entries that a CPU keeps ready: reserved, made, used, given back."""

from __future__ import annotations

from maps import new_map
from vmsmp.vm.vm_map import (
    vm_map_entry_create,
    vm_map_entry_krelease,
    vm_map_entry_kreserve,
    vm_map_entry_release,
    vm_map_entry_reserve,
)
from vmsmp.vm.vm_map.entry import UNDEFINED
from vmsmp.vm.vm_map.supply import return_entry

SMALL = {"map_entry_cache": (20, 8), "map_reserve_slop": 10, "map_reserve_hyst": 6}


def kept(vm):
    gd = vm.map.supply()
    return gd.gd_vme_base, gd.gd_vme_avail, gd.reserved()


def test_a_cpu_starts_with_a_debt_that_its_first_reservation_pays(alone):
    def program(vm):
        before = kept(vm)
        vm_map_entry_reserve(vm, 4)
        return before, kept(vm)

    assert ((20, -8, 0), (32, 0, 4)) == alone(program, **SMALL)


def test_a_reservation_that_can_be_served_makes_nothing(alone):
    def program(vm):
        vm_map_entry_release(vm, vm_map_entry_reserve(vm, 4))
        vm_map_entry_reserve(vm, 3)
        return kept(vm)

    assert (32, 1, 3) == alone(program, **SMALL)


def test_an_entry_comes_out_of_the_reservation_and_goes_back_to_it(alone):
    def program(vm):
        map = vm.map.kernel_map
        reserved = vm_map_entry_reserve(vm, 4)
        entry = vm_map_entry_create(map, reserved)
        used = kept(vm), reserved.count
        return_entry(entry, reserved)
        return used, (kept(vm), reserved.count), entry.freed

    assert (((31, 0, 3), 3), ((32, 0, 4), 4), True) == alone(program, **SMALL)


def test_nothing_in_a_new_entry_is_defined(alone):
    def program(vm):
        reserved = vm_map_entry_reserve(vm, 4)
        entry = vm_map_entry_create(vm.map.kernel_map, reserved)
        said = (
            entry.raw_wired_count,
            entry.raw_inheritance,
            entry.ba.raw_backing_ba,
            entry.ba.raw_backing_count,
        )
        return_entry(entry, reserved)
        return {*said}

    assert {UNDEFINED} == alone(program, **SMALL)


def test_a_cpu_with_too_many_entries_frees_some(alone):
    def program(vm):
        vm_map_entry_release(vm, vm_map_entry_reserve(vm, 11))
        return kept(vm)

    assert (20 + 8 + 6, 6, 0) == alone(program, **SMALL)


def test_the_kernel_s_reservation_makes_nothing_and_may_go_below_zero(alone):
    def program(vm):
        reserved = vm_map_entry_kreserve(vm, 4)
        taken = kept(vm)
        vm_map_entry_krelease(vm, reserved)
        return taken, kept(vm)

    assert ((20, -12, 4), (20, -8, 0)) == alone(program, **SMALL)


def test_more_entries_than_reserved_is_a_panic(panic):
    def program(vm):
        reserved = vm_map_entry_reserve(vm, 1)
        vm_map_entry_create(new_map(vm), reserved)
        vm_map_entry_create(new_map(vm), reserved)

    assert "vm_map_entry_create: no entry reserved" == panic(program)


def test_an_empty_list_is_a_panic(panic):
    def program(vm):
        reserved = vm_map_entry_kreserve(vm, 30)
        for _ in range(30):
            vm_map_entry_create(vm.map.kernel_map, reserved)

    assert "vm_map_entry_create: gd_vme_base NULL" == panic(program, **SMALL)


def test_numbers_do_not_depend_on_other_cpus(alone):
    def program(vm):
        map, names = new_map(vm), {}

        def user(n):
            reserved = vm_map_entry_reserve(vm, 2)
            names[n] = [vm_map_entry_create(map, reserved).name for _ in range(2)]

        for n in (1, 2):
            vm.machine.spawn(user, n)
        vm.machine.join()
        return names

    assert {1: ["entry[65]", "entry[193]"], 2: ["entry[66]", "entry[194]"]} == alone(program)
