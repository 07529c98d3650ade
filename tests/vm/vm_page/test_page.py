"""struct vm_page: its name, and which locks each field asks for."""

from __future__ import annotations

import pytest

from vmsmp.vm import vm_page as h
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_drop, vm_object_hold, vm_object_hold_shared
from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    PG_FICTITIOUS,
    PHYS_TO_VM_PAGE,
    VM_PAGE_TO_PHYS,
    vm_page_busy_try,
    vm_page_flag_set,
    vm_page_sbusy_drop,
    vm_page_sbusy_try,
    vm_page_wakeup,
)


def test_a_page_starts_idle_clean_invalid_and_in_no_object(alone):
    def program(vm):
        words = ("busy_count", "hold_count", "wire_count", "flags", "interlock_count")
        names = (*words, "valid", "dirty", "act_count")
        m = vm.page.vm_page_array[3]
        return m.peek("object"), [m.peek(name) for name in names]

    assert (None, [0] * 8) == alone(program)


def test_a_page_is_called_by_its_number_and_a_marker_is_called_one(alone):
    def program(vm):
        return (
            vm.page.vm_page_array[3].name,
            vm.page.vm_page_array[3].klass,
            vm.page.marker(PG_FICTITIOUS).klass,
        )

    assert ("pg[3]", "pg", "marker") == alone(program)


# -- the permission matrix ------------------------------------------------------------------------


class Hands:
    """Ways to hold something of a page, and to let go of it again."""

    def __init__(self, m, obj):
        self.taken = {
            "hard": (lambda: vm_page_busy_try(m, False), lambda: vm_page_wakeup(m)),
            "soft": (lambda: vm_page_sbusy_try(m), lambda: vm_page_sbusy_drop(m)),
            "token": (lambda: vm_object_hold(obj), lambda: vm_object_drop(obj)),
            "token shared": (lambda: vm_object_hold_shared(obj), lambda: vm_object_drop(obj)),
            "spin": (m.spin.acquire, m.spin.release),
            "queue spin": (
                m.vm.page.vm_page_queues[m.peek("queue")].spin.acquire,
                m.vm.page.vm_page_queues[m.peek("queue")].spin.release,
            ),
            "other queue": (
                m.vm.page.vm_page_queues[m.vm.page.PQ_HOLD].spin.acquire,
                m.vm.page.vm_page_queues[m.vm.page.PQ_HOLD].spin.release,
            ),
            "writeable": (lambda: vm_page_flag_set(m, h.PG_WRITEABLE), lambda: None),
        }

    def work(self, held, act):
        for what in held:
            self.taken[what][0]()
        act()
        for what in reversed(held):
            self.taken[what][1]()


def read(name):
    return lambda m: getattr(m, name)


def write(name):
    return lambda m: setattr(m, name, m.peek(name))


def complaint(found, page_on, act, held, kind="active"):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        m = page_on(vm, kind, obj)
        hands = Hands(m, obj)
        vm.machine.spawn(hands.work, held, lambda: act(m))

    failure = found(program, sched="dfs:0", schedules=1)
    return failure and failure[0]


IDENTITY = pytest.mark.parametrize("name", ["object", "pindex"])


@IDENTITY
@pytest.mark.parametrize("held", [(), ("hard",), ("token",), ("soft", "token"), ("token shared", "hard")])
def test_a_page_s_identity_changes_under_no_less_than_hard_busy_and_exclusive_token(
    found, page_on, name, held
):
    assert "field-lock" == complaint(found, page_on, write(name), held)


@IDENTITY
def test_a_page_s_identity_may_change_under_hard_busy_and_exclusive_token(found, page_on, name):
    assert None is complaint(found, page_on, write(name), ("token", "hard"))


@pytest.mark.parametrize(("held", "verdict"), [("here", None), ("there", "field-lock")])
def test_a_page_is_inserted_under_the_token_of_the_object_that_it_gets_into(found, page_on, held, verdict):
    def program(vm):
        objects = {name: vm_object_allocate(vm, 8) for name in ("here", "there")}
        m = page_on(vm, "free")

        def insert():
            vm_object_hold(objects[held])
            vm_page_busy_try(m, False)
            objects["here"].peek("rb_memq")[0] = m
            m.object = objects["here"]

        vm.machine.spawn(insert)

    failure = found(program, sched="dfs:0", schedules=1)
    assert (verdict == "field-lock") == (failure is not None and failure[0] == "field-lock")


@pytest.mark.parametrize("name", ["object", "pindex", "valid"])
def test_no_object_s_token_tells_of_a_page_in_no_object(found, page_on, name):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        m = page_on(vm, "active", vm_object_allocate(vm, 8))
        vm_page_busy_try(m, False)
        h.vm_page_remove(m)

        def reader():
            vm_object_hold(obj)
            getattr(m, name)
            vm_object_drop(obj)

        vm.machine.spawn(reader).join()
        h.vm_page_free(m)

    failure = found(program, sched="dfs:0", schedules=1)
    assert "field-lock" == (failure and failure[0])


def test_the_index_of_a_page_in_no_object_changes_under_the_hard_busy_alone(found, page_on):
    assert None is complaint(found, page_on, write("pindex"), ("hard",), kind="free")


@pytest.mark.parametrize("held", [(), ("soft",), ("token",), ("spin",)])
def test_valid_bits_change_under_no_less_than_the_hard_busy(found, page_on, held):
    assert "field-lock" == complaint(found, page_on, write("valid"), held)


def test_valid_bits_may_change_under_the_hard_busy(found, page_on):
    assert None is complaint(found, page_on, write("valid"), ("hard",))


@pytest.mark.parametrize("name", ["object", "pindex", "valid"])
@pytest.mark.parametrize("held", [("soft",), ("hard",), ("token shared",), ("token",)], ids="+".join)
def test_identity_and_valid_bits_are_read_under_a_busy_or_the_token(found, page_on, name, held):
    assert None is complaint(found, page_on, read(name), held)


@pytest.mark.parametrize("name", ["object", "pindex", "valid"])
def test_identity_and_valid_bits_read_without_anything_are_a_guess(found, page_on, name):
    assert "field-lock" == complaint(found, page_on, read(name), ())


@pytest.mark.parametrize(("finished", "verdict"), [(False, None), (True, "field-lock")])
def test_identity_is_read_under_the_busy_of_i_o_in_progress(found, page_on, finished, verdict):
    def program(vm):
        m = page_on(vm, "active", vm_object_allocate(vm, 8))
        vm_page_busy_try(m, False)
        h.vm_page_io_start(m)
        if finished:
            h.vm_page_io_finish(m)
        vm_page_wakeup(m)
        vm.machine.spawn(getattr, m, "pindex").join()
        if not finished:
            h.vm_page_io_finish(m)

    failure = found(program, sched="dfs:0", schedules=1)
    assert verdict == (failure and failure[0])


@pytest.mark.parametrize("held", [(), ("spin",), ("queue spin",), ("spin", "other queue"), ("hard",)])
def test_a_page_s_queue_changes_under_no_less_than_both_spinlocks(found, page_on, held):
    assert "field-lock" == complaint(found, page_on, write("queue"), held)


def test_a_page_s_queue_may_change_under_both_spinlocks(found, page_on):
    assert None is complaint(found, page_on, write("queue"), ("spin", "queue spin"))


@pytest.mark.parametrize("held", [("spin",), ("queue spin",)], ids="+".join)
def test_a_page_s_queue_is_read_under_either_spinlock(found, page_on, held):
    assert None is complaint(found, page_on, read("queue"), held)


@pytest.mark.parametrize("held", [(), ("hard",), ("other queue",)], ids=lambda held: "+".join(held) or "-")
def test_a_page_s_queue_read_without_its_spinlocks_is_a_guess(found, page_on, held):
    assert "field-lock" == complaint(found, page_on, read("queue"), held)


@pytest.mark.parametrize("name", ["tqe_next", "tqe_prev"])
@pytest.mark.parametrize(("held", "verdict"), [(("queue spin",), None), (("spin",), "field-lock")])
def test_the_links_of_a_queue_belong_to_its_spinlock(found, page_on, name, held, verdict):
    assert verdict == complaint(found, page_on, write(name), held)


@pytest.mark.parametrize(
    ("held", "verdict"),
    [((), "field-lock"), (("soft",), "field-lock"), (("hard",), None), (("writeable",), None)],
)
def test_a_page_is_made_dirty_under_the_hard_busy_or_by_anybody_while_writeable(
    found, page_on, held, verdict
):
    assert verdict == complaint(found, page_on, write("dirty"), held)


def test_dirty_bits_may_be_looked_at_by_anybody(found, page_on):
    assert None is complaint(found, page_on, read("dirty"), ())


def test_a_page_is_found_by_its_physical_address(alone):
    def program(vm):
        m = vm.page.vm_page_array[3]
        pa = VM_PAGE_TO_PHYS(m)
        return pa, [PHYS_TO_VM_PAGE(vm, pa + offset) is m for offset in (-1, 0, PAGE_SIZE - 1, PAGE_SIZE)]

    assert (3 * PAGE_SIZE, [False, True, True, False]) == alone(program)
