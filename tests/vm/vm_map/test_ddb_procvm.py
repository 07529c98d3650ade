"""What the debugger shows of processes and their address spaces."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.scenarios._kit import run_in
from vmsmp.vm import vm_map as v


def process(vm):
    """Let the running CPU be in an address space with one entry."""
    vmspace = v.vmspace_alloc(vm, 0, 1 << 30)
    run_in(vm, vmspace)
    v.vm_map_find(vmspace.vm_map, 0x10000, 4096, 4096, False, v.Mapping(prot=3, max=7))
    return vmspace


def test_a_process_shows_its_address_space_and_its_map(alone):
    def program(vm):
        vmspace = process(vm)
        return v.show_procvm(vm).splitlines(), v.vm_map_print(vmspace.vm_map), vmspace.name

    lines, map, name = alone(program)
    assert f"p = cpu0.proc, vmspace = {name}, map = {name}.vm_map, pmap = {name}.vm_pmap" == lines[0]
    assert map == lines[1:]


def test_processes_are_shown_in_the_order_of_their_cpus_or_one_by_name(alone):
    def program(vm):
        process(vm)
        vm.machine.spawn(process, vm)
        vm.machine.join()
        return [
            [line.split(",")[0] for line in v.show_procvm(vm, name).splitlines() if line.startswith("p = ")]
            for name in (None, "cpu1.proc")
        ]

    assert [["p = cpu0.proc", "p = cpu1.proc"], ["p = cpu1.proc"]] == alone(program)


def test_a_process_without_an_address_space_is_none(alone):
    assert "no processes" == alone(v.show_procvm)


def test_a_process_that_there_is_not_is_refused_with_those_there_are(alone):
    def program(vm):
        process(vm)
        v.show_procvm(vm, "init")

    with pytest.raises(
        vmsmp.UsageError,
        match=r"^there is no process 'init' with an address space: there are cpu0\.proc$",
    ):
        alone(program)
