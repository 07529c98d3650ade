"""Deadlines: when the time is up, and the alarm that then rings."""

from __future__ import annotations

import threading
from itertools import count

import pytest

from vmsmp.campaign import deadline
from vmsmp.campaign.deadline import Deadline


@pytest.fixture
def ticking(monkeypatch):
    """A clock that goes on by a second each time somebody looks."""
    monkeypatch.setattr(deadline, "now", count().__next__)


def test_a_deadline_passes_with_its_seconds(ticking):
    until = Deadline(3)
    assert [False, False, True, True] == [until.passed() for _ in range(4)]


def test_without_seconds_nobody_looks_at_the_clock(ticking):
    until = Deadline()
    assert not until.passed()
    assert 1 == until.elapsed


def test_an_alarm_rings_again_and_again(monkeypatch):
    monkeypatch.setattr(deadline, "AGAIN_S", 0.0)
    rung = threading.Semaphore(0)
    with Deadline(0).alarm(rung.release, 0):
        assert all(rung.acquire(timeout=60) for _ in range(3))


@pytest.mark.parametrize("seconds", [None, 10**6])
def test_an_alarm_that_is_not_due_is_silent(seconds):
    rung = []
    with Deadline(seconds).alarm(lambda: rung.append(1), 0):
        pass
    assert [] == rung


def test_an_alarm_leaves_no_thread_behind():
    before = threading.active_count()
    with Deadline(10**6).alarm(lambda: None, 0):
        assert before + 1 == threading.active_count()
    assert before == threading.active_count()
