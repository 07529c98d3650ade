"""The ways of a campaign: in which engine, at which depth, with what beside a scenario is put under stress.

Known findings mask what comes after them, so each scenario runs as the kernel is and with the repairs of all
known findings on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final

from vmsmp.campaign.options import options_for
from vmsmp.engine.options import Options
from vmsmp.library import Scenario, fewest_pages
from vmsmp.patches.catalogue import fitting_repairs


@dataclass(frozen=True, slots=True)
class Way:
    """One way to put a scenario under stress.

    `injected`: timeouts and spurious wakeups are choices.  `repaired`: the repairs of all known findings are
    on, so that what lies behind them can be seen.
    """

    engine: str
    locks: str
    sched: str = "portfolio"
    injected: bool = False
    repaired: bool = False

    def __str__(self) -> str:
        words = ["free" if self.engine == "free" else self.sched, self.locks]
        words += ["injected"] if self.injected else []
        words += ["repaired"] if self.repaired else []
        return " ".join(words)

    def options_for(
        self,
        scenario: Scenario,
        repairs: Iterable[str],
        mutants: Iterable[str],
        *,
        pages: int | None = None,
        pressure: bool = False,
    ) -> Options:
        """The options of a scenario's runs this way, with so many free pages, or as many as it needs.

        A scenario whose story is the time at which things happen (tag "clock") has its sleeps end in time.
        Repairs that cannot be in place beside the mutants are left out.
        """
        mutants = frozenset(mutants)
        injected = True if self.injected and "clock" not in getattr(scenario, "tags", ()) else None
        return options_for(
            scenario,
            pages=None if pages is None else max(pages, fewest_pages(scenario) or 0),
            pressure=pressure,
            locks=self.locks,
            timeouts="any" if injected else None,
            spurious=injected,
            repairs={*repairs, *(_repairs_beside(mutants) if self.repaired else ())},
            mutants=mutants,
        )


@cache
def _repairs_beside(mutants: frozenset[str]) -> frozenset[str]:
    """The repairs of all known findings, or those that can be in place beside these mutants."""
    return fitting_repairs(mutants)


#: Every way, in the order of a round: as the kernel is, and with all known findings repaired.
WAYS = (
    Way("controlled", "exact"),
    Way("free", "exact"),
    Way("controlled", "exact", repaired=True),
    Way("controlled", "atomic"),
    Way("controlled", "atomic", repaired=True),
    Way("controlled", "exact", "random"),
    Way("controlled", "exact", "random", injected=True, repaired=True),
    Way("free", "exact", repaired=True),
    Way("free", "atomic"),
    Way("free", "atomic", repaired=True),
)


@dataclass(frozen=True, slots=True)
class Scarcity:
    """How scarce memory is: up to `pages` are free as CPUs start, and with `pressure` one takes them all."""

    pages: int | None = None
    pressure: bool = False

    def __bool__(self) -> bool:
        return self.pressure or self.pages is not None

    @property
    def words(self) -> tuple[str, ...]:
        """What the command line is told, so that memory is as scarce."""
        pages = () if self.pages is None else ("--pages", str(self.pages))
        return (*pages, *["--pressure"] * self.pressure)

    @property
    def ways(self) -> tuple[Way, ...]:
        """The ways of a round: where memory is scarce, the kernel's known findings are everywhere."""
        return tuple(way for way in WAYS if way.repaired or not self)

    def amount(self, turn: int) -> int | None:
        """The free pages of a round: none in the first one, then 1, 2, 4 and so on to the last, and anew."""
        if self.pages is None:
            return None
        amounts = [0, *(1 << n for n in range(self.pages.bit_length()) if 1 << n < self.pages)]
        amounts += [self.pages] * bool(self.pages)
        return amounts[turn % len(amounts)]


#: Memory as each scenario boots it.
PLENTY: Final = Scarcity()
