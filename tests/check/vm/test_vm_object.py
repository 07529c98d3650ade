"""Rules of objects: their trees, their counts, their end."""

import re
from functools import partial
from types import SimpleNamespace

import pytest

import verdicts
import vmsmp
from page_layer import poke
from vmsmp.check.vm.vm_object import (
    beyond_size,
    broken_bucket,
    broken_object,
    freed_wrongly,
    unknown_to_be_dirty,
)
from vmsmp.scenarios._kit import Space, active_page, file_object, idle_pages
from vmsmp.vm.vm_map import VM_PROT_READ, VM_PROT_RW
from vmsmp.vm.vm_object import (
    OBJ_DEAD,
    OBJ_MIGHTBEDIRTY,
    OBJ_WRITEABLE,
    REF,
    vm_object_allocate,
    vm_object_deallocate,
    vm_object_drop,
    vm_object_hold,
    vm_object_reference_quick,
)
from vmsmp.vm.vm_page import (
    PG_NEED_COMMIT,
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


def is_on_no_list(obj, pages):
    is_on_a_list_that_does_not_have_it(obj, pages)
    poke(obj, object_entry=None)


def is_on_a_list_that_does_not_have_it(obj, pages):
    del obj.vm.objects.vm_object_hash[0].peek("list")[obj.code]


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


# -- what an object may not become ------------------------------------------------------------------


def ends_more_than_began(obj):
    obj.paging_in_progress.fetchadd(-1)


def is_referenced_though_dead(obj):
    vm_object_hold(obj)
    obj.flags.setbits(OBJ_DEAD)
    vm_object_reference_quick(obj)


@DEPTHS
@pytest.mark.parametrize(
    ("deed", "message"),
    [
        (ends_more_than_began, "INV-O7: obj: more activities have ended than begun"),
        (is_referenced_though_dead, "INV-O6: obj: it is dead, and referenced"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_step_that_breaks_a_rule_is_found(deed, message, locks):
    def program(m):
        obj = vm_object_allocate(m.boot(pages=1, l2_size=1), 1)

        def worker():
            deed(obj)
            m.yield_()

        m.spawn(worker)
        m.join()

    found(program, "accounting", message, locks=locks, schedules=3)


@pytest.mark.parametrize(
    ("deed", "message"),
    [
        (is_on_no_list, "INV-O8: obj: it is alive, and on no list"),
        (
            is_on_a_list_that_does_not_have_it,
            "INV-O8: obj: it says that it is on a list, which does not have it",
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_an_object_that_the_lists_do_not_have_is_found_in_the_end(deed, message):
    def program(m):
        obj = vm_object_allocate(m.boot(pages=1, l2_size=1, object_hash=1), 1)
        m.yield_()
        deed(obj, [])

    found(program, "accounting", message, schedules=1)


def forgets_where_it_is(obj):
    poke(obj, object_entry=object())


def is_freed(obj):
    obj.freed = True


@pytest.mark.parametrize(
    ("deed", "text"),
    [
        (is_freed, "an object on its list is freed"),
        (forgets_where_it_is, "an object on its list says that it is on another"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_list_with_an_object_that_is_not_of_it_is_broken(deed, text):
    told = []

    def program(m):
        vm = m.boot(pages=1, l2_size=1, object_hash=1)
        obj = vm_object_allocate(vm, 1)
        (bucket,) = vm.objects.vm_object_hash
        told.append(broken_bucket(bucket, None))
        entry = obj.peek("object_entry")
        deed(obj)
        told.append(broken_bucket(bucket, None))
        bucket.token.acquire()
        told.append(broken_bucket(bucket, None))
        bucket.token.release()
        poke(obj, object_entry=entry)
        obj.freed = False

    silent(program, schedules=1)
    assert [None, ("INV-O8", text, ": "), None] == told


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"paging_in_progress": 1}, "it is freed while something is in progress on it"),
        ({}, "it is freed, and on the list of all objects"),
    ],
    ids=str,
)
def test_an_object_that_is_at_work_or_listed_is_not_freed(change, text):
    told = []

    def program(m):
        obj = vm_object_allocate(m.boot(pages=1, l2_size=1), 1)
        entry = obj.peek("object_entry")
        poke(obj, ref_count=0, flags=OBJ_DEAD, **change)
        if change:
            poke(obj, object_entry=None)
        told.append(freed_wrongly(obj, None).text)
        poke(obj, ref_count=1, flags=0, paging_in_progress=0, object_entry=entry)

    silent(program, schedules=1)
    assert [text] == told


# -- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"dirty": 1}, "it has a dirty page, and says that it cannot have one"),
        ({"flags": PG_NEED_COMMIT}, "it has a dirty page, and says that it cannot have one"),
    ],
    ids=str,
)
@pytest.mark.parametrize("known", [0, OBJ_MIGHTBEDIRTY, OBJ_WRITEABLE | OBJ_MIGHTBEDIRTY])
def test_a_file_with_something_to_be_written_says_so(change, text, known):
    told = []

    def program(m):
        vm = m.boot(pages=2, l2_size=1)
        _vp, obj = file_object(vm, 1)
        (page,) = idle_pages(vm, obj, [0])
        before = {name: page.peek(name) for name in change}
        obj.flags.value = known
        poke(page, **change)
        told.append(unknown_to_be_dirty(vm))
        poke(page, **before)
        told.append(unknown_to_be_dirty(vm))

    silent(program, schedules=1)
    if known == OBJ_WRITEABLE | OBJ_MIGHTBEDIRTY:
        assert [None, None] == told
    else:
        assert (text, None) == (told[0][1].text, told[1])


@pytest.mark.parametrize("known", [0, OBJ_MIGHTBEDIRTY, OBJ_WRITEABLE | OBJ_MIGHTBEDIRTY])
def test_a_file_with_a_page_that_may_be_written_to_says_so(known):
    told = []

    def program(m):
        vm = m.boot(pages=8, l2_size=1)
        _vp, obj = file_object(vm, 1)
        (page,) = idle_pages(vm, obj, [0])
        space = Space(vm, obj, 1)
        for prot in (VM_PROT_READ, VM_PROT_RW):
            space.fault(page, 0, prot)
            obj.flags.value = known
            told.append(unknown_to_be_dirty(vm))
        space.remove()
        told.append(unknown_to_be_dirty(vm))

    silent(program, schedules=1)
    before, broken, after = told
    assert (None, None) == (before, after)
    text = "it has a page mapped writeable, and says that it has none"
    assert (None if known == OBJ_WRITEABLE | OBJ_MIGHTBEDIRTY else text) == (broken and broken[1].text)


@pytest.mark.parametrize(("size", "told"), [(1, None), (0, "it has a page beyond its size, which is 0")])
def test_no_page_lies_beyond_the_size_of_its_object(size, told):
    found = []

    def program(m):
        vm = m.boot(pages=8, l2_size=1)
        obj = vm_object_allocate(vm, 1)
        active_page(vm, obj, 0)
        before, obj.size = obj.size, size
        found.append(beyond_size(vm))
        obj.size = before

    silent(program, schedules=1)
    assert told == (found[0] and found[0][1].text)
