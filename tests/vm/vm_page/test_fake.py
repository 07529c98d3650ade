"""Fictitious pages."""

from __future__ import annotations

import pytest

from vmsmp.vm import vm_page as p
from vmsmp.vm.vm_object import vm_object_allocate
from vmsmp.vm.vm_page import (
    PBUSY_LOCKED,
    PG_FICTITIOUS,
    PG_MAPPEDMULTI,
    PG_RAM,
    PG_UNQUEUED,
    VM_PAGE_BITS_ALL,
)


def fake(vm):
    m = vm.page.marker(PG_RAM)
    p.vm_page_initfake(m)
    return m


def test_a_fake_page_is_hard_busied_wired_and_never_on_a_queue(alone):
    def program(vm):
        m = fake(vm)
        return m.busy_count.peek(), m.wire_count.peek(), m.queue, m.flags.peek()

    assert (PBUSY_LOCKED, 1, 0, PG_FICTITIOUS | PG_UNQUEUED) == alone(program)


def test_a_fake_page_is_made_once_only(alone):
    def program(vm):
        m = fake(vm)
        p.vm_page_wakeup(m)
        p.vm_page_initfake(m)
        return m.busy_count.peek(), m.wire_count.peek()

    assert (0, 1) == alone(program)


def test_a_fake_page_keeps_its_holds_and_its_bits(alone):
    def program(vm):
        m = vm.page.marker(0)
        m.hold_count.value, m.valid, m.dirty = 2, 3, 1
        p.vm_page_initfake(m)
        return m.hold_count.peek(), m.valid, m.dirty

    assert (2, 3, 1) == alone(program)


def test_wiring_and_unwiring_a_fake_page_changes_nothing(alone):
    def program(vm):
        m = fake(vm)
        p.vm_page_wire(m)
        p.vm_page_unwire(m, True)
        p.vm_page_unwire(m, True)
        return m.wire_count.peek(), m.queue

    assert (1, 0) == alone(program)


def test_a_fake_page_freed_is_let_go_of_and_stays_as_it_is(alone):
    def program(vm):
        m = fake(vm)
        p.vm_page_free(m)
        return m.busy_count.peek(), m.wire_count.peek(), m.queue, m.flags.peek()

    assert (0, 1, 0, PG_FICTITIOUS | PG_UNQUEUED) == alone(program)


def test_whoever_makes_a_fake_page_has_it_busied_by_the_checkers_books(together):
    def program(vm):
        p.vm_page_wakeup(fake(vm))

    together(program, schedules=1)


def test_a_driver_s_page_is_valid_busied_and_wired_and_in_no_queue_or_hash(alone):
    def program(vm):
        m = p.vm_page_getfake(vm, 5)
        busied = m.busy_count.peek()
        m.flags.setbits(PG_MAPPEDMULTI)
        m.object = vm_object_allocate(vm, 1)
        p.vm_page_hash_enter(m)
        m.busy_count.value = 0
        entered = p.vm_page_hash_get(vm, m.object, 0) is not None
        return m.phys, m.klass, busied, m.wire_count.peek(), m.peek("valid"), m.queue, entered

    assert (5, "fake", PBUSY_LOCKED, 1, VM_PAGE_BITS_ALL, 0, False) == alone(program)


def test_a_driver_gives_its_pages_back_as_they_are(alone):
    def program(vm):
        m = p.vm_page_getfake(vm, 5)
        p.vm_page_wakeup(m)
        p.vm_page_putfake(m)
        return vm.page.markers

    assert [] == alone(program)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda m: m.flags.clearbits(PG_FICTITIOUS), "dev_pager_putfake: page is not fictitious"),
        (lambda m: m.hold_count.fetchadd(1), "dev_pager_putfake: page is in an object, or held"),
    ],
)
def test_a_driver_does_not_give_back_what_is_in_use(panic, spoil, message):
    def program(vm):
        m = p.vm_page_getfake(vm, 5)
        spoil(m)
        p.vm_page_putfake(m)

    assert message == panic(program)


def test_a_fault_has_a_page_on_its_stack_that_is_its_own(alone):
    def program(vm):
        m = p.fake_of_fault(vm, 7)
        busied = m.busy_count.peek(), m.peek("pindex"), m.phys
        p.forget_fake(m)
        return busied, vm.page.markers

    assert ((PBUSY_LOCKED, 7, -1), []) == alone(program)
