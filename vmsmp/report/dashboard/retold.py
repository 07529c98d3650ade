"""A bug's line run once more, for what a store does not keep: its table, its trace and its test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from vmsmp.campaign.replay import follow, parse_for
from vmsmp.engine.schedule import Schedule
from vmsmp.engine.verdict import FailureKind
from vmsmp.errors import UsageError
from vmsmp.library import all_scenarios, own_place
from vmsmp.program_files import file_of, module_of
from vmsmp.report.perfetto import perfetto_trace
from vmsmp.report.pytest_file import pytest_file

if TYPE_CHECKING:
    from vmsmp.campaign.outcome import Failure, Outcome
    from vmsmp.report.dashboard.values import Dashboard

#: Programs by name.
Programs = Mapping[str, Callable[..., Any]]

#: Kinds of failure whose runs have no end of their own, or are not the same twice.
_ENDLESS: Final = (FailureKind.LIVELOCK, FailureKind.HANG, FailureKind.NONDETERMINISM)
#: Steps of a run that has a trace on a site, at most.
LONGEST_TRACE: Final = 10_000


@dataclass(frozen=True, slots=True)
class Retold:
    """What came of it: the failure with its story, or why there is none (`note`, which may say more, too).

    `trace` is the text of a Perfetto trace, `test` that of a pytest file; "" without a failure.
    """

    failure: Failure | None = None
    note: str = ""
    trace: str = ""
    test: str = ""


def retell(board: Dashboard, most: int, known: Programs | None = None) -> dict[str, Retold]:
    """Run the lines of the first `most` bugs, as a reader wants to see them; return what came, by bug.

    `known` are the programs that may be run, by name: by default the scenarios of the library.
    """
    return {
        bug.name: retold(bug.failure, known)
        if n < most
        else Retold(note=f"Only the lines of the first {most} bugs were run again for this report.")
        for n, bug in enumerate(board.bugs)
    }


def retold(failure: Failure, known: Programs | None = None) -> Retold:
    """Run a failure's line, if its program is one of the known: a line by itself loads no code."""
    if not failure.schedule:
        return Retold(note="A free run cannot be replayed: look for it under control.")
    if failure.kind in _ENDLESS:
        return Retold(note=f"A {failure.kind} is not run again for a report, since that takes long.")
    program = (all_scenarios() if known is None else known).get(failure.program)
    if program is None and failure.place:
        return Retold(
            note=f"Its program is in {file_of(failure.place)}, which --scenarios did not name, so it was not "
            "run again."
        )
    if program is None:
        return Retold(note="Its program is no scenario of this installation, so it was not run again.")
    try:
        outcome = follow(program, parse_for(program, Schedule.parse(failure.line)))
    except UsageError as error:
        return Retold(note=f"Its line is none of this version: {error}.")
    found = outcome.failure
    if found is None or found.signature != failure.signature:
        return Retold(note=_instead(outcome))
    notes = [outcome.misfit] if outcome.misfit else []
    trace = ""
    if outcome.steps > LONGEST_TRACE:
        notes.append("Its trace is long: `vmsmp replay --trace FILE` writes it.")
    elif outcome.story is not None:
        trace = perfetto_trace(outcome)
    module = module_of(own_place(program), program)
    return Retold(
        replace(found, place=own_place(program)),
        " ".join(notes),
        trace,
        pytest_file(outcome, module=module, until_repaired=True),
    )


def _instead(outcome: Outcome) -> str:
    """What the line comes to now."""
    if outcome.failure is None:
        return "On this code its line is clean."
    return f"On this code its line ends otherwise: {outcome.failure.signature}"
