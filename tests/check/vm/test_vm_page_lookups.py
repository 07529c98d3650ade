"""Rules of lookups: what one returns is the page that was asked for, busied and valid as promised."""

import re
from functools import partial

import pytest

import verdicts
from page_layer import by_tree, shared_page
from verdicts import entries
from vmsmp.patches.patch import Edit, Mutant
from vmsmp.vm.vm_object import (
    vm_object_allocate,
    vm_object_drop,
    vm_object_hold,
    vm_object_hold_shared,
)
from vmsmp.vm.vm_page import (
    _found,
    vm_page_busy_wait,
    vm_page_hash_enter,
    vm_page_hash_get,
    vm_page_lookup_busy_try,
    vm_page_lookup_busy_wait,
    vm_page_lookup_sbusy_try,
    vm_page_rename,
    vm_page_sbusy_drop,
    vm_page_sbusy_try,
    vm_page_set_invalid,
    vm_page_set_valid,
    vm_page_wakeup,
)

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])
found = partial(verdicts.found, schedules=1000)
silent = partial(verdicts.silent, schedules=200)


# -- what lookups return --------------------------------------------------------------------------


def moving(reader):
    """A page moves from one object to another while `reader(vm, obj)` looks it up in both."""

    def program(m):
        vm = m.boot(pages=4, l2_size=1, hash_size=8)
        here, there = vm_object_allocate(vm, 4), vm_object_allocate(vm, 4)
        page = shared_page(vm, here, 0)
        vm_object_hold(here)
        again, _ = vm_page_lookup_busy_try(here, 0, True)  # enters it in the hash
        vm_page_wakeup(again)
        vm_object_drop(here)

        def mover():
            vm_page_busy_wait(page, True)  # readers sleep on it from here on, and lose their tokens
            vm_object_hold(here)
            vm_object_hold(there)
            vm_page_rename(page, there, 0)
            vm_page_hash_enter(page)
            vm_page_wakeup(page)
            vm_object_drop(there)
            vm_object_drop(here)

        m.spawn(mover)
        m.spawn(reader, vm, here)
        m.spawn(reader, vm, there)
        m.join()

    return program


def by_hash(vm, obj):
    page = vm_page_hash_get(vm, obj, 0)
    if page is not None:
        vm_page_sbusy_drop(page)


HASH_TRUSTS = Mutant(
    "planted",
    "vmsmp.vm.vm_page:vm_page_hash_get",
    "if m.object is obj and m.pindex == pindex:",
    "if True:",
    "",
    "",
)
TREE_TRUSTS = Mutant(
    "planted",
    "vmsmp.vm.vm_page:vm_page_lookup_busy_wait",
    """
    machine.tsleep(m, PINTERLOCKED, wmesg, overdue=partial(_busy_overdue, m, also_m_busy))
    m = obj.rb_memq.get(pindex)
    """,
    "machine.tsleep(m, PINTERLOCKED, wmesg, overdue=partial(_busy_overdue, m, also_m_busy))",
    "",
    "",
    also=(Edit("vmsmp.vm.vm_page:vm_page_lookup_busy_wait", "_assert_identity(m, obj, pindex)", "pass"),),
)


@DEPTHS
@pytest.mark.parametrize(
    ("reader", "mutant", "took"),
    [
        (by_hash, HASH_TRUSTS, "soft busy at vm/vm_page/busy.py in vm_page_sbusy_try, for vm_page_hash_get"),
        (
            by_tree,
            TREE_TRUSTS,
            "hard busy at <mutant of vm_page_lookup_busy_wait> in vm_page_lookup_busy_wait, for by_tree",
        ),
    ],
    ids=["hash", "tree"],
)
def test_a_lookup_that_does_not_compare_again_is_found_with_another_object_s_page(
    reader, mutant, took, locks
):
    program = moving(reader)
    with mutant.plant():
        message = "INV-H1: pg: a lookup returns a page that is not obj's at that index"
        failure = found(program, "accounting", message, locks=locks, sched="portfolio")
    assert f"cpu{failure.cpu} took a {took}" == entries(failure)[-1]
    assert re.match(r"pg\[\d\] is pq\.active\[0\], obj\[", failure.facts[0])


@DEPTHS
@pytest.mark.parametrize("reader", [by_hash, by_tree])
def test_lookups_while_the_page_moves_are_right(reader, locks):
    silent(moving(reader), locks=locks)


@pytest.mark.parametrize(
    ("pindex", "message"),
    [
        (0, "INV-H1: pg: a lookup returns a page that it has not busied"),
        (3, "INV-H1: pg: a lookup returns a page that is not obj's at that index"),
    ],
)
def test_a_lookup_that_returns_a_page_unbusied_or_of_another_index_is_found(pindex, message):
    def program(m):
        vm = m.boot(pages=4, l2_size=1)
        obj = vm_object_allocate(vm, 4)
        page = shared_page(vm, obj, 0)
        assert not vm_page_sbusy_try(page)
        m.spawn(_found, page, obj, pindex)
        m.join()

    failure = found(program, "accounting", message)
    assert 1 == failure.cpu
    assert (
        "cpu0 took a soft busy at vm/vm_page/busy.py in vm_page_sbusy_try, for program"
        == entries(failure)[-1]
    )


def truncating(m):
    """A reader's page loses its content while he looks it up."""
    vm = m.boot(pages=4, l2_size=1)
    obj = vm_object_allocate(vm, 4)
    shared_page(vm, obj, 0)

    def truncate():
        vm_object_hold(obj)
        page = vm_page_lookup_busy_wait(obj, 0, True)
        vm_object_drop(obj)
        m.yield_()  # without it the bits would go with the token, which a reader waits for
        vm_page_set_invalid(page, 0, 512)
        vm_page_wakeup(page)
        vm_page_busy_wait(page, True)
        vm_page_set_valid(page)
        vm_page_wakeup(page)

    def reader():
        vm_object_hold_shared(obj)
        page = vm_page_lookup_sbusy_try(obj, 0)
        vm_object_drop(obj)
        if page is not None:
            vm_page_sbusy_drop(page)

    m.spawn(truncate)
    m.spawn(reader)
    m.join()


@DEPTHS
def test_a_lookup_that_does_not_look_again_whether_the_page_is_valid_is_found(locks):
    mutant = Mutant(
        "planted",
        "vmsmp.vm.vm_page:vm_page_lookup_sbusy_try",
        "vm_page_sbusy_drop(m)\nreturn None",
        "pass",
        "",
        "",
    )
    with mutant.plant():
        message = "INV-PB6: pg: a lookup returns a page that is not valid as asked"
        failure = found(truncating, "accounting", message, locks=locks, sched="portfolio")
    assert (
        "cpu2 took a soft busy at vm/vm_page/busy.py in vm_page_sbusy_try, for vm_page_lookup_sbusy_try"
        == entries(failure)[-1]
    )
    assert ", valid 0xfe," in failure.facts[0]


@DEPTHS
def test_a_reader_whose_page_loses_its_content_meanwhile_is_right(locks):
    silent(truncating, locks=locks)


@pytest.mark.parametrize("idle", [True, False])
def test_a_lookup_for_an_idle_page_that_returns_one_still_in_use_is_found(idle):
    def program(m):
        vm = m.boot(pages=4, l2_size=1)
        obj = vm_object_allocate(vm, 4)
        page = shared_page(vm, obj, 0)

        def reader():
            assert not vm_page_sbusy_try(page)
            m.spawn(owner).join()
            vm_page_sbusy_drop(page)

        def owner():
            vm_page_busy_wait(page, False)
            _found(page, obj, 0, idle=idle)
            vm_page_wakeup(page)

        m.spawn(reader)
        m.join()

    if idle:
        message = "INV-PB6: pg: a lookup returns a page that is busy otherwise"
        failure = found(program, "accounting", message)
        taken = [entry.partition(" at ")[0] for entry in entries(failure)[-2:]]
        assert ["cpu1 took a soft busy", "cpu2 took a hard busy"] == taken
    else:
        silent(program)
