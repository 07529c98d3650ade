"""Replay: run a program once more along a schedule line."""

from __future__ import annotations

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

    Raises: UsageError (a ValueError) for a line that `parse_for` refuses.
    """
    schedule = parse_for(program, line)
    told: list[Outcome] = []
    with runner_for(program, schedule.options, check=check) as runner:
        runner.drive(lambda: told.append(runner.tell(Preempting(schedule.preemptions), schedule.seed)[0]))
    return told[0]
