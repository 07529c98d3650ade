"""The page queues: the list, the two spinlocks of a move, and the search for a page."""

from __future__ import annotations

import pytest

from vmsmp.vm import vm_page as q
from vmsmp.vm.vm_page import PG_FICTITIOUS, PG_UNQUEUED

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])


def move(m, queue):
    """Put a page straight onto the queue of that index, whose colour it gets."""
    q.vm_page_and_queue_spin_lock(m)
    q._vm_page_rem_queue_spinlocked(m)
    if queue:
        m.pc = queue - m.vm.page.vm_page_queues[queue].base
        q._vm_page_add_queue_spinlocked(m, queue)
    q._vm_page_and_queue_spin_unlock(m)


def held(m, *indexes):
    """Whether the running CPU holds the page's spinlock, and those of these queues."""
    return [m.spin.held(), *(m.vm.page.vm_page_queues[n].spin.held() for n in indexes)]


# -- the list -------------------------------------------------------------------------------------


class Lists:
    """Three pages and an empty list, whose links may be looked at from both ends."""

    def __init__(self, vm):
        self.pages = vm.page.vm_page_array[:3]
        self.pq = vm.page.vm_page_queues[vm.page.PQ_HOLD]
        for m in self.pages:
            m.tqe_next = m.tqe_prev = None

    def seen(self):
        forth = [m.phys for m in self.pq.pages()]
        back, m = [], self.pq.tqh_last
        while m is not None:
            back.append(m.phys)
            m = m.tqe_prev
        assert forth == back[::-1]
        return forth


def test_pages_inserted_at_the_head_come_out_newest_first(alone):
    def program(vm):
        lists = Lists(vm)
        for m in lists.pages:
            q.TAILQ_INSERT_HEAD(lists.pq, m)
        return lists.seen()

    assert [2, 1, 0] == alone(program)


def test_pages_inserted_at_the_tail_come_out_oldest_first(alone):
    def program(vm):
        lists = Lists(vm)
        for m in lists.pages:
            q.TAILQ_INSERT_TAIL(lists.pq, m)
        return lists.seen()

    assert [0, 1, 2] == alone(program)


@pytest.mark.parametrize(("where", "left"), [(0, [0, 2, 1]), (1, [0, 1, 2])])
def test_a_page_inserted_after_another_follows_it(alone, where, left):
    def program(vm):
        lists = Lists(vm)
        a, b, c = lists.pages
        q.TAILQ_INSERT_TAIL(lists.pq, a)
        q.TAILQ_INSERT_TAIL(lists.pq, b)
        q.TAILQ_INSERT_AFTER(lists.pq, lists.pages[where], c)
        return lists.seen()

    assert left == alone(program)


@pytest.mark.parametrize(("gone", "left"), [([0], [1, 2]), ([1], [0, 2]), ([2], [0, 1]), ([0, 1, 2], [])])
def test_a_page_removed_leaves_the_others_linked(alone, gone, left):
    def program(vm):
        lists = Lists(vm)
        for m in lists.pages:
            q.TAILQ_INSERT_TAIL(lists.pq, m)
        for n in gone:
            q.TAILQ_REMOVE(lists.pq, lists.pages[n])
            assert (None, None) == (lists.pages[n].tqe_next, lists.pages[n].tqe_prev)
        return lists.seen()

    assert left == alone(program)


# -- both spinlocks -------------------------------------------------------------------------------


def test_locking_a_page_and_its_queue_takes_the_page_s_spinlock_first(steps):
    taken = steps(lambda vm: [vm.page.vm_page_array[3]], q.vm_page_and_queue_spin_lock, ends=None)
    assert ["acquire pg[3].spin", "acquire pq.free[0].spin"] == taken


def test_unlocking_both_gives_the_queue_s_spinlock_back_first(steps):
    def prepare(vm):
        q.vm_page_and_queue_spin_lock(vm.page.vm_page_array[3])
        return [vm.page.vm_page_array[3]]

    given = steps(prepare, q._vm_page_and_queue_spin_unlock)
    assert ["release pq.free[0].spin", "release pg[3].spin"] == given


def test_a_page_on_no_queue_has_no_queue_to_lock(steps):
    def prepare(vm):
        m = vm.page.vm_page_array[3]
        move(m, 0)
        q.vm_page_spin_lock(m)
        return [m]

    def act(m):
        q._vm_page_queue_spin_lock(m)
        q._vm_page_queue_spin_unlock(m)

    assert [] == steps(prepare, act)


def test_a_page_that_changes_its_queue_under_its_spinlock_panics_who_locks_the_queue(panic):
    def program(vm):
        m = vm.page.vm_page_array[3]
        here = vm.page.vm_page_queues[m.peek("queue")].spin
        here.acquire()
        vm.machine.spawn(q.vm_page_and_queue_spin_lock, m)
        vm.machine.yield_()  # it waits for the queue's spinlock now
        m.queue = vm.page.PQ_ACTIVE
        here.release()
        vm.machine.join()

    assert "pg changed queue under its spinlock" == panic(program)


# -- leaving a queue ------------------------------------------------------------------------------


def test_leaving_a_queue_gives_its_spinlock_back_and_keeps_the_page_s(alone):
    def program(vm):
        m = vm.page.vm_page_array[3]
        q.vm_page_and_queue_spin_lock(m)
        q._vm_page_rem_queue_spinlocked(m)
        seen = held(m, vm.page.PQ_FREE)
        q.vm_page_spin_unlock(m)
        return seen

    assert [True, False] == alone(program)


def test_leaving_a_queue_returns_the_type_of_the_queue_left(alone):
    def program(vm):
        m = vm.page.vm_page_array[0]
        move(m, vm.page.PQ_ACTIVE + 3)
        q.vm_page_and_queue_spin_lock(m)
        base = q._vm_page_rem_queue_spinlocked(m)
        q.vm_page_spin_unlock(m)
        return base == vm.page.PQ_ACTIVE

    assert True is alone(program, l2_size=4)


def test_leaving_a_queue_while_on_none_is_nothing(alone, page_on):
    def program(vm):
        m = page_on(vm, "none")
        before = [vm.meter.count(name) for name in ("v_free_count", "v_active_count")]
        q.vm_page_spin_lock(m)
        base = q._vm_page_rem_queue_spinlocked(m)
        seen = held(m)
        q.vm_page_spin_unlock(m)
        assert before == [vm.meter.count(name) for name in ("v_free_count", "v_active_count")]
        return base, seen

    assert (q.PQ_NONE, [True]) == alone(program)


def test_leaving_a_queue_takes_the_page_off_the_list_and_off_all_counts(alone):
    def program(vm):
        m = vm.page.vm_page_array[3]
        pq = vm.page.vm_page_queues[m.queue]
        gd = vm.mycpu()
        q.vm_page_and_queue_spin_lock(m)
        q._vm_page_rem_queue_spinlocked(m)
        q.vm_page_spin_unlock(m)
        assert m not in pq.pages()
        return m.queue, pq.lcnt, gd.gd_vmstats_adj.peek("v_free_count"), gd.gd_vmstats.peek("v_free_count")

    assert (q.PQ_NONE, 7, -1, 7) == alone(program)


def test_a_page_is_counted_off_before_its_queue_s_spinlock_goes(steps):
    def prepare(vm):
        q.vm_page_and_queue_spin_lock(vm.page.vm_page_array[3])
        return [vm.page.vm_page_array[3]]

    assert [
        "fetchadd cpu0.gd_vmstats_adj.v_free_count",
        "fetchadd cpu0.gd_vmstats.v_free_count",
        "release pq.free[0].spin",
    ] == steps(prepare, q._vm_page_rem_queue_spinlocked)


@DEPTHS
def test_whoever_has_a_queue_s_spinlock_sees_its_list_and_its_pages_agree(together, locks):
    def program(vm):
        m = vm.page.vm_page_array[0]

        def mover():
            for n in (vm.page.PQ_ACTIVE, vm.page.PQ_INACTIVE, vm.page.PQ_FREE):
                move(m, n)

        def looker():
            for n in (vm.page.PQ_FREE, vm.page.PQ_ACTIVE):
                pq = vm.page.vm_page_queues[n]
                with pq.spin:
                    there = [page.phys for page in pq.pages()]
                    vm.machine.check(len(there) == pq.lcnt, "the count is the list's length")
                    vm.machine.check((0 in there) == (m.peek("queue") == n), "the page says where it is")

        vm.machine.spawn(mover)
        vm.machine.spawn(looker)
        vm.machine.join()

    together(program, sched="dfs:2", schedules=400, locks=locks, pages=2)


# -- entering a queue -----------------------------------------------------------------------------


def entered(vm, m, queue, athead):
    """The page's neighbours, by number, after it has entered that queue; `None` at an end."""
    pq = vm.page.vm_page_queues[queue]
    q.vm_page_spin_lock(m)
    q._vm_page_add_queue_spinlocked(m, queue, athead)
    assert [True, True] == held(m, queue)
    q._vm_page_and_queue_spin_unlock(m)
    assert queue == m.queue
    there = [page.phys for page in pq.pages()]
    return there.index(m.phys), len(there)


@pytest.mark.parametrize("kind", ["PQ_INACTIVE", "PQ_ACTIVE", "PQ_CACHE", "PQ_HOLD"])
@pytest.mark.parametrize(("athead", "place"), [(False, 2), (True, 0)], ids=["tail", "head"])
def test_a_page_enters_a_queue_at_the_tail_unless_the_head_is_asked_for(alone, kind, athead, place):
    def program(vm):
        queue = getattr(vm.page, kind)
        for m in vm.page.vm_page_array[:2]:
            move(m, queue)
        move(vm.page.vm_page_array[2], 0)
        return entered(vm, vm.page.vm_page_array[2], queue, athead)

    assert (place, 3) == alone(program)


@pytest.mark.parametrize("athead", [False, True])
def test_a_page_enters_a_free_queue_at_the_head_whatever_is_asked_for(alone, athead):
    def program(vm):
        move(vm.page.vm_page_array[2], 0)
        return entered(vm, vm.page.vm_page_array[2], vm.page.PQ_FREE, athead)

    assert (0, 8) == alone(program)


def test_entering_a_queue_counts_the_page(alone):
    def program(vm):
        m = vm.page.vm_page_array[3]
        move(m, 0)
        pq = vm.page.vm_page_queues[vm.page.PQ_HOLD]
        adds = pq.adds
        move(m, vm.page.PQ_HOLD)
        gd = vm.mycpu()
        views = [meter.peek("v_active_count") for meter in (gd.gd_vmstats_adj, gd.gd_vmstats)]
        return pq.lcnt, pq.adds - adds, views

    assert (1, 1, [1, 1]) == alone(program)


def test_entering_a_queue_while_on_another_panics(panic):
    def program(vm):
        m = vm.page.vm_page_array[3]
        q.vm_page_spin_lock(m)
        q._vm_page_add_queue_spinlocked(m, vm.page.PQ_ACTIVE)

    assert "pg put on a queue while on another" == panic(program)


@pytest.mark.parametrize("flag", [PG_FICTITIOUS, PG_UNQUEUED], ids=["fictitious", "unqueued"])
def test_entering_a_queue_panics_for_a_page_that_must_be_on_none(panic, flag):
    def program(vm):
        m = vm.page.vm_page_array[3]
        move(m, 0)
        m.flags.setbits(flag)
        q.vm_page_spin_lock(m)
        q._vm_page_add_queue_spinlocked(m, vm.page.PQ_ACTIVE)

    assert "pg put on a queue, and it must be on none" == panic(program)


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
        seen = held(m, m.queue)
        let_go(m)
        return m.phys, seen

    assert (7, [True, True]) == alone(program)  # the head is the one that came last


def test_a_search_looks_at_a_queue_s_head_before_it_locks_it(steps):
    taken = steps(lambda vm: [vm], lambda vm: q._vm_page_list_find(vm, vm.page.PQ_FREE, 0))
    assert ["load pq.free[0].tqh_first", "acquire pq.free[0].spin", "try pg[7].spin"] == taken


def test_a_search_leaves_the_lock_of_an_empty_queue_alone(steps):
    taken = steps(lambda vm: [vm], lambda vm: q._vm_page_list_find(vm, vm.page.PQ_ACTIVE, 0))
    assert ["load pq.active[0].tqh_first"] == taken


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


# -- widening -------------------------------------------------------------------------------------

WIDE = {"pages": 4, "l2_size": 64, "set_assoc_mask": 15}


def probes(steps, layout, find, kind="free"):
    """The colours whose queue heads a search looks at, in order."""
    rows = steps(lambda vm: [layout(vm)], find, **WIDE)
    return [int(row.split("[")[1].split("]")[0]) for row in rows if row.startswith(f"load pq.{kind}[")]


def first_search(vm):
    q._vm_page_list_find(vm, vm.page.PQ_FREE, 37)


def test_a_search_that_finds_its_colour_looks_at_no_other(steps):
    assert [37] == probes(steps, lambda vm: lay_out(vm, free=[37, 38]), first_search)


def test_a_search_widens_to_groups_of_sixteen_thirty_two_and_all_colours(steps):
    seen = probes(steps, lay_out, first_search)
    assert [37, {*range(32, 48)}, {*range(32, 64)}, {*range(64)}] == [
        seen[0],
        {*seen[:16]},
        {*seen[:32]},
        {*seen},
    ]


def test_a_search_that_widens_skips_what_it_has_looked_at(steps):
    assert [*range(64)] == sorted(probes(steps, lay_out, first_search))


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


@pytest.mark.parametrize(
    ("free", "cache", "taken"),
    [
        ([37], [37], ("free", 37)),
        ([], [37], ("cache", 37)),
        ([40], [40], ("free", 40)),
        ([60], [40], ("free", 60)),  # the cache is searched one doubling behind
        ([3], [40], ("cache", 40)),
        ([3], [60], ("free", 3)),
        ([], [60], ("cache", 60)),
        ([], [3], ("cache", 3)),
        ([], [], None),
    ],
)
def test_free_and_cached_pages_are_searched_in_turn_the_cache_one_doubling_behind(alone, free, cache, taken):
    def program(vm):
        lay_out(vm, free, cache)
        told = let_go(q._vm_page_list_find2(vm, vm.page.PQ_FREE, vm.page.PQ_CACHE, 37))
        again = let_go(q._vm_page_list_find2(vm, vm.page.PQ_FREE, vm.page.PQ_CACHE, 64 + 37))
        assert again == told  # a colour is taken modulo the colours
        return told

    assert taken == alone(program, **WIDE)


@pytest.mark.parametrize("kind", ["free", "cache"])
def test_a_search_of_both_types_looks_at_each_queue_once(steps, kind):
    def find(vm):
        q._vm_page_list_find2(vm, vm.page.PQ_FREE, vm.page.PQ_CACHE, 37)

    assert [*range(64)] == sorted(probes(steps, lay_out, find, kind))


# -- parallel -------------------------------------------------------------------------------------


@DEPTHS
def test_parallel_cpus_move_pages_about_and_every_list_stays_whole(parallel, locks):
    def program(vm):
        def mover(first):
            for n in range(20):
                m = vm.page.vm_page_array[(first + n) % 4]
                q.vm_page_and_queue_spin_lock(m)
                q._vm_page_rem_queue_spinlocked(m)
                kinds = (vm.page.PQ_INACTIVE, vm.page.PQ_ACTIVE, vm.page.PQ_CACHE)
                q._vm_page_add_queue_spinlocked(m, kinds[n % 3] + m.pc)
                q._vm_page_and_queue_spin_unlock(m)

        for n in range(3):
            vm.machine.spawn(mover, n)
        vm.machine.join()
        listed = [m.phys for pq in vm.page.vm_page_queues for m in pq.pages()]
        return sorted(listed), sum(pq.peek("lcnt") for pq in vm.page.vm_page_queues)

    assert ([0, 1, 2, 3], 4) == parallel(program, pages=4, locks=locks)
