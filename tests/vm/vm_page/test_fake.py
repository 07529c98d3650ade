"""Fictitious pages."""

from __future__ import annotations

from vmsmp.vm import vm_page as p
from vmsmp.vm.vm_page import PBUSY_LOCKED, PG_FICTITIOUS, PG_RAM, PG_UNQUEUED


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
