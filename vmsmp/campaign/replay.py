"""Replay: run a program once more along a schedule line."""

from __future__ import annotations

import warnings
from dataclasses import replace

from vmsmp.campaign.options import Program
from vmsmp.campaign.outcome import Outcome
from vmsmp.campaign.runner import runner_for
from vmsmp.engine.schedule import Schedule, program_name
from vmsmp.errors import UsageError
from vmsmp.patches.catalogue import check_mutants, check_repairs
from vmsmp.sched.replay import Preempting


def parse_for(program: Program, line: str | Schedule) -> Schedule:
    """Read a schedule line of `program`.

    Raises: UsageError if it is malformed, another program's, or names an unknown repair or mutant.
    """
    schedule = line if isinstance(line, Schedule) else Schedule.parse(line)
    name = program_name(program)
    if schedule.program != name:
        raise UsageError(f"this schedule is of program {schedule.program!r}, not of {name!r}")
    check_repairs(schedule.options.repairs)
    check_mutants(schedule.options.mutants)
    return schedule


def replay(program: Program, line: str | Schedule, *, check: bool = True) -> Outcome:
    """Run `program` once more along a schedule line, with its story.

    `misfit` of the outcome says what does not fit, if the line is of another program or another version of
    it.  A line with a digest is a promise: if another run comes of it, there is a warning too.
    Raises: UsageError (a ValueError) for a line that `parse_for` refuses.
    """
    schedule = parse_for(program, line)
    outcome = follow(program, schedule, check=check)
    if schedule.digest not in ("", outcome.digest):
        warnings.warn(outcome.misfit, stacklevel=2)
    return outcome


def follow(program: Program, schedule: Schedule, *, check: bool = True) -> Outcome:
    """As `replay`, of a schedule that `parse_for` has read, without a warning."""
    told: list[Outcome] = []
    preempting = Preempting(schedule.preemptions)
    with runner_for(program, schedule.options, check=check) as runner:
        runner.drive(lambda: told.append(runner.tell(preempting, schedule.seed)[0]))
    return replace(told[0], misfit=_misfit(schedule, told[0], preempting))


def _misfit(schedule: Schedule, outcome: Outcome, preempting: Preempting) -> str:
    """Why the run is not the one that the line was made of, "" if nothing tells against it."""
    found = []
    ignored = preempting.ignored()
    if ignored:
        which = ", ".join(map(str, ignored[:3])) + (", ..." if len(ignored) > 3 else "")
        found.append(f"{len(ignored)} of its {len(schedule)} preemptions do not apply ({which})")
    if schedule.digest not in ("", outcome.digest):
        found.append(f"it is of a run with digest {schedule.digest}, and this one's is {outcome.digest}")
    if not found:
        return ""
    whose = f"it is of another program called {schedule.program!r}, or of another version of this one"
    return f"the line does not fit this program: {'; '.join(found)}; {whose}"
