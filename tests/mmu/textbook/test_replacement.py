"""Replacement: the policies against published exercises, and one by one."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import pytest

from vmsmp.mmu.textbook.replacement import POLICIES, anomalies, faults, replay


class Exercise(NamedTuple):
    """A published exercise: its source, its string, the number of frames, and the faults of each policy."""

    source: str
    string: tuple[int, ...]
    frames: int
    faults: dict[str, int]


def digits(text):
    return tuple(int(digit) for digit in text.split(","))


_OSC = "Silberschatz, Galvin and Gagne, Operating System Concepts, chapter Virtual Memory"
_SECOND = digits("1,2,3,4,2,1,5,6,2,1,2,3,7,6,3,2,1,2,3,6")

EXERCISES = [
    Exercise(
        f"{_OSC}, the figures of the section on page replacement",
        digits("7,0,1,2,0,3,0,4,2,3,0,3,2,1,2,0,1,7,0,1"),
        3,
        {"FIFO": 15, "OPT": 9, "LRU": 12},
    ),
    *(
        Exercise(
            f"{_OSC}, the exercise with one to seven frames: {frames}",
            _SECOND,
            frames,
            dict(zip(("LRU", "FIFO", "OPT"), counts, strict=True)),
        )
        for frames, counts in enumerate(
            [(20, 20, 20), (18, 18, 15), (15, 16, 11), (10, 14, 8), (8, 10, 7), (7, 10, 7), (7, 7, 7)], 1
        )
    ),
    Exercise(
        f"{_OSC}, the exercise with the string 7, 2, 3, 1, ...",
        digits("7,2,3,1,2,5,3,4,6,7,7,1,0,5,4,6,2,3,0,1"),
        3,
        {"LRU": 18, "FIFO": 17, "OPT": 13},
    ),
    *(
        Exercise(
            f"Belady, Nelson and Shedler 1969, {frames} frames",
            digits("1,2,3,4,1,2,5,1,2,3,4,5"),
            frames,
            {"FIFO": count},
        )
        for frames, count in [(3, 9), (4, 10)]
    ),
    Exercise(
        "Stallings, Operating Systems, chapter 8, figure Behavior of Four Page Replacement Algorithms "
        "(its counts leave out the three faults that fill the frames)",
        digits("2,3,2,1,5,2,4,5,3,2,5,2"),
        3,
        {"OPT": 3 + 3, "LRU": 4 + 3, "FIFO": 6 + 3, "CLOCK": 5 + 3},
    ),
    Exercise(
        "Tanenbaum, Modern Operating Systems, chapter 3, the problem with the string 0172327103",
        digits("0,1,7,2,3,2,7,1,0,3"),
        4,
        {"FIFO": 6, "LRU": 7},
    ),
    Exercise(
        "Arpaci-Dusseau, Operating Systems: Three Easy Pieces, chapter 22 (6, 4 and 6 hits of 11)",
        digits("0,1,2,0,1,3,0,3,1,2,1"),
        3,
        {"OPT": 11 - 6, "FIFO": 11 - 4, "LRU": 11 - 6},
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.source)
def test_the_policies_fault_as_the_textbooks_say(exercise):
    assert exercise.faults == {
        name: faults(name, exercise.string, exercise.frames) for name in exercise.faults
    }


BELADY = digits("1,2,3,4,1,2,5,1,2,3,4,5")


@pytest.mark.parametrize(("name", "where"), [("FIFO", [3]), ("CLOCK", [3]), ("LRU", []), ("OPT", [])])
def test_only_fifo_and_clock_show_belady_s_anomaly(name, where):
    assert where == anomalies(name, BELADY, 6)


def steps(name, string, frames):
    return [(one.page, one.fault, one.evicted, one.frames) for one in replay(name, string, frames)]


def evicted(name, string, frames):
    return [one.evicted for one in replay(name, string, frames) if one.evicted is not None]


def test_a_replay_tells_what_each_reference_does():
    assert [
        (1, True, None, (1,)),
        (2, True, None, (1, 2)),
        (1, False, None, (1, 2)),
        (3, True, 1, (3, 2)),
    ] == steps("FIFO", (1, 2, 1, 3), 2)


@pytest.mark.parametrize(("name", "page"), [("FIFO", 1), ("LRU", 2), ("OPT", 2), ("CLOCK", 1)])
def test_a_use_keeps_a_page_under_lru_and_not_under_fifo(name, page):
    assert [page] == evicted(name, (1, 2, 1, 3, *([1] if name == "OPT" else [])), 2)


def test_clock_spares_a_page_that_was_used_since_the_hand_came_by():
    assert [1, 3] == evicted("CLOCK", (1, 2, 3, 4, 2, 5), 3)


def test_opt_evicts_what_is_never_used_again_before_what_is_used_late():
    assert [2] == evicted("OPT", (1, 2, 3, 4, 3, 1), 3)


@pytest.mark.parametrize("name", POLICIES)
def test_with_a_frame_for_each_page_a_page_faults_once(name):
    assert 5 == faults(name, BELADY, 5)


@pytest.mark.parametrize("name", POLICIES)
def test_with_one_frame_every_change_of_page_faults(name):
    changes = sum(one != other for one, other in pairwise(BELADY))
    assert 1 + changes == faults(name, BELADY, 1)
