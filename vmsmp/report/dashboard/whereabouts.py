"""Where in the source tree a bug is, for tools that show it beside the code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Final

from vmsmp.engine.source import place_of
from vmsmp.library import all_scenarios

if TYPE_CHECKING:
    from vmsmp.campaign.outcome import Failure
    from vmsmp.engine.source import Place

_PACKAGE: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Spot:
    """A line of a file, whose path begins at the top of the source tree."""

    file: str
    line: int


def spot_of(place: Place) -> Spot | None:
    """Where a place is; None for what is in no file, such as a mutated function."""
    if place.line < 1 or place.file.startswith("<"):
        return None
    ours = (_PACKAGE / place.file).is_file()
    return Spot(f"{_PACKAGE.name}/{place.file}" if ours else place.file, place.line)


def spot_of_failure(failure: Failure) -> Spot | None:
    """Where its last step was that its CPU made, if it has a story, else where its scenario begins."""
    if failure.story is not None:
        for row in reversed(failure.story.rows):
            spots = [spot for place in row.place if row.cpu == failure.cpu and (spot := spot_of(place))]
            if spots:
                return spots[0]
    program = all_scenarios().get(failure.program)
    if isinstance(program, FunctionType):
        return spot_of(place_of(program.__code__, program.__code__.co_firstlineno))
    return None
