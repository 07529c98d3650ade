"""The options of a run: what the caller says, what the scenario says of itself, the defaults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from vmsmp.engine.options import OPTION_KINDS, Choice, Flag, Names, Number, OptionKind, Options
from vmsmp.engine.schedule import program_name
from vmsmp.errors import UsageError
from vmsmp.library import fewest_pages
from vmsmp.machine import Machine
from vmsmp.patches.catalogue import check_mutants, check_repairs

Program = Callable[[Machine], Any]

#: The options that a scenario may declare for itself.
OWN: Final = ("locks", "timeouts", "spurious")


def options_for(program: Program, **said: Any) -> Options:
    """The options of a run of `program`.

    `said` has names of `Options`' fields; where it says nothing, or None, the scenario's own value counts,
    then the default.

    Raises: UsageError for a value out of its limits, an unknown repair or mutant, or a number of CPUs or
    pages that the scenario does not run on.
    """
    given = {name: value for name, value in said.items() if value is not None}
    check_cpus(program, given.get("cpus"))
    check_memory(program, pages=given.get("pages"), pressure=given.get("pressure", False))
    given["repairs"] = check_repairs(given.get("repairs", ()))
    given["mutants"] = check_mutants(given.get("mutants", ()))
    own = {name: getattr(program, name) for name in OWN if hasattr(program, name)}
    return Options(**own | given)


def check_cpus(program: Program, cpus: int | None) -> None:
    """Raises: UsageError if the program is a scenario of a fixed number of CPUs, and not of that one."""
    own = getattr(program, "cpus", None)
    if cpus is not None and getattr(program, "fixed", False) and cpus != own:
        raise UsageError(f"scenario {program_name(program)!r} runs on {own} CPUs, not on {cpus}")


def check_memory(program: Program, *, pages: int | None, pressure: bool) -> None:
    """Raises: UsageError if the program is a scenario that does not run with so little memory, or with none
    but its own.
    """
    if pages is None and not pressure:
        return
    fewest, name = fewest_pages(program), program_name(program)
    if fewest is None:
        option = "pressure" if pages is None else "pages"
        raise UsageError(f"scenario {name!r} takes no option {option!r}: it has its own memory, or none")
    if pages is not None and pages < fewest:
        raise UsageError(f"scenario {name!r} needs {fewest} free pages as its CPUs start, not {pages}")


def words_for(program: Program, options: Options) -> tuple[str, ...]:
    """What the command line is told, so that a run of `program` has these options."""
    own = options_for(program)
    words: list[str] = []
    for name, kind in OPTION_KINDS.items():
        value = getattr(options, name)
        if value != getattr(own, name):
            words += _words(name, kind, value)
    return tuple(words)


def _words(name: str, kind: OptionKind, value: Any) -> list[str]:
    option = "--" + name.replace("_", "-")
    match kind:
        case Flag():
            return [option] if value else []
        case Names():
            return [word for one in sorted(value) for word in (f"--{kind.word}", one)]
        case Choice() | Number():
            return [option, str(value)]
