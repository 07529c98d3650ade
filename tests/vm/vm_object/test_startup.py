"""The objects of a machine."""

from __future__ import annotations

from vmsmp.vm import vm_object as o


def test_the_machine_knows_its_objects(alone):
    def program(vm):
        return [o.vm_object_allocate(vm, 8) for _ in range(3)] == [*vm.objects]

    assert True is alone(program)


def test_the_kernel_s_object_is_there_and_not_among_the_others(alone):
    def program(vm):
        obj = vm.objects.kernel_object
        bucket = obj.peek("object_entry")
        listed = bucket.peek("list").get(obj.code) is obj
        return obj.peek("size"), obj.peek("ref_count"), listed, [*vm.objects]

    assert (o.KERNEL_PAGES, 1, True, []) == alone(program)


def test_objects_are_spread_over_the_buckets_by_their_addresses(alone):
    def program(vm):
        objects = [o.vm_object_allocate(vm, 8) for _ in range(64)]
        for obj in objects:
            assert obj.peek("object_entry") is o.vm_object_hash(vm.objects, obj)
        return len(vm.objects.vm_object_hash), {obj.peek("object_entry").index for obj in objects}

    buckets, used = alone(program, object_hash=8)
    assert 8 == buckets
    assert len(used) > 4
