"""Physical buffers: taking, giving back, limits, and who is woken."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.vm.vm_pager import PbufPool, getpbuf_kva, pbuf_adjcount, relpbuf, trypbuf_kva


def limit_of(vm, n):
    return vm.machine.atomic(n, name="limit")


def test_buffers_come_from_the_list_of_the_cpu_first(alone):
    def program(vm):
        pool = PbufPool(vm, 18)
        return [getpbuf_kva(pool, cpu, None) for cpu in (1, 1, 1, 15, 15)], pool.count.peek()

    assert ([1, 17, 2, 15, 0], 13) == alone(program)


def test_a_buffer_goes_back_to_the_head_of_its_own_list(alone):
    def program(vm):
        pool, limit = PbufPool(vm, 32), limit_of(vm, 2)
        first = getpbuf_kva(pool, 3, limit)
        taken = limit.peek()
        relpbuf(pool, first, limit)
        return first, taken, limit.peek(), pool.count.peek(), pool.lists[3]

    assert (3, 1, 2, 32, [3, 19]) == alone(program)


@pytest.mark.parametrize(("limit", "answer"), [(1, 0), (0, None), (-1, None)])
def test_whoever_may_have_no_more_is_told_at_once(alone, limit, answer):
    def program(vm):
        pool, count = PbufPool(vm, 16), limit_of(vm, limit)
        return trypbuf_kva(pool, 0, count), pool.count.peek()

    assert (answer, 16 - (answer is not None)) == alone(program)


def test_an_empty_pool_has_none(alone):
    def program(vm):
        pool = PbufPool(vm, 1)
        getpbuf_kva(pool, 0, None)
        return trypbuf_kva(pool, 0, limit_of(vm, 4))

    assert None is alone(program)


def failure(limit, writers, adjust=0):
    """How it ends if so many write with that many buffers."""

    def program(m):
        vm = m.boot(pages=4, l2_size=1)
        pool, count = PbufPool(vm, 16), limit_of(vm, limit)

        def writer(cpu):
            relpbuf(pool, getpbuf_kva(pool, cpu, count), count)

        for cpu in range(writers):
            m.spawn(writer, cpu)
        if adjust:
            m.spawn(pbuf_adjcount, pool, count, adjust)
        m.join()

    found = vmsmp.explore(program, schedules=300, stop="first").failure
    return found and found.kind


@pytest.mark.parametrize(
    ("limit", "writers", "adjust", "kind"),
    [(2, 2, 0, None), (2, 3, 0, None), (1, 2, 0, "lost-wakeup"), (0, 1, 2, None)],
)
def test_who_waits_is_woken_when_there_is_more_than_one_again(limit, writers, adjust, kind):
    assert kind == failure(limit, writers, adjust)


def test_who_waits_for_the_pool_is_woken_by_a_fourth_of_it():
    def program(m):
        vm = m.boot(pages=4, l2_size=1)
        pool = PbufPool(vm, 3)  # a fourth is none

        def writer(cpu):
            mine = [getpbuf_kva(pool, cpu, None) for _ in range(1)]
            for bp in mine:
                relpbuf(pool, bp, None)

        for cpu in range(4):
            m.spawn(writer, cpu)
        m.join()
        m.check(pool.count.peek() == 3, "all are back")

    assert None is vmsmp.explore(program, schedules=300).failure
