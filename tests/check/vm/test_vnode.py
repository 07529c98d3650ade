"""The rule of a vnode's references."""

from __future__ import annotations

from functools import partial

import pytest

import verdicts
from vmsmp.vm.vnode import getnewvnode, vref, vrele

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
