"""Working sets over a window, admission, and skewed strings."""

from __future__ import annotations

import random

import pytest

from vmsmp.mmu.textbook.working_set import may_run, phases, share_of_hottest, sizes, skewed, working_set

STRING = (1, 2, 1, 3, 3, 3, 4)


@pytest.mark.parametrize(
    ("now", "window", "pages"),
    [(0, 3, {1}), (1, 3, {1, 2}), (3, 3, {1, 2, 3}), (5, 3, {3}), (6, 1, {4}), (6, 100, {1, 2, 3, 4})],
)
def test_a_working_set_is_what_the_last_references_used(now, window, pages):
    assert pages == working_set(STRING, now, window)


def test_sizes_follow_the_string():
    assert [1, 2, 2, 3, 2, 1, 2] == sizes(STRING, 3)


@pytest.mark.parametrize("window", [1, 2, 5, 50])
def test_a_longer_window_never_sees_less(window):
    string = phases([range(5), range(5, 20)], 60, random.Random(1))
    assert [] == [
        pair
        for pair in zip(sizes(string, window), sizes(string, window + 1), strict=True)
        if pair[0] > pair[1]
    ]


@pytest.mark.parametrize(
    ("demands", "frames", "runs"),
    [
        ((3, 4, 5), 12, [True, True, True]),
        ((3, 4, 5), 11, [True, True, False]),
        ((10, 4, 5), 9, [False, True, True]),
        ((), 4, []),
    ],
)
def test_a_process_runs_only_if_all_of_its_working_set_fits(demands, frames, runs):
    assert runs == may_run(demands, frames)


def test_a_string_stays_in_its_locality():
    string = phases([range(3), range(7, 9)], 20, random.Random(1))
    assert ({0, 1, 2}, {7, 8}, 40) == ({*string[:20]}, {*string[20:]}, len(string))


def test_a_fifth_of_the_pages_gets_about_four_fifths_of_a_skewed_string():
    share = share_of_hottest(skewed(100, 1.2, 20_000, random.Random(1)), 100, 0.2)
    assert 0.75 < share < 0.85


def test_without_skew_a_fifth_of_the_pages_gets_about_a_fifth():
    assert share_of_hottest(skewed(100, 0.0, 20_000, random.Random(1)), 100, 0.2) < 0.25
