"""The kill table and the guard sites for a report, by module and by budget.

They come from the store, the kill table also from a file that `vmsmp mutants --json` has written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from vmsmp.campaign.kill_table import Verdict
from vmsmp.errors import UsageError, quoted
from vmsmp.patches.catalogue import find_mutant
from vmsmp.patches.removals import Removal

if TYPE_CHECKING:
    from vmsmp.campaign.store.measured import Site
    from vmsmp.patches.patch import Patch

#: The outcomes of a trial, in the order of the table.
OUTCOMES: Final = ("found", "raised", "hang", "survived", "not reached", "error")
#: Steps of the kill curve from one power of ten to the next.
_STEPS: Final = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Guards:
    """The guards of one module: how many of their removals came to each outcome."""

    module: str
    outcomes: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.outcomes)

    @property
    def noticed(self) -> int:
        """How many were noticed, by a failure, an error or a hang."""
        return sum(self.outcomes[:3])


@dataclass(frozen=True, slots=True)
class Sites:
    """The guard sites of one module: how many there are, and how many some scenario runs."""

    module: str
    total: int
    run: int


def verdicts_of(content: Any, name: str) -> tuple[Verdict, ...]:
    """The verdicts in a file that `vmsmp mutants --json` has written.

    Raises: UsageError in one sentence for any other content.
    """
    kinds = {one.name: int if one.name in ("tried", "schedules") else str for one in fields(Verdict)}
    if not isinstance(content, list):
        _refuse(name)
    for entry in content:
        if not isinstance(entry, dict) or {*entry} != {*kinds}:
            _refuse(name)
        if not all(type(entry[key]) is kind for key, kind in kinds.items()):
            _refuse(name)
        if entry["outcome"] not in OUTCOMES:
            _refuse(name)
    return tuple(Verdict(**entry) for entry in content)


def _refuse(name: str) -> None:
    raise UsageError(f"{quoted(name, 300)} is not what `vmsmp mutants --json` writes")


def guards_of(verdicts: Iterable[Verdict]) -> list[Guards]:
    """The guards of each module, by its name."""
    counts: dict[str, list[int]] = {}
    for verdict in verdicts:
        tally = counts.setdefault(module_of(verdict.ident), [0] * len(OUTCOMES))
        tally[OUTCOMES.index(verdict.outcome)] += 1
    return [Guards(module, tuple(counts[module])) for module in sorted(counts)]


def sites_of(sites: Iterable[Site]) -> list[Sites]:
    """The guard sites of each module, by its name."""
    places: dict[str, list[int]] = {}
    for site in sites:
        places.setdefault(module_of(site.guard), []).append(site.places)
    return [
        Sites(module, len(places[module]), sum(count > 0 for count in places[module]))
        for module in sorted(places)
    ]


def module_of(ident: str) -> str:
    """The module that a mutant or removal changes; "unknown" for one of another version."""
    patch = _patch(ident)
    return "unknown" if patch is None else patch.function.partition(":")[0].removeprefix("vmsmp.")


def about(ident: str) -> str:
    """What it takes away, in one line; "" for one of another version."""
    patch = _patch(ident)
    if patch is None:
        return ""
    return patch.text if isinstance(patch, Removal) else getattr(patch, "story", "")


def _patch(ident: str) -> Patch | None:
    try:
        return find_mutant(ident)
    except UsageError:
        return None


def kill_curve(verdicts: Sequence[Verdict]) -> list[tuple[int, int]]:
    """How many removals are noticed within 1, 2, 5, 10 and so on schedules of their scenario."""
    needed = sorted(one.schedules for one in verdicts if one.outcome == "found")
    if not needed:
        return []
    curve: list[tuple[int, int]] = []
    power = 1
    while not curve or curve[-1][0] < needed[-1]:
        for step in _STEPS:
            budget = step * power
            curve.append((budget, sum(count <= budget for count in needed)))
            if budget >= needed[-1]:
                break
        power *= 10
    return curve
