"""The tree of an object's pages, and scans over it while pages come and go."""

from __future__ import annotations

import pytest

from page_layer import made
from vmsmp.vm import vm_object as o
from vmsmp.vm.vm_page import (
    VM_ALLOC_NORMAL,
    vm_page_alloc,
    vm_page_busy_try,
    vm_page_free,
    vm_page_wakeup,
)


def holding(vm, page_on, *pindexes):
    """A held object with pages at these indexes."""
    obj = made(vm)
    for n in pindexes:
        page_on(vm, "none", obj, n)
    o.vm_object_hold(obj)
    return obj


def free_at(obj, pindex):
    vm_page_busy_try(obj.rb_memq[pindex], False)
    vm_page_free(obj.rb_memq[pindex])


def insert_at(obj, pindex):
    vm_page_wakeup(vm_page_alloc(obj.vm, obj, pindex, VM_ALLOC_NORMAL))


def scanned(obj, at_first):
    """The indexes that a scan visits if `at_first()` happens while it is at the first page."""
    seen = []
    for m in o.scan(obj):
        seen.append(m.pindex)
        if len(seen) == 1:
            at_first()
    return seen


def test_pages_are_scanned_in_order_of_index(alone, page_on):
    def program(vm):
        return [m.pindex for m in o.scan(holding(vm, page_on, 5, 1, 3))]

    assert [1, 3, 5] == alone(program)


def test_an_empty_tree_has_nothing_to_scan(alone, page_on):
    assert [] == alone(lambda vm: [*o.scan(holding(vm, page_on))])


@pytest.mark.parametrize("inserted", [0, 2])
def test_a_page_inserted_before_the_next_one_is_not_visited(alone, page_on, inserted):
    def program(vm):
        obj = holding(vm, page_on, 1, 3, 5)
        return scanned(obj, lambda: insert_at(obj, inserted))

    assert [1, 3, 5] == alone(program)


def test_a_page_inserted_behind_the_next_one_is_visited(alone, page_on):
    def program(vm):
        obj = holding(vm, page_on, 1, 3, 5)
        return scanned(obj, lambda: insert_at(obj, 4))

    assert [1, 3, 4, 5] == alone(program)


@pytest.mark.parametrize(("gone", "visited"), [(1, [1, 3, 5]), (3, [1, 5]), (5, [1, 3])])
def test_a_page_that_goes_is_not_visited(alone, page_on, gone, visited):
    def program(vm):
        obj = holding(vm, page_on, 1, 3, 5)
        return scanned(obj, lambda: free_at(obj, gone))

    assert visited == alone(program)


def test_a_scan_whose_next_page_goes_picks_the_one_that_is_behind_it_then(alone, page_on):
    def program(vm):
        obj = holding(vm, page_on, 1, 3, 5)

        def change():
            free_at(obj, 3)
            for pindex in (3, 4, 6):  # the scan is at 5 already
                insert_at(obj, pindex)

        return scanned(obj, change)

    assert [1, 5, 6] == alone(program)


def test_a_scan_whose_last_page_goes_ends(alone, page_on):
    def program(vm):
        obj = holding(vm, page_on, 1, 3)

        def change():
            free_at(obj, 3)
            insert_at(obj, 7)

        return scanned(obj, change)

    assert [1] == alone(program)


def test_two_scans_go_on_from_a_page_that_both_would_visit_next(alone, page_on):
    def program(vm):
        obj = holding(vm, page_on, 1, 3, 5)
        one, other = o.scan(obj), o.scan(obj)
        first = next(one).pindex, next(other).pindex
        free_at(obj, 3)
        return first, [m.pindex for m in one], [m.pindex for m in other]

    assert ((1, 1), [5], [5]) == alone(program)


@pytest.mark.parametrize("end", [lambda this: [*this], lambda this: this.close()], ids=["end", "break"])
def test_a_scan_that_is_over_is_not_in_progress_any_more(alone, page_on, end):
    def program(vm):
        obj = holding(vm, page_on, 1, 3)
        this = o.scan(obj)
        next(this)
        during = len(obj.rb_memq.scans)
        end(this)
        return during, obj.rb_memq.scans

    assert (1, []) == alone(program)


@pytest.mark.parametrize("token", ["shared", "none"])
def test_each_step_of_a_scan_needs_the_token(found, page_on, token):
    def program(vm):
        obj = made(vm)
        for n in (1, 3):
            page_on(vm, "none", obj, n)

        def scanner():
            o.vm_object_hold_shared(obj)
            this = o.scan(obj)
            next(this)
            if token == "none":
                obj.token.release()
            next(this)

        vm.machine.spawn(scanner)
        vm.machine.join()

    failure = found(program, schedules=1)
    assert ("field-lock" if token == "none" else "leak") == failure[0]


# -- the tree as a dictionary ---------------------------------------------------------------------


def tree(*pindexes):
    made = o.PageTree()
    for pindex in pindexes:
        made[pindex] = f"page {pindex}"
    return made


@pytest.mark.parametrize(("pindex", "behind"), [(-1, 2), (2, 5), (3, 5), (5, 9), (9, None), (10, None)])
def test_the_tree_knows_which_page_is_behind_an_index(pindex, behind):
    assert behind == tree(9, 2, 5).behind(pindex)


def test_a_page_that_takes_another_s_place_is_there_once():
    pages = tree(2, 5)
    pages[2] = "another"
    del pages[2]
    assert 5 == pages.behind(-1)


@pytest.mark.parametrize(
    ("act", "left"),
    [
        (lambda pages: pages.pop(2), {5: "page 5"}),
        (lambda pages: pages.pop(7, None), {2: "page 2", 5: "page 5"}),
        (lambda pages: pages.clear(), {}),
    ],
    ids=["pop", "pop nothing", "clear"],
)
def test_the_tree_is_a_dictionary(act, left):
    pages = tree(2, 5)
    act(pages)
    assert left == pages
    assert min(left, default=None) == pages.behind(-1)


def test_what_is_not_in_the_tree_cannot_be_removed():
    with pytest.raises(KeyError):
        tree(2).pop(7)


@pytest.mark.parametrize(
    ("first", "last", "visited"),
    [(0, None, [1, 3, 5, 8]), (3, 5, [3, 5]), (2, 7, [3, 5]), (4, 4, []), (9, None, []), (8, 8, [8])],
)
def test_a_scan_of_a_range_visits_the_pages_in_it(alone, first, last, visited):
    def program(vm):
        obj = made(vm)
        o.vm_object_hold(obj)
        for n in (5, 1, 8, 3):
            obj.peek("rb_memq")[n] = n
        found = [*o.scan(obj, first, last)]
        obj.peek("rb_memq").clear()
        return found

    assert visited == alone(program)
