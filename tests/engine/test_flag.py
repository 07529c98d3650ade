"""Flags that threads wait for, interrupted wherever it can be."""

from __future__ import annotations

import itertools
import sys
import threading
import time

import pytest

from patience import PROCESS_S
from vmsmp.engine.flag import Flag


class Interruption(BaseException):
    """What a signal's handler raises."""


def interrupted_before_line(number, modules, call, *arguments):
    """Call with an exception before the given line of these modules (from 0); whether it came so far."""
    left = itertools.count(number, -1)

    def look(frame, event, _):
        if frame.f_globals.get("__name__") not in modules:
            return None
        if event == "line" and next(left) == 0:
            sys.settrace(None)
            raise Interruption
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        call(*arguments)
    except Interruption:
        return True
    finally:
        sys.settrace(before)
    return False


def harmed(make, modules):
    """The lines of an interrupted wait after which a flag is of no use, or which end in another exception."""
    for number in itertools.count():
        flag = make()
        try:
            if not interrupted_before_line(number, modules, flag.wait, 0.0):
                return
        except RuntimeError:
            yield number
            continue
        setter = threading.Thread(target=flag.set, daemon=True)
        setter.start()
        setter.join(0.5)
        if setter.is_alive() or not flag.wait(0.0):
            yield number


def test_no_moment_of_an_interruption_harms_a_flag():
    assert [] == list(harmed(Flag, {"vmsmp.engine.flag"}))


def test_an_event_may_be_harmed():
    assert list(harmed(threading.Event, {"threading"}))


def test_who_comes_after_it_was_set_goes_on():
    flag = Flag()
    flag.set()
    flag.set()
    assert [flag.wait(), flag.wait(0.0), flag.is_set()] == [True, True, True]


def test_a_wait_ends_with_its_time():
    before = time.monotonic()
    assert not Flag().wait(0.05)
    assert time.monotonic() - before >= 0.05


def test_who_comes_after_it_was_cleared_waits():
    flag = Flag()
    flag.set()
    flag.clear()
    assert [flag.wait(0.0), flag.is_set()] == [False, False]


@pytest.mark.parametrize("waiters", [1, 5])
def test_all_who_wait_go_on(waiters):
    flag = Flag()
    ended = []
    threads = [threading.Thread(target=lambda: ended.append(flag.wait())) for _ in range(waiters)]
    for thread in threads:
        thread.start()
    flag.set()
    for thread in threads:
        thread.join(PROCESS_S)
    assert [True] * waiters == ended


def test_a_door_left_open_by_one_who_was_overtaken_closes():
    flag = Flag()
    flag.set()
    flag._up = False  # as if taken down between the two steps of `clear`
    assert not flag.wait(0.0)
