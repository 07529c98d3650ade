"""What a whole sweep of the pagedaemon may leave behind."""

from functools import partial

import pytest

import verdicts
from page_layer import wanting
from vmsmp.scenarios._kit import busied_page
from vmsmp.vm.vm_object import vm_object_allocate
from vmsmp.vm.vm_page import (
    VM_ALLOC_NORMAL,
    vm_page_activate,
    vm_page_alloc,
    vm_page_busy_try,
    vm_page_deactivate,
    vm_page_free,
    vm_page_hold,
    vm_page_unhold,
    vm_page_unwire,
    vm_page_wakeup,
    vm_page_wire,
)
from vmsmp.vm.vm_pageout import _sweep, vm_pageout_scan_active, vm_pageout_scan_inactive

LEFT = "INV-Q9: pg: it is in no object, and still on a queue that was swept"
found = partial(verdicts.found, kind="queue", message=LEFT, schedules=1)
silent = partial(verdicts.silent, schedules=1)
TYPES = pytest.mark.parametrize("kind", ["active", "inactive"])


def queue(m, kind):
    """Put a busied page on a queue of that type, and let go of it."""
    (vm_page_activate if kind == "active" else vm_page_deactivate)(m)
    vm_page_wakeup(m)
    return m


def put_aside(vm, kind="inactive"):
    """A page in no object on a queue of that type, as an allocator leaves one that is busy."""
    return queue(vm_page_alloc(vm, None, 0, VM_ALLOC_NORMAL), kind)


def passing(m):
    """Let go of the page, leave it where it is, and go on."""
    vm_page_wakeup(m)
    return True


def sweeping(visit, kind="inactive", prepare=put_aside, use=None, undo=None):
    """A CPU sweeps the queues of that type with `visit(m)`.

    `prepare(vm, kind)` makes a page; `use(m)` is done to it before, `undo(m)` after the sweep.
    """

    def program(m):
        vm = m.boot(pages=4, l2_size=2)
        page = prepare(vm, kind)
        if use:
            use(page)
        m.spawn(_sweep, vm, getattr(vm.page, f"PQ_{kind.upper()}"), lambda: visit).join()
        if undo:
            undo(page)
        vm_pageout_scan_inactive(wanting(vm))

    return program


@TYPES
def test_a_page_in_no_object_that_a_sweep_passes_is_found(kind):
    failure = found(sweeping(passing, kind))
    assert failure.facts[0].startswith(f"pg[3] is pq.{kind}[0], no object")


def test_one_of_several_pages_is_enough():
    def visit(m):
        if m.pindex:
            vm_page_activate(m)
        return passing(m)

    def prepare(vm, kind):
        for n in range(2):
            queue(vm_page_alloc(vm, None, n, VM_ALLOC_NORMAL), kind)

    found(sweeping(visit, prepare=prepare))


@pytest.mark.parametrize("sweep", [vm_pageout_scan_active, vm_pageout_scan_inactive])
@TYPES
def test_the_daemon_s_own_sweeps_dispose_of_such_pages(sweep, kind):
    def program(m):
        vm = m.boot(pages=4, l2_size=2)
        put_aside(wanting(vm), kind)
        m.spawn(sweep, vm).join()

    silent(program, repairs=["aging-asks-for-an-object"])


def test_a_sweep_that_stops_early_need_not_pass_all():
    silent(sweeping(lambda m: not passing(m)))


@TYPES
def test_a_page_of_an_object_may_stay(kind):
    silent(
        sweeping(passing, kind, lambda vm, kind: queue(busied_page(vm, vm_object_allocate(vm, 4), 0), kind))
    )


def test_a_page_on_another_queue_is_another_sweep_s_affair():
    silent(sweeping(passing, "active", lambda vm, _kind: put_aside(vm, "inactive")))


def busy(m):
    vm_page_busy_try(m, False)


def wire(m):
    busy(m)
    vm_page_wire(m)
    vm_page_wakeup(m)


def unwire(m):
    busy(m)
    vm_page_unwire(m, False)
    vm_page_wakeup(m)


@pytest.mark.parametrize(
    ("use", "undo"), [(busy, vm_page_wakeup), (vm_page_hold, vm_page_unhold), (wire, unwire)]
)
def test_a_page_in_use_when_the_sweep_begins_may_stay(use, undo):
    silent(sweeping(passing, use=use, undo=undo))


def touch(m):
    vm_page_hold(m)
    vm_page_unhold(m)


@pytest.mark.parametrize("others", [True, False])
def test_only_another_cpu_s_use_of_a_page_excuses_it(others):
    def visit(m):
        if others:
            m.vm.machine.spawn(touch, m).join()
        else:
            touch(m)
        return passing(m)

    (silent if others else found)(sweeping(visit))


def test_a_page_that_is_freed_and_put_aside_again_may_stay():
    def visit(m):
        vm_page_free(m)
        put_aside(m.vm)
        return True

    silent(sweeping(visit))
