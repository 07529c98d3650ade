"""Runs of the free engine with some repairs on, in which a failure comes back or does not.

How many there are in the time is the host's, so what is not told within it is not decided.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from vmsmp.campaign.findings import Finding
from vmsmp.campaign.free_run import free_rounds
from vmsmp.campaign.options import Program
from vmsmp.engine.free import HANG_S
from vmsmp.engine.options import Options

#: How many times as many runs pass with a repair as it took to see the failure without it.
TIMES: Final = 4
#: Runs without a repair at most in which a failure that is not found under control has to come back, and how
#: many are made at a time.
FREE_MOST: Final = 4_000
FREE_TURN: Final = 100


class FreeArm:
    """Free runs of one scenario, in which one signature is looked for."""

    def __init__(
        self,
        scenario: Program,
        signature: str,
        options: Options,
        alive: Callable[[], None],
        hang_s: float | None,
    ) -> None:
        self.scenario = scenario
        self.signature = signature
        self.options = options
        self.alive = alive
        self.hang_s = HANG_S if hang_s is None else hang_s

    def run(self, repairs: frozenset[str], runs: int, hits: int, until: float) -> tuple[int, int]:
        """Run so often, until it failed so often or the time is up; how often it ran, and failed."""
        done = failed = 0
        while done < runs and failed < hits and time.monotonic() < until:
            most = min(FREE_TURN, runs - done)
            rounds = free_rounds(
                self.scenario,
                time_s=max(0.1, until - time.monotonic()),
                most=most,
                options=replace(self.options, repairs=repairs),
                seed=done,
                stop_at=hits - failed,
                progress=lambda _rounds: self.alive(),
                hang_s=self.hang_s,
            )
            if rounds.interrupted:
                raise KeyboardInterrupt
            done += rounds.rounds
            failed += rounds.counts.get(self.signature, 0)
            if rounds.rounds < most and not rounds.counts:
                break
        return done, failed

    def come_back(self, repairs: frozenset[str], hits: int, until: float) -> tuple[int, int]:
        """Run as often as it may take to fail so often."""
        return self.run(repairs, FREE_MOST, hits, until)

    def suspect(self, among: Sequence[Finding], every: frozenset[str], until: float) -> Finding | None:
        """The finding without whose repair runs seem to fail, None if they seldom do.

        The repairs of half of those that are left are off at a time, after those of the ones that show so.
        """
        suspects = list(among)
        runs, hits = self.come_back(every - {one.repair for one in suspects}, 2, until)
        if hits < 2:
            return None
        suspects.sort(key=lambda one: not one.shows_as(self.signature))
        half = sum(one.shows_as(self.signature) for one in suspects)
        while len(suspects) > 1:
            half = half if 0 < half < len(suspects) else len(suspects) // 2
            off = {one.repair for one in suspects[:half]}
            comes = self.run(every - off, TIMES * runs, 1, until)[1]
            suspects, half = suspects[:half] if comes else suspects[half:], 0
        return suspects[0]
