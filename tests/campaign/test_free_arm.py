"""Free runs in which a failure comes back or does not; the free engine itself is played."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from vmsmp.campaign import free_arm
from vmsmp.campaign.findings import findings
from vmsmp.campaign.free_arm import FREE_MOST, FREE_TURN, FreeArm
from vmsmp.campaign.free_run import FreeRounds
from vmsmp.engine.options import Options

SIGNATURE = "check: it fails"
EVERY = frozenset(one.repair for one in findings())


@pytest.fixture
def arm(monkeypatch):
    """Make an arm whose turns fail as `fails(repairs)` says, and what its turns were asked for."""

    def call(fails, rounds=None, interrupted=False):
        asked = []

        def played(_scenario, *, most, options, seed, stop_at, **_more):
            asked.append((seed, most, stop_at))
            hits = fails(options.repairs)
            made = most if rounds is None else rounds
            return FreeRounds(
                "s", rounds=made, counts={SIGNATURE: hits} if hits else {}, interrupted=interrupted
            )

        monkeypatch.setattr(free_arm, "free_rounds", played)
        return FreeArm(lambda _m: None, SIGNATURE, Options(), lambda: None, None), asked

    return call


def later():
    return time.monotonic() + 600


def test_runs_are_made_in_turns_and_counted(arm):
    free, asked = arm(lambda _repairs: 0)
    assert (250, 0) == free.run(EVERY, 250, 1, later())
    assert [(0, FREE_TURN, 1), (100, FREE_TURN, 1), (200, 50, 1)] == asked


def test_the_last_hit_ends_them(arm):
    free, asked = arm(lambda _repairs: 2)
    assert (300, 6) == free.run(EVERY, FREE_MOST, 5, later())
    assert [5, 3, 1] == [hits for _, _, hits in asked]


def test_no_run_is_made_when_the_time_is_up(arm):
    free, asked = arm(lambda _repairs: 0)
    assert (0, 0) == free.run(EVERY, 10, 1, time.monotonic() - 1)
    assert [] == asked


def test_a_turn_that_the_host_cuts_short_is_the_last(arm):
    free, asked = arm(lambda _repairs: 0, rounds=3)
    assert (3, 0) == free.come_back(EVERY, 1, later())
    assert 1 == len(asked)


def test_ctrl_c_in_a_turn_is_passed_on(arm):
    free, _ = arm(lambda _repairs: 0, interrupted=True)
    with pytest.raises(KeyboardInterrupt):
        free.run(EVERY, 10, 1, later())


@pytest.mark.parametrize("which", [0, 1, len(EVERY) // 2, -1])
def test_the_one_without_whose_repair_it_comes_is_suspected(arm, which):
    among = list({one.repair: replace(one, signatures=("none",)) for one in findings()}.values())
    free, _ = arm(lambda repairs: among[which].repair not in repairs)
    assert among[which] == free.suspect(among, EVERY, later())


def test_nobody_is_suspected_of_what_does_not_come_back(arm):
    free, _ = arm(lambda _repairs: 0)
    assert free.suspect(list(findings()), EVERY, later()) is None
