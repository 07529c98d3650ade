"""The objects of a machine."""

from __future__ import annotations

from vmsmp.vm import vm_object as o


def test_the_machine_knows_its_objects(alone):
    def program(vm):
        return [o.vm_object_allocate(vm, 8) for _ in range(3)] == [*vm.objects]

    assert True is alone(program)
