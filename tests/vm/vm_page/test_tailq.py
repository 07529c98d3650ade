"""The lists behind page queues: entering at either end or in the middle, and leaving."""

from __future__ import annotations

import pytest

from vmsmp.vm import vm_page as q


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
