"""Looks: what CPUs saw and wrote, by a log."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from vmsmp.check.looks import Looks
from vmsmp.engine import ops

WORD, LOCK, INSIDE = (ops.identity(0, n) for n in (1, 2, 3))


@pytest.fixture
def looks():
    """The looks of a log of (cpu, object, kind)."""

    def of(*entries):
        log = []
        for cpu, what, kind in entries:
            log += [-1 - cpu, ops.op(what, kind)]
        words = {INSIDE: SimpleNamespace(ident=LOCK)}
        made = Looks(SimpleNamespace(engine=SimpleNamespace(log=log), words=words))
        made.read_to(len(log))
        return made

    return of


def test_the_last_access_to_an_object_counts(looks):
    assert {WORD: 5} == looks((1, WORD, ops.LOAD), (2, WORD, ops.LOAD), (1, WORD, ops.LOAD)).looked[1]


def test_a_write_is_a_look_too(looks):
    assert {WORD: 1} == looks((1, WORD, ops.STORE)).looked[1]


def test_only_a_write_is_written(looks):
    assert {1: {WORD: 1}} == looks((1, WORD, ops.STORE), (2, WORD, ops.LOAD)).wrote


def test_a_word_inside_a_lock_counts_as_the_lock(looks):
    assert {LOCK: 1} == looks((1, INSIDE, ops.FETCHADD)).looked[1]


def test_who_wakes_has_looked_at_nothing(looks):
    seen = looks((1, WORD, ops.LOAD), (1, LOCK, ops.SLEEP), (1, LOCK, ops.RESUME))
    seen.woken(1)
    seen.read_to(6)
    assert {} == seen.looked[1]


def test_what_a_cpu_does_on_its_way_to_sleep_is_no_look(looks):
    assert {WORD: 1} == looks((1, WORD, ops.LOAD), (1, LOCK, ops.SLEEP), (1, LOCK, ops.RELEASE)).looked[1]


def test_a_write_after_the_look_makes_it_old(looks):
    assert {WORD: (2, 3)} == looks((1, WORD, ops.LOAD), (2, WORD, ops.STORE)).writers_since(1)


@pytest.mark.parametrize("order", [((2, ops.STORE), (1, ops.LOAD)), ((1, ops.LOAD), (1, ops.STORE))])
def test_a_write_before_the_look_or_by_the_cpu_itself_does_not(looks, order):
    assert {} == looks(*((cpu, WORD, kind) for cpu, kind in order)).writers_since(1)
