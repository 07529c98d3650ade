"""`current_frames` must not be interrupted by a collection (it can deadlock on CPython 3.11)."""

import gc
import sys
import threading

import pytest

from vmsmp.engine.machine import current_frames


@pytest.fixture
def collecting(monkeypatch):
    """Whether the collector was on while the interpreter was asked, and switches it back after."""
    before, seen, real = gc.isenabled(), [], sys._current_frames

    def asked():
        seen.append(gc.isenabled())
        return real()

    monkeypatch.setattr(sys, "_current_frames", asked)
    yield seen
    (gc.enable if before else gc.disable)()


@pytest.mark.parametrize("switch", [gc.enable, gc.disable], ids=["on", "off"])
def test_no_collection_begins_while_frames_are_read_and_its_switch_stays(collecting, switch):
    switch()
    before = gc.isenabled()
    frames = current_frames()
    assert ([False], before) == (collecting, gc.isenabled())
    assert threading.get_ident() in frames
