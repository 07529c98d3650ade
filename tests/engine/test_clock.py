"""Ticks of both clocks."""

from __future__ import annotations

import time

from vmsmp.engine.clock import HZ, HostClock, VirtualClock


def test_a_virtual_clock_starts_at_0():
    assert 0 == VirtualClock().ticks


def test_a_virtual_clock_moves_when_it_is_moved():
    clock = VirtualClock()
    clock.advance(7)
    assert 7 == clock.ticks


def test_a_virtual_clock_never_goes_back():
    clock = VirtualClock()
    clock.advance(7)
    clock.advance(3)
    assert 7 == clock.ticks


def test_a_host_clock_starts_at_0(monkeypatch):
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    assert 0 == HostClock().ticks


def test_a_host_clock_counts_ticks_of_real_time(monkeypatch):
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    clock = HostClock()
    monkeypatch.setattr(time, "monotonic", lambda: 102.5)
    assert 2.5 * HZ == clock.ticks
