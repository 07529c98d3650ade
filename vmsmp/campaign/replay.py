"""Replay: run a program once more along a schedule line."""

from __future__ import annotations

import warnings
from dataclasses import replace

from vmsmp.campaign.hang import hang_failure, hang_outcome
from vmsmp.campaign.options import Program, check_cpus, check_memory
from vmsmp.campaign.outcome import Outcome
from vmsmp.campaign.runner import runner_for
from vmsmp.engine import trace
from vmsmp.engine.hang import HANG_S
from vmsmp.engine.schedule import Schedule, program_name
from vmsmp.errors import HostHang, UsageError, quoted
from vmsmp.patches.catalogue import check_mutants, check_repairs
from vmsmp.sched.replay import Preempting


def parse_for(program: Program, line: str | Schedule) -> Schedule:
    """Read a schedule line of `program`.

    Raises: UsageError if it is malformed, another program's, names an unknown repair or mutant, or a number
    of CPUs or pages that the scenario does not run on.
    """
    schedule = line if isinstance(line, Schedule) else Schedule.parse(line)
    name = program_name(program)
    if schedule.program != name:
        raise UsageError(f"this schedule is of program {quoted(schedule.program)}, not of {quoted(name)}")
    check_cpus(program, schedule.options.cpus)
    check_memory(program, pages=schedule.options.pages, pressure=schedule.options.pressure)
    check_repairs(schedule.options.repairs)
    check_mutants(schedule.options.mutants)
    return schedule


def replay(program: Program, line: str | Schedule, *, check: bool = True, hang_s: float = HANG_S) -> Outcome:
    """Run `program` once more along a schedule line, with its story.

    A step that takes `hang_s` seconds of processor time hangs, as in `explore`.

    `misfit` of the outcome says what does not fit, if the line is of another program or another version of
    it.  A line with a digest is a promise: if another run comes of it, there is a warning too.
    Raises: UsageError (a ValueError) for a line that `parse_for` refuses.
    """
    schedule = parse_for(program, line)
    outcome = follow(program, schedule, check=check, hang_s=hang_s)
    if schedule.digest not in ("", outcome.digest):
        warnings.warn(outcome.misfit, stacklevel=2)
    return outcome


def follow(program: Program, schedule: Schedule, *, check: bool = True, hang_s: float = HANG_S) -> Outcome:
    """As `replay`, of a schedule that `parse_for` has read, without a warning."""
    told: list[Outcome] = []
    preempting = Preempting(schedule.preemptions)
    try:
        with runner_for(program, schedule.options, check=check, hang_s=hang_s) as runner:
            runner.drive(lambda: told.append(runner.tell(preempting, schedule.seed)[0]))
    except HostHang as error:
        failure = hang_failure(program, schedule.options, error.hang, check=check)
        return hang_outcome(failure, trace.count_steps(error.hang.log))
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
    whose = f"it is of another program called {quoted(schedule.program)}, or of another version of this one"
    return f"the line does not fit this program: {'; '.join(found)}; {whose}"
