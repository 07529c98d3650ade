"""The options of a run: what the caller says, what the scenario says of itself, the defaults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from vmsmp.engine.options import Options
from vmsmp.engine.schedule import program_name
from vmsmp.errors import UsageError
from vmsmp.machine import Machine
from vmsmp.patches.catalogue import check_mutants, check_repairs

Program = Callable[[Machine], Any]

#: The options that a scenario may declare for itself.
OWN: Final = ("locks", "timeouts", "spurious")


def options_for(program: Program, **said: Any) -> Options:
    """The options of a run of `program`.

    `said` has names of `Options`' fields; where it says nothing, or None, the scenario's own value counts,
    then the default.

    Raises: UsageError for a value out of its limits, an unknown repair or mutant, or a number of CPUs that
    the scenario does not run on.
    """
    given = {name: value for name, value in said.items() if value is not None}
    cpus, own_cpus = given.get("cpus"), getattr(program, "cpus", None)
    if cpus is not None and getattr(program, "fixed", False) and cpus != own_cpus:
        raise UsageError(f"scenario {program_name(program)!r} runs on {own_cpus} CPUs, not on {cpus}")
    given["repairs"] = check_repairs(given.get("repairs", ()))
    given["mutants"] = check_mutants(given.get("mutants", ()))
    own = {name: getattr(program, name) for name in OWN if hasattr(program, name)}
    return Options(**own | given)
