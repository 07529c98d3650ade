"""The rules of a zone: what its blocks must be, told as soon as its lock is free."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.mmu.textbook.buddy import BuddyMemory


def failure_of(spoil):
    """What is said when `spoil` does something to a zone of eight frames, of which two are given out."""

    def program(m):
        memory = BuddyMemory(m, 8, {"NORMAL": None})
        memory.alloc(1)
        (zone,) = memory.zones
        zone.spin.acquire()
        spoil(zone)
        zone.spin.release()
        m.yield_()

    return vmsmp.explore(program, schedules=1).failure


def test_a_zone_that_is_as_it_must_be_is_no_failure():
    assert failure_of(lambda zone: None) is None


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda zone: zone.given.clear(), "INV-BD1: zone: a frame is in no block"),
        pytest.param(
            lambda zone: zone.free_area[2].clear(), "INV-BD1: zone: a frame is in no block", id="list lost"
        ),
        (lambda zone: zone.given.update({2: 1}), "INV-BD1: zone: two blocks overlap"),
        (lambda zone: zone.given.update({8: 1}), "INV-BD1: zone: a block goes beyond the zone's end"),
        (
            lambda zone: zone.given.update({1: 1}),
            "INV-BD1: zone: a block does not start at a multiple of its length",
        ),
        (
            lambda zone: (zone.free_area[2].clear(), zone.free_area[1].extend((4, 6))),
            "INV-BD2: zone: both buddies of order 1 are free and not merged",
        ),
        (lambda zone: zone.publish("nr_free", 5), "INV-BD3: zone: nr_free is 5, and 6 frames are free"),
    ],
)
def test_a_zone_that_is_not_as_it_must_be_is_told(spoil, message):
    failure = failure_of(spoil)
    assert ("accounting", message) == (failure.kind, failure.message)


def test_a_zone_is_not_asked_while_its_lock_is_held():
    def program(m):
        memory = BuddyMemory(m, 8, {"NORMAL": None})
        (zone,) = memory.zones
        zone.spin.acquire()
        blocks = zone.free_area[3]
        block = blocks.pop()
        zone.publish("nr_free", 0)
        m.yield_()
        blocks.append(block)
        zone.publish("nr_free", 8)
        zone.spin.release()

    assert vmsmp.explore(program, schedules=1).failure is None
