"""Replacement against brute force, and CLOCK on a machine against CLOCK in a loop."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vmsmp
from vmsmp.mmu.textbook.clock import ClockPager
from vmsmp.mmu.textbook.replacement import POLICIES, faults, replay

STRINGS = st.lists(st.integers(0, 5), max_size=14).map(tuple)
FRAMES = st.integers(1, 5)


def fewest(string, frames):
    """The fewest faults that any choice of victims leads to."""

    @cache
    def best(at, resident):
        if at == len(string):
            return 0
        page = string[at]
        if page in resident:
            return best(at + 1, resident)
        left = [resident] if len(resident) < frames else [resident - {victim} for victim in resident]
        return 1 + min(best(at + 1, rest | {page}) for rest in left)

    return best(0, frozenset())


def drawn(examples):
    return settings(max_examples=examples, deadline=None, derandomize=True)


@drawn(80)
@given(STRINGS, FRAMES)
def test_opt_has_the_fewest_faults_that_there_can_be(string, frames):
    assert fewest(string, frames) == faults("OPT", string, frames)


@drawn(60)
@given(STRINGS, FRAMES)
def test_no_policy_faults_less_than_opt_or_more_than_always(string, frames):
    least = faults("OPT", string, frames)
    assert all(least <= faults(name, string, frames) <= len(string) for name in POLICIES)


@drawn(60)
@given(STRINGS, FRAMES)
def test_what_lru_has_in_n_frames_it_has_in_one_more(string, frames):
    """LRU is a stack algorithm, so it has no anomaly."""
    less, more = (replay("LRU", string, n) for n in (frames, frames + 1))
    assert all({*one.frames} <= {*other.frames} for one, other in zip(less, more, strict=True))


@drawn(60)
@given(STRINGS, FRAMES, st.sampled_from([*POLICIES]))
def test_a_replay_is_what_happens_to_a_set_of_frames(string, frames, name):
    resident = set()
    for page, one in zip(string, replay(name, string, frames), strict=True):
        assert one.fault == (page not in resident)
        assert (one.evicted is not None) == (one.fault and len(resident) == frames)
        resident = resident - {one.evicted} | {page}
        assert sorted(one.frames) == sorted(resident)


@pytest.mark.parametrize("examples", [30, pytest.param(500, marks=pytest.mark.ci)])
def test_clock_on_one_cpu_of_a_machine_is_clock_in_a_loop(examples):
    @drawn(examples)
    @given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=25), FRAMES)
    def follow(accesses, frames):
        def program(m):
            pager = ClockPager(m, 6, frames)
            for n, (page, write) in enumerate(accesses):
                before = pager.faults
                if write:
                    pager.store(page, n)
                    memory[page] = n
                else:
                    assert memory.get(page, 0) == pager.load(page)
                assert wanted[n].fault == (pager.faults > before)

        memory = {}
        wanted = replay("CLOCK", [page for page, _ in accesses], frames)
        failure = vmsmp.explore(program, schedules=1).failure
        assert failure is None, failure.report()

    follow()
