"""The rules of a vnode: its references, and who writes to it."""

from __future__ import annotations

from functools import partial

import pytest

import verdicts
from vmsmp.scenarios._kit import file_object
from vmsmp.vm.vm_page import vm_page_busy_wait, vm_page_io_finish, vm_page_io_start, vm_page_wakeup
from vmsmp.vm.vm_pager import vnode_pager_putpages
from vmsmp.vm.vnode import getnewvnode, vn_lock, vn_unlock, vref, vrele

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])
found = partial(verdicts.found, whole=False, schedules=3)
silent = partial(verdicts.silent, schedules=30)


@DEPTHS
@pytest.mark.parametrize(("change", "counts"), [(1, 2), (-1, 0)])
def test_a_count_that_is_not_the_references_is_found(locks, change, counts):
    def program(m):
        vp = getnewvnode(m.boot(pages=1, l2_size=1), "file")

        def worker():
            vp.v_refcnt.fetchadd(change)
            m.yield_()

        m.spawn(worker)
        m.join()

    message = f"INV-VN1: file: its word counts {counts} references, and 1 are out"
    found(program, "accounting", message, locks=locks)


@DEPTHS
def test_references_that_come_and_go_are_right(locks):
    def program(m):
        vp = getnewvnode(m.boot(pages=1, l2_size=1), "file")

        def user():
            vref(vp)
            vrele(vp)

        m.spawn(user)
        m.spawn(user)
        m.join()

    silent(program, locks=locks)


def writes(m, locked, busied):
    """A CPU writes a page to a file."""
    vm = m.boot(pages=2, l2_size=1)
    vp, obj = file_object(vm, 1, range(1))
    page = obj.peek("rb_memq")[0]

    def writer():
        if locked:
            vn_lock(vp)
        if busied:
            vm_page_busy_wait(page, True)
            vm_page_io_start(page)
            vm_page_wakeup(page)
        vnode_pager_putpages(obj, [page], 0)
        if busied:
            vm_page_io_finish(page)
        if locked:
            vn_unlock(vp)

    m.spawn(writer)
    m.join()


@DEPTHS
@pytest.mark.parametrize(
    ("locked", "busied", "said"),
    [
        (False, True, "file: it is written to by who has it not locked exclusively"),
        (True, False, "pg: it is written to a file, and nobody has it soft-busied"),
    ],
)
def test_a_write_to_a_file_by_who_may_not_is_found(locks, locked, busied, said):
    found(partial(writes, locked=locked, busied=busied), "accounting", f"INV-VN7: {said}", locks=locks)


@DEPTHS
def test_a_write_to_a_file_that_is_locked_is_right(locks):
    silent(partial(writes, locked=True, busied=True), locks=locks)
