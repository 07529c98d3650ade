"""The library of scenarios: programs with a name, a number of CPUs, tags and a story.

(The decorator has the name `vmsmp.scenario`, so this module cannot.)

A scenario is a function of a machine, marked with `@scenario`; it stays an ordinary function.  They
live in the `scenarios` folder, one workload a file, which travels in the wheel as
`vmsmp/scenarios`.  Either way the folder is loaded as the package `vmsmp.scenarios`, so that a
user's own package called `scenarios` is left alone.  A file whose name begins with an underscore
holds no scenarios but what they share.  `find_scenario` looks a name up; names are the functions'
own and unique.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Protocol, cast

from vmsmp.errors import UsageError

#: The package that the scenarios are loaded as.
PACKAGE: Final = "vmsmp.scenarios"


class Scenario(Protocol):
    """A program with what is known about it."""

    __name__: str
    __doc__: str | None
    cpus: int
    tags: frozenset[str]
    locks: str
    timeouts: str
    spurious: bool
    #: The line that shows a finding of the kernel's own, for those in `regressions`.
    schedule: str | None
    #: Whether its CPUs have roles, so that it can be run with its own number only.
    fixed: bool

    def __call__(self, m: Any) -> Any: ...


def scenario(
    *,
    cpus: int,
    tags: Iterable[str] = (),
    locks: str = "atomic",
    timeouts: str = "idle",
    spurious: bool = False,
    schedule: str | None = None,
    fixed: bool = False,
) -> Callable[[Callable[..., Any]], Scenario]:
    """Mark a function of a machine as a scenario.

    `cpus` is the number of CPUs that work beside the boot CPU; `m.ncpus` has it, or what the user
    asked for instead unless it is `fixed`.  `locks`, `timeouts` and `spurious` are how a search runs
    it by default.  The docstring is its story.
    """
    if not 1 <= cpus <= 63:
        raise UsageError(f"a scenario has from 1 to 63 CPUs, not {cpus}")

    def mark(program: Callable[..., Any]) -> Scenario:
        made = cast(Scenario, program)
        made.cpus = cpus
        made.tags = frozenset(tags)
        made.locks = locks
        made.timeouts = timeouts
        made.spurious = spurious
        made.schedule = schedule
        made.fixed = fixed
        return made

    return mark


def scenario_folder() -> Path:
    """Where the scenarios are: beside an installed package's code, else at the checkout's top."""
    here = Path(__file__).resolve().parent
    packed = here / "scenarios"
    return packed if packed.is_dir() else here.parent / "scenarios"


@cache
def all_scenarios() -> dict[str, Scenario]:
    """Every scenario by name, in order of name.

    Raises: UsageError when two have the same name.
    """
    found: dict[str, Scenario] = {}
    for module in _modules():
        for thing in vars(module).values():
            if callable(thing) and hasattr(thing, "tags") and thing.__module__ == module.__name__:
                if thing.__name__ in found:
                    raise UsageError(f"two scenarios are called {thing.__name__!r}")
                found[thing.__name__] = cast(Scenario, thing)
    return dict(sorted(found.items()))


def _modules() -> list[ModuleType]:
    """The modules of the scenario folder, loaded anew."""
    folder = scenario_folder()
    for name in [name for name in sys.modules if f"{name}.".startswith(f"{PACKAGE}.")]:
        del sys.modules[name]
    package = ModuleType(PACKAGE)
    package.__path__ = [str(folder)]
    sys.modules[PACKAGE] = package
    importlib.invalidate_caches()
    paths = (path.relative_to(folder).with_suffix("") for path in sorted(folder.rglob("*.py")))
    return [
        importlib.import_module(".".join((PACKAGE, *path.parts)))
        for path in paths
        if not path.name.startswith("_")
    ]


def is_scenario(program: object) -> bool:
    """Whether the program is a scenario of the library, which the command line finds by its name."""
    return str(getattr(program, "__module__", "")).startswith(f"{PACKAGE}.")


def find_scenario(name: str) -> Scenario:
    """The scenario of that name.

    Raises: UsageError that names near misses.
    """
    known = all_scenarios()
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "`vmsmp list` shows them"
    raise UsageError(f"unknown scenario {name!r}: {hint}")


def matching(glob: str) -> list[Scenario]:
    """The scenarios whose name matches a shell pattern.

    Raises: UsageError if there is none.
    """
    found = [s for name, s in all_scenarios().items() if fnmatchcase(name, glob)]
    if not found:
        raise UsageError(f"no scenario matches {glob!r}: `vmsmp list` shows them")
    return found
