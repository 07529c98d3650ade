"""The library of scenarios: programs with a name, a number of CPUs, tags and a story.

(The decorator has the name `vmsmp.scenario`, so this module cannot.)

A scenario is a function of a machine, marked with `@scenario`; it stays an ordinary function.  They
live in the `scenarios` folder, one workload a file, which travels in the wheel as
`vmsmp/scenarios`.  Either way the folder is loaded as the package `vmsmp.scenarios`, so that a
user's own package called `scenarios` is left alone.  A file whose name begins with an underscore
holds no scenarios but what they share.  `find_scenario` looks a name up; names are the functions'
own and unique.

Scenarios of a user's own are in files and folders that the user names (`with_own`).  They have a `place`, by
which another process finds them, too (`scenario_at`).
"""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Protocol, cast

from vmsmp.errors import UsageError, quoted
from vmsmp.program_files import file_of, is_place, load_program, load_scenarios
from vmsmp.project import project_here

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
    #: The fewest free pages with which its CPUs can start; None: how much memory it has is part of its story.
    pages: int | None
    #: The file of a scenario of a user's own and its name, `FILE.py::NAME`; "" for one of the library.
    place: str

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
    pages: int | None = 0,
) -> Callable[[Callable[..., Any]], Scenario]:
    """Mark a function of a machine as a scenario.

    `cpus` is the number of CPUs that work beside the boot CPU; `m.ncpus` has it, or what the user
    asked for instead unless it is `fixed`.  `locks`, `timeouts` and `spurious` are how a search runs
    it by default.  `pages` is how few free pages it copes with as its CPUs start (`--pages`); one whose
    story needs just the memory that it boots has None.  The docstring is its story.
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
        made.pages = pages
        made.place = ""
        return made

    return mark


def scenario_folder() -> Path:
    """Where the scenarios are: beside an installed package's code, else at the checkout's top."""
    here = Path(__file__).resolve().parent
    packed = here / "scenarios"
    if packed.is_dir():
        return packed
    if not _is_checkout(here.parent):
        raise UsageError(f"this installation has no scenarios: {packed} is not there")
    return here.parent / "scenarios"


def _is_checkout(folder: Path) -> bool:
    """Whether it is the top of our own source, where a folder `scenarios` is ours and no user's."""
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8")).get("project")
    except (OSError, ValueError):
        return False
    return isinstance(project, dict) and project.get("name") == "vmsmp"


@cache
def all_scenarios() -> dict[str, Scenario]:
    """Every scenario by name, in order of name.

    Raises: UsageError when two have the same name, or the folder is not there.
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
    """The modules of the scenario folder; those that somebody has loaded already are left as they are.

    Raises: UsageError if somebody else has a package of that name.
    """
    folder = scenario_folder()
    package = sys.modules.get(PACKAGE)
    if package is None:
        package = ModuleType(PACKAGE)
        package.__path__ = [str(folder)]
        sys.modules[PACKAGE] = package
    elif [Path(path).resolve() for path in getattr(package, "__path__", ())] != [folder.resolve()]:
        raise UsageError(f"somebody else's module {PACKAGE!r} is loaded, so the scenarios cannot be")
    paths = (path.relative_to(folder).with_suffix("") for path in sorted(folder.rglob("*.py")))
    return [
        importlib.import_module(".".join((PACKAGE, *path.parts)))
        for path in paths
        if not path.name.startswith("_")
    ]


def is_scenario(program: object) -> bool:
    """Whether the program is a scenario of the library, which the command line finds by its name."""
    return str(getattr(program, "__module__", "")).startswith(f"{PACKAGE}.")


def own_place(program: object) -> str:
    """Where a program of a user's own is found; "" for one of the library, and one that only Python knows."""
    place: str = getattr(program, "place", "")
    return place


def fewest_pages(program: object) -> int | None:
    """How few free pages the program copes with; None if it is a scenario that takes no other memory.

    Scenarios of a part of the VM are in the folder of that part; all others have no memory, or tell a
    finding as it is.
    """
    if not is_scenario(program):
        return 0
    folder = str(getattr(program, "__module__", "")).removeprefix(f"{PACKAGE}.").partition(".")[0]
    fewest: int | None = getattr(program, "pages", 0)
    return fewest if folder.startswith("vm_") else None


def with_own(places: Iterable[str]) -> dict[str, Scenario]:
    """The scenarios of the library and those of a user's own, by name, in order of name.

    Raises: UsageError in one sentence when a file cannot be loaded, or two have the same name.
    """
    found = dict(all_scenarios())
    for place in places:
        for own in load_scenarios(place):
            before = found.setdefault(own.__name__, own)
            if not _same_file(before, own):
                there = before.place or "the library"
                raise UsageError(f"two scenarios are called {own.__name__!r}: {there} and {own.place}")
    return dict(sorted(found.items()))


def _same_file(one: Scenario, other: Scenario) -> bool:
    """Whether two scenarios of one name are one."""
    return one is other or (one.place != "" and Path(file_of(one.place)).samefile(file_of(other.place)))


@cache
def scenario_at(place: str) -> Scenario:
    """The scenario of that place, or of that name if it is one of the library.

    Raises: UsageError in one sentence if there is none any more.
    """
    return cast(Scenario, load_program(place)) if is_place(place) else find_scenario(place)


def find_scenario(name: str, known: Mapping[str, Scenario] | None = None) -> Scenario:
    """The scenario of that name among `known`, by default the library's.

    Raises: UsageError that names near misses.
    """
    known = all_scenarios() if known is None else known
    if name in known:
        return known[name]
    near = get_close_matches(name[:100], known, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "`vmsmp list` shows them"
    raise UsageError(f"unknown scenario {quoted(name)}: {hint}")


def matching(glob: str) -> list[Scenario]:
    """The scenarios whose name matches a shell pattern, the project's own among them; or those of a place.

    Raises: UsageError if there is none.
    """
    if is_place(glob):
        own = with_own([glob])
        return [scenario for scenario in own.values() if scenario.place]
    known = with_own(project_here().scenarios)
    found = [scenario for name, scenario in known.items() if fnmatchcase(name, glob)]
    if not found:
        raise UsageError(f"no scenario matches {quoted(glob)}: `vmsmp list` shows them")
    return found
