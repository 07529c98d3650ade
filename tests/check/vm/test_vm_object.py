"""Rules of objects: their trees, their counts, their end."""

import re
from functools import partial
from types import SimpleNamespace

import pytest

import verdicts
import vmsmp
from page_layer import poke
from vmsmp.check.vm.vm_object import broken_object
from vmsmp.scenarios._kit import active_page
from vmsmp.vm.vm_object import (
    REF,
    vm_object_allocate,
    vm_object_deallocate,
    vm_object_drop,
    vm_object_hold,
    vm_object_reference_quick,
)
from vmsmp.vm.vm_page import (
    VM_ALLOC_NORMAL,
    VM_ALLOC_SYSTEM,
    vm_page_alloc,
    vm_page_busy_try,
    vm_page_free,
    vm_page_rename,
    vm_page_wakeup,
)

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])
found = partial(verdicts.found, whole=False, schedules=100)
silent = partial(verdicts.silent, schedules=100)


# -- trees ----------------------------------------------------------------------------------------


def counts_too_many(obj, pages):
    poke(obj, resident_page_count=3)


def counts_too_few(obj, pages):
    poke(obj, resident_page_count=1)


def forgets_a_page(obj, pages):
    del obj.peek("rb_memq")[1]


def has_a_page_at_the_wrong_index(obj, pages):
    tree = obj.peek("rb_memq")
    tree[2] = tree.pop(1)


def has_a_page_that_says_another_index(obj, pages):
    poke(pages[1], pindex=3)


def has_a_page_in_no_object(obj, pages):
    poke(pages[1], object=None)


def has_a_page_twice(obj, pages):
    obj.peek("rb_memq")[2] = pages[1]
    poke(obj, resident_page_count=3)


def too_few_references(obj, pages):
    poke(obj, ref_count=-1)


def too_few_holds(obj, pages):
    poke(obj, hold_count=-1)


BROKEN_OBJECTS = [
    (counts_too_many, "INV-O2: obj: it counts 3 resident pages and has 2"),
    (counts_too_few, "INV-O2: obj: it counts 1 resident pages and has 2"),
    (forgets_a_page, "INV-O2: obj: it counts 2 resident pages and has 1"),
    (has_a_page_at_the_wrong_index, "INV-O1: obj: its tree has pg at an index, which says it is elsewhere"),
    (
        has_a_page_that_says_another_index,
        "INV-O1: obj: its tree has pg at an index, which says it is elsewhere",
    ),
    (has_a_page_in_no_object, "INV-O1: obj: its tree has pg at an index, which says it is elsewhere"),
    (has_a_page_twice, "INV-O1: obj: its tree has pg at an index, which says it is elsewhere"),
    (too_few_references, "INV-O4: obj: "),
    (too_few_holds, "INV-O4: obj: "),
]
OF_OBJECTS = pytest.mark.parametrize(
    ("deed", "message"), BROKEN_OBJECTS, ids=lambda value: getattr(value, "__name__", "")
)


@DEPTHS
@OF_OBJECTS
def test_an_object_that_is_broken_is_found_when_it_is_touched(deed, message, locks):
    def program(m):
        vm = m.boot(pages=4, l2_size=1)
        obj = vm_object_allocate(vm, 4)
        pages = [active_page(vm, obj, n) for n in range(2)]

        def worker():
            deed(obj, pages)
            obj.flags.setbits(0)
            m.yield_()

        m.spawn(worker)
        m.join()

    failure = found(program, "accounting", message, locks=locks, schedules=3)
    assert re.match(r"obj\[0\] is \d pages, refs ", failure.facts[0])
    assert any(" took a reference at vm/vm_object/" in fact for fact in failure.facts)


@OF_OBJECTS
def test_an_object_that_is_broken_is_found_in_the_end_though_nobody_touches_it(deed, message):
    """Also by way of its pages, which are asked first."""

    def program(m):
        vm = m.boot(pages=4, l2_size=1)
        obj = vm_object_allocate(vm, 4)
        pages = [active_page(vm, obj, n) for n in range(2)]
        m.yield_()
        deed(obj, pages)

    ways = (message, "INV-O1: pg: it says it is obj's, and that one's tree does not have it")
    for failure in (
        vmsmp.explore(program, schedules=1).failure,
        vmsmp.run(program, engine="free").failure,
    ):
        assert ("accounting", True) == (failure.kind, failure.message.startswith(ways))


@DEPTHS
def test_an_object_whose_page_is_under_its_spinlock_is_not_asked_about_that_page(locks):
    asked = []
    books = SimpleNamespace(counts=lambda _obj: {REF: 1})

    def program(m):
        vm = m.boot(pages=4, l2_size=1)
        obj = vm_object_allocate(vm, 4)
        page = active_page(vm, obj, 0)

        def mover():
            with page.spin:
                poke(page, object=None)
                obj.flags.setbits(0)
                m.yield_()
                asked.append(broken_object(obj, books))
                poke(page, object=obj)

        m.spawn(mover)
        m.join()

    silent(program, locks=locks, schedules=5)
    assert [None] * 5 == asked


@DEPTHS
def test_objects_whose_pages_come_go_and_move_are_right(locks):
    def program(m):
        vm = m.boot(pages=6, l2_size=1)
        here, there = vm_object_allocate(vm, 4), vm_object_allocate(vm, 4)
        active_page(vm, here, 0)

        def mover(source, target):
            vm_object_hold(source)
            vm_object_hold(target)
            page = source.rb_memq.get(0)
            if page is not None and target.rb_memq.get(0) is None and not vm_page_busy_try(page, True):
                vm_page_rename(page, target, 0)
                vm_page_wakeup(page)
            vm_object_drop(target)
            vm_object_drop(source)

        def maker(obj):
            vm_object_reference_quick(obj)
            vm_object_hold(obj)
            page = vm_page_alloc(vm, obj, 1, VM_ALLOC_NORMAL | VM_ALLOC_SYSTEM)
            vm_page_free(page)
            vm_object_drop(obj)
            vm_object_deallocate(obj)

        m.spawn(mover, here, there)
        m.spawn(mover, there, here)
        m.spawn(maker, here)
        m.join()
        for obj in (here, there):
            vm_object_deallocate(obj)

    silent(program, locks=locks)
