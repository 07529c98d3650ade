"""Booted machines: what one CPU does, what several may do in any order, and the steps of a function."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_drop, vm_object_hold
from vmsmp.vm.vm_page import (
    VM_ALLOC_INTERRUPT,
    VM_ALLOC_NORMAL,
    VM_PAGE_BITS_ALL,
    vm_page_activate,
    vm_page_alloc,
    vm_page_cache,
    vm_page_deactivate,
    vm_page_free,
    vm_page_hold,
    vm_page_wakeup,
)


@pytest.fixture
def small():
    """The sizes of a machine of which a test says nothing else; a room may have others."""
    return {"pages": 8, "l2_size": 1}


def booting(program, sizes, told=None):
    """A program of a machine that boots and goes on as `program(vm)`."""

    def booted(m):
        value = program(m.boot(**sizes))
        if told is not None:
            told.append(value)

    return booted


def once(program, told, *, locks=None, check=False, cpus=None, **sizes):
    """The one run in which every CPU goes on until it cannot or gives way."""
    booted = booting(program, sizes, told)
    return vmsmp.explore(booted, sched="dfs:0", schedules=1, locks=locks, check=check, cpus=cpus).failure


@pytest.fixture
def alone(small):
    """Run `program(vm)` once, every CPU as long as it can, and return what it returns."""

    def run(program, **options):
        told = []
        failure = once(program, told, **{**small, **options})
        assert None is failure, failure.report()
        return told[0]

    return run


@pytest.fixture
def panic(small):
    """Run `program(vm)` once, which must panic, and return the message."""

    def run(program, **options):
        failure = once(program, [], **{**small, **options})
        assert ("check", "panic: ") == (failure and failure.kind, failure and failure.message[:7])
        return failure.message[7:]

    return run


@pytest.fixture
def sleeps(small):
    """Run `program(vm)` once and say whether it fell asleep for good."""

    def run(program, **options):
        failure = once(program, [], **{**small, **options})
        assert failure is None or failure.kind == "deadlock", failure.report()
        return failure is not None

    return run


@pytest.fixture
def found(small):
    """Search the orders of `program(vm)` with all checkers for one that fails; its (kind, message)."""

    def search(program, *, sched="random", schedules=60, locks=None, **sizes):
        result = vmsmp.explore(
            booting(program, {**small, **sizes}), sched=sched, schedules=schedules, locks=locks
        )
        return (result.failure.kind, result.failure.message) if result.failure else None

    return search


@pytest.fixture
def together(small):
    """Search the orders of `program(vm)` with all checkers: none may fail."""

    def search(program, *, sched="random", schedules=60, locks=None, repairs=(), **sizes):
        result = vmsmp.explore(
            booting(program, {**small, **sizes}),
            sched=sched,
            schedules=schedules,
            locks=locks,
            repairs=repairs,
        )
        assert [] == [failure.report() for failure in result.failures]

    return search


@pytest.fixture
def parallel(small):
    """Run `program(vm)` once on parallel CPUs, to its end, and return what it returns."""

    def run(program, *, locks=None, repairs=(), **sizes):
        told = []
        outcome = vmsmp.run(
            booting(program, {**small, **sizes}, told),
            engine="free",
            seed=1,
            time_s=60,
            locks=locks,
            repairs=repairs,
        )
        assert None is outcome.failure, (outcome.failure.message, outcome.failure.history)
        return told[0]  # it came to its end

    return run


class RacedWord:
    """A word that others change after each look at it but the last; `tried` are its compares."""

    def __init__(self, *values):
        self._values = [*values]
        self._seen = None
        self.tried = []

    def load(self):
        self._seen = self._values.pop(0)
        return self._seen

    def peek(self):
        return self._values[0]

    def cmpset(self, old, new):
        self.tried.append((old, new))
        return old == self._seen and not self._values


@pytest.fixture
def raced_word():
    """A word that has one value after the other as it is looked at."""
    return RacedWord


@pytest.fixture
def steps(small):
    """The visible operations of CPU 0 in `act(*prepare(vm))`, in words; `ends` is how the run ends."""

    def told(prepare, act, *, ends=None, **sizes):
        def program(m):
            made = prepare(m.boot(**{**small, **sizes}))
            border = m.cell(0, "border")
            border.store(1)
            act(*made)
            border.store(2)

        outcome = vmsmp.replay(program, "v1:program:0:", check=False)
        assert ends == (outcome.failure and outcome.failure.kind), outcome.failure
        mine = [row.text.strip() for row in outcome.story.rows if row.cpu == 0]
        mine = mine[mine.index("store border") + 1 :]
        return mine[: mine.index("store border")] if "store border" in mine else mine

    return told


def _ready(vm, kind, obj=None, pindex=0):
    if obj is None:
        obj = vm_object_allocate(vm, 8)
    vm_object_hold(obj)
    m = vm_page_alloc(vm, obj, pindex, VM_ALLOC_NORMAL)
    m.valid = VM_PAGE_BITS_ALL
    if kind == "hold":
        vm_page_hold(m)
    if kind in ("free", "hold"):
        vm_page_free(m)
    elif kind == "cache":
        vm_page_cache(m)
    else:
        if kind == "inactive":
            vm_page_deactivate(m)
        elif kind == "active":
            vm_page_activate(m)
        vm_page_wakeup(m)
    vm_object_drop(obj)
    return m


@pytest.fixture
def page_on():
    """`page_on(vm, kind)`: a valid, idle page of an object on a queue of that type, or on "none".

    "free" and "hold" take it out of its object again; on "hold" it has one hold.
    """
    return _ready


def _exhaust(vm):
    while vm_page_alloc(vm, None, 0, VM_ALLOC_INTERRUPT) is not None:
        pass
    assert vm.mycpu().gd_vmstats.peek("v_free_count") == 0


@pytest.fixture
def exhaust():
    """`exhaust(vm)`: allocate every free page; cached ones stay."""
    return _exhaust


@pytest.fixture
def cached_only():
    """`cached_only(vm, n)`: put all pages out of reach but `n` cached ones, which are returned."""

    def cached(vm, n=2):
        pages = [_ready(vm, "cache", None, i) for i in range(n)]
        _exhaust(vm)
        return pages

    return cached
