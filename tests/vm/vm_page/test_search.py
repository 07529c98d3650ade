"""Finding a page of a colour on the queues of a type."""

from __future__ import annotations

import pytest

from page_layer import move, spins_held
from vmsmp.vm import vm_page as q
from vmsmp.vm.vm_page import search

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])


# -- finding a page -------------------------------------------------------------------------------


def colour_of(m):
    return m.peek("queue") - m.vm.page.vm_page_queues[m.peek("queue")].base


def let_go(m):
    """What a search found, unlocked again: (type, colour)."""
    if m is None:
        return None
    told = m.vm.page.queue_type(m.queue), colour_of(m)
    q._vm_page_and_queue_spin_unlock(m)
    return told


def lay_out(vm, free=(), cache=()):
    """Leave pages of just these colours on the free and the cache queues."""
    pages = iter(vm.page.vm_page_array)
    for m in vm.page.vm_page_array:
        move(m, 0)
    for base, colours in ((vm.page.PQ_FREE, free), (vm.page.PQ_CACHE, cache)):
        for colour in colours:
            move(next(pages), base + colour)
    return vm


def test_a_search_returns_the_page_with_its_spinlock_and_its_queue_s_held(alone):
    def program(vm):
        m = q._vm_page_list_find(vm, vm.page.PQ_FREE, 0)
        seen = spins_held(m, m.queue)
        let_go(m)
        return m.phys, seen

    assert (7, [True, True]) == alone(program)  # the head is the one that came last


def test_a_search_looks_at_a_queue_s_head_before_it_locks_it(steps):
    taken = steps(lambda vm: [vm], lambda vm: q._vm_page_list_find(vm, vm.page.PQ_FREE, 0))
    assert [
        "load pq.free[0].tqh_first",
        "acquire pq.free[0].spin",
        "try pg[7].spin",
        "store pq.free[0].lastq",
    ] == taken


def test_a_search_with_one_colour_leaves_the_lock_of_an_empty_queue_alone_and_looks_twice(steps):
    taken = steps(lambda vm: [vm], lambda vm: q._vm_page_list_find(vm, vm.page.PQ_ACTIVE, 0))
    head = "load pq.active[0].tqh_first"
    assert [head, "load pq.active[0].lastq", head] == taken


@pytest.mark.parametrize("index", [1, 5, 1025])
def test_a_search_s_colour_is_taken_modulo_the_colours(alone, index):
    def program(vm):
        return let_go(q._vm_page_list_find(lay_out(vm, free=[1]), vm.page.PQ_FREE, index))

    assert ("free", 1) == alone(program, l2_size=4)


@DEPTHS
def test_a_search_passes_over_a_page_whose_spinlock_another_has(alone, locks):
    def program(vm):
        vm.page.vm_page_array[7].spin.acquire()
        finder = vm.machine.spawn(lambda: q._vm_page_list_find(vm, vm.page.PQ_FREE, 0))
        finder.join()
        return finder.result.phys

    assert 6 == alone(program, locks=locks)


@DEPTHS
def test_a_search_may_find_nothing_though_there_are_pages(alone, locks):
    def program(vm):
        for m in vm.page.vm_page_array:
            m.spin.acquire()
        finder = vm.machine.spawn(lambda: q._vm_page_list_find(vm, vm.page.PQ_FREE, 0))
        finder.join()
        return finder.result, finder.held, vm.page.vm_page_queues[vm.page.PQ_FREE].spin.holders

    assert (None, [], []) == alone(program, pages=2, locks=locks)


def test_a_page_on_the_list_of_a_queue_it_does_not_name_panics_the_search(panic):
    def program(vm):
        vm.page.vm_page_array[7].queue = vm.page.PQ_ACTIVE
        q._vm_page_list_find(vm, vm.page.PQ_FREE, 0)

    assert "pg is on the list of another queue than its own" == panic(program)


def test_a_page_found_in_public_is_off_its_queue_with_its_own_spinlock_only(alone):
    def program(vm):
        m = q.vm_page_list_find(vm, vm.page.PQ_FREE, 0)
        return m.phys, m.queue, spins_held(m, vm.page.PQ_FREE)

    assert (7, 0, [True, False]) == alone(program)


def test_a_search_in_public_that_finds_nothing_says_so(alone):
    assert None is alone(lambda vm: q.vm_page_list_find(vm, vm.page.PQ_ACTIVE, 0))


# -- widening -------------------------------------------------------------------------------------

WIDE = {"pages": 4, "l2_size": 64, "set_assoc_mask": 15}


def probes(steps, layout, find, kind="free"):
    """The colours whose queue heads a search looks at, in order."""
    rows = steps(lambda vm: [layout(vm)], find, **WIDE)
    heads = [row for row in rows if row.startswith(f"load pq.{kind}[") and row.endswith(".tqh_first")]
    return [int(row.split("[")[1].split("]")[0]) for row in heads]


def first_search(vm):
    q._vm_page_list_find(vm, vm.page.PQ_FREE, 37)


def test_a_search_that_finds_its_colour_looks_at_no_other(steps):
    assert [37] == probes(steps, lambda vm: lay_out(vm, free=[37, 38]), first_search)


def test_a_search_widens_to_groups_of_sixteen_thirty_two_and_all_colours(steps):
    seen = probes(steps, lay_out, first_search)
    assert [37, {*range(32, 48)}, {*range(32, 64)}, {*range(64)}] == [
        seen[0],
        {*seen[1:17]},
        {*seen[1:33]},
        {*seen},
    ]


def test_a_search_that_widens_begins_again_at_its_colour_and_skips_the_groups_it_has_been_to(steps):
    groups = [*range(37, 48), *range(32, 37)], range(48, 64), range(32)
    assert [37, *groups[0], *groups[1], *groups[2]] == probes(steps, lay_out, first_search)


def test_a_search_that_remembers_a_queue_widens_around_that_one(steps):
    def layout(vm):
        lay_out(vm).page.vm_page_queues[vm.page.PQ_FREE + 37].lastq = 20
        return vm

    groups = [*range(20, 32), *range(16, 20)], range(16), range(32, 64)
    assert [37, *groups[0], *groups[1], *groups[2]] == probes(steps, layout, first_search)


@pytest.mark.parametrize(
    ("there", "found"),
    [
        ([38, 36], 38),  # upwards from the colour asked for, round the group
        ([47, 32], 47),
        ([32, 48], 32),  # in the group of 16 before the one of 32
        ([63, 31], 63),  # in the group of 32 before all
        ([0], 0),
    ],
)
def test_a_search_finds_the_nearest_group_s_page(alone, there, found):
    def program(vm):
        return let_go(q._vm_page_list_find(lay_out(vm, free=there), vm.page.PQ_FREE, 37))

    assert ("free", found) == alone(program, **WIDE)


@pytest.mark.parametrize("kind", ["PQ_FREE", "PQ_CACHE"])
def test_a_search_stays_within_its_type(alone, kind):
    def program(vm):
        lay_out(vm, free=[1] if kind == "PQ_CACHE" else [], cache=[1] if kind == "PQ_FREE" else [])
        return q._vm_page_list_find(vm, getattr(vm.page, kind), 1)

    assert None is alone(program, **WIDE)


@pytest.mark.parametrize("mask", [0, 1, 3])
def test_a_search_among_few_colours_reaches_all_of_them(alone, mask):
    def program(vm):
        return [let_go(q._vm_page_list_find(lay_out(vm, free=[2]), vm.page.PQ_FREE, n)) for n in range(4)]

    assert [("free", 2)] * 4 == alone(program, l2_size=4, set_assoc_mask=mask)


def lastq_after(vm, index, *there):
    lay_out(vm, free=there)
    let_go(q._vm_page_list_find(vm, vm.page.PQ_FREE, index))
    return vm.page.vm_page_queues[vm.page.PQ_FREE + index].lastq


@pytest.mark.parametrize(("index", "there", "remembered"), [(1, 0, 0), (37, 3, 3), (12, 0, -1), (37, 38, -1)])
def test_a_search_of_eight_probes_or_more_remembers_where_it_found_a_page(alone, index, there, remembered):
    assert remembered == alone(lambda vm: lastq_after(vm, index, there), **WIDE)


def test_a_search_that_found_nothing_remembers_nothing(alone):
    assert -1 == alone(lambda vm: lastq_after(vm, 37), **WIDE)


@pytest.mark.parametrize("there", [3, 0])
def test_a_remembered_queue_shortens_the_next_search(steps, there):
    def layout(vm):
        lastq_after(vm, 37, there)
        return vm

    assert [37, there] == probes(steps, layout, first_search)


def test_a_direct_hit_forgets_the_remembered_queue(alone):
    def program(vm):
        lastq_after(vm, 37, 3)
        return lastq_after(vm, 37, 37)

    assert -1 == alone(program, **WIDE)


def test_a_remembered_queue_that_is_empty_again_does_not_stop_the_search(alone):
    def program(vm):
        lastq_after(vm, 37, 3)
        lay_out(vm, free=[50])
        return let_go(q._vm_page_list_find(vm, vm.page.PQ_FREE, 37))

    assert ("free", 50) == alone(program, **WIDE)


# -- two types at once ----------------------------------------------------------------------------


def find2(vm, index=37):
    return q._vm_page_list_find2(vm, vm.page.PQ_FREE, vm.page.PQ_CACHE, index)


@pytest.mark.parametrize(
    ("free", "cache", "taken"),
    [
        ([37], [37], ("free", 37)),
        ([40], [37], ("free", 40)),  # a cached page of the very colour is not nearer
        ([60], [37], ("free", 60)),
        ([3], [37], ("cache", 37)),
        ([], [37], ("cache", 37)),
        ([3], [60], ("free", 3)),
        ([], [60], ("cache", 60)),
        ([], [3], None),  # cached pages are not searched everywhere
        ([], [], None),
    ],
)
def test_free_and_cached_pages_are_searched_in_turn_the_cache_one_doubling_behind(alone, free, cache, taken):
    def program(vm):
        lay_out(vm, free, cache)
        told = let_go(find2(vm))
        for base in (vm.page.PQ_FREE, vm.page.PQ_CACHE):
            vm.page.vm_page_queues[base + 37].lastq = -1
        again = let_go(find2(vm, 64 + 37))
        assert again == told  # a colour is taken modulo the colours
        return told

    assert taken == alone(program, **WIDE)


@pytest.mark.parametrize(
    ("mask", "order"),
    [
        (15, ["f16", "f32", "c16", "f64", "c32"]),
        (31, ["f32", "f64", "c32"]),
        (63, ["f64"]),
        (0, ["f2", "c2", "f4", "c4", "f8", "c8", "f16", "c16", "f32", "c32", "f64", "c64"]),
    ],
)
def test_both_searches_widen_in_this_order(alone, monkeypatch, mask, order):
    groups = []
    widen = search._Widening.widen

    def told(widening):
        result = widen(widening)
        kind = widening.vm.page.queue_type(widening.basequeue)[0]
        groups.append(f"{kind}{widening.mask + 1}")
        return result

    monkeypatch.setattr(search._Widening, "widen", told)
    alone(lambda vm: find2(lay_out(vm)), **{**WIDE, "set_assoc_mask": mask})
    assert order == groups


def test_both_searches_widen_around_the_colour_that_the_first_one_remembers(alone):
    def program(vm):
        lay_out(vm, cache=[37, 20])
        vm.page.vm_page_queues[vm.page.PQ_FREE + 37].lastq = 20
        vm.page.vm_page_queues[vm.page.PQ_CACHE + 37].lastq = 37  # not looked at
        return let_go(find2(vm))

    assert ("cache", 20) == alone(program, **WIDE)


def test_each_search_remembers_its_own_page_if_that_was_far_away(alone):
    def program(vm):
        seen = []
        for free, cache in (([3], []), ([], [32])):
            lay_out(vm, free, cache)
            queues = [vm.page.vm_page_queues[base + 37] for base in (vm.page.PQ_FREE, vm.page.PQ_CACHE)]
            for pq in queues:
                pq.lastq = -1
            let_go(find2(vm))
            seen.append([pq.lastq for pq in queues])
        return seen

    assert [[3, -1], [-1, 32]] == alone(program, **WIDE)


def test_a_direct_hit_of_a_free_page_forgets_what_both_remember(alone):
    def program(vm):
        lay_out(vm, free=[37])
        queues = [vm.page.vm_page_queues[base + 37] for base in (vm.page.PQ_FREE, vm.page.PQ_CACHE)]
        for pq in queues:
            pq.lastq = 5
        let_go(find2(vm))
        return [pq.lastq for pq in queues]

    assert [-1, -1] == alone(program, **WIDE)


def test_a_search_of_both_types_does_not_look_at_the_cached_pages_of_its_colour_first(steps):
    rows = steps(lambda vm: [lay_out(vm)], find2, **WIDE)
    first = next(n for n, row in enumerate(rows) if "pq.cache" in row)
    assert 1 + 16 + 16 == sum("pq.free" in row and "tqh_first" in row for row in rows[:first])


def test_a_search_of_both_types_with_one_colour_looks_twice_at_the_free_pages_and_never_at_the_cached(steps):
    def look(vm):
        assert find2(vm, 0) is None

    rows = steps(lambda vm: [lay_out(vm, cache=[0])], look)
    assert ["load pq.free[0].tqh_first"] * 2 == [row for row in rows if "tqh_first" in row]


def test_a_search_stores_what_it_remembers_while_it_has_the_page(steps):
    rows = steps(lambda vm: [lay_out(vm, free=[3])], first_search, **WIDE)
    assert ["try pg[0].spin", "store pq.free[37].lastq"] == rows[-2:]


@DEPTHS
def test_a_search_may_start_where_another_s_just_ended(alone, locks):
    def program(vm):
        lay_out(vm, free=[3])
        vm.machine.spawn(lambda: let_go(q._vm_page_list_find(vm, vm.page.PQ_FREE, 37))).join()
        return vm.page.vm_page_queues[vm.page.PQ_FREE + 37].lastq

    assert 3 == alone(program, locks=locks, **WIDE)
