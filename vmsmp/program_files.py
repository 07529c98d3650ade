"""Programs of the user's own, in files that the user names: `FILE.py`, `FILE.py::NAME`, or a folder.

NAME may also be a concurrent program, as `vmsmp.concurrent` writes it: `FILE.py::Counter(cpu1=[add(1)])`.

A file is loaded only if the user named it, beside a command or in the project's settings; a schedule line
never makes vmsmp load code.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NoReturn

from vmsmp.engine.schedule import program_name
from vmsmp.errors import UsageError, quoted

#: How to say where a program is.
FORM: Final = "FILE.py[::NAME]"


def is_place(text: str) -> bool:
    """Whether the text says where programs are: it has a file, or is a folder."""
    return file_of(text).endswith(".py") or os.path.isdir(text)


def file_of(place: str) -> str:
    """The file of `FILE.py::NAME`."""
    return place.partition("::")[0]


def module_of(place: str, program: object) -> str | None:
    """Where a test beside the file can import the program from; None for a scenario of the library.

    Raises: UsageError for a program that is written out, which nothing can import.
    """
    if place.endswith(")"):
        raise UsageError(
            "a program that is written out has no name to import: its own test shows the failure"
        )
    return f"{Path(file_of(place)).stem}:{program_name(program)}" if place else None


def load_program(place: str, wanted: str = "") -> Callable[..., Any]:
    """The program that `FILE.py::NAME` is, or the one in `FILE.py`: called `wanted`, if there are several.

    Raises: UsageError in one sentence if the file cannot be loaded, or has no such program.
    """
    path, _, name = place.partition("::")
    if not path.endswith(".py"):
        raise UsageError(f"{quoted(place)} is not of the form {FORM}")
    module = _load(path)
    if name:
        return _named(module, path, name)
    programs = _programs(module)
    if wanted in programs:
        return programs[wanted]
    if wanted or not programs:
        which = f" {quoted(wanted)}" if wanted else ", a function of a machine"
        raise UsageError(f"{quoted(path)} has no program{which}{_those(module)}")
    if len(programs) > 1:
        raise UsageError(f"{quoted(path)} has several programs, {', '.join(programs)}: say {path}::NAME")
    return next(iter(programs.values()))


def _named(module: ModuleType, path: str, name: str) -> Callable[..., Any]:
    """What has that name, or a program of a `ConcurrentStateMachine` that reads so."""
    short = name.partition("(")[0]
    found: Callable[..., Any] | None = getattr(module, short, None)
    if not callable(found):
        raise UsageError(f"{quoted(path)} has no program {quoted(name)}{_those(module)}")
    read = getattr(found, "program", None)
    if isinstance(found, type) and read is not None:
        program: Callable[..., Any] = read(name)
        return program
    if short != name:
        raise UsageError(f"{quoted(short)} of {quoted(path)} is no class of concurrent programs")
    return found


def load_scenarios(place: str) -> Iterator[Any]:
    """The scenarios of a file, or of all files of a folder whose name does not begin with an underscore.

    Raises: UsageError in one sentence if one cannot be loaded, or there is no scenario.
    """
    if file_of(place) != place:
        yield load_program(place)
        return
    none = True
    for file in _files(place):
        for scenario in _marked(_load(file)):
            none = False
            yield scenario
    if none:
        raise UsageError(f"{quoted(place)} has no scenario: mark a program with @vmsmp.scenario(cpus=N)")


def _files(place: str) -> list[str]:
    """The files of a place, in order of name."""
    if not os.path.isdir(place):
        return [place]
    folder = Path(place)
    inside = (path.relative_to(folder) for path in folder.rglob("*.py"))
    return [str(folder / path) for path in sorted(inside) if not any(part[0] in "._" for part in path.parts)]


def _those(module: ModuleType) -> str:
    names = ", ".join(_programs(module))
    return f": there are {names}" if names else ""


def _programs(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """What a module has of its own to run, by name: its scenarios, or else its functions of one argument."""
    return {program_name(thing): thing for thing in _marked(module) or filter(_takes_a_machine, _own(module))}


def _own(module: ModuleType) -> list[Callable[..., Any]]:
    """What a module has of its own that can be called."""
    return [
        thing
        for name, thing in vars(module).items()
        if callable(thing) and getattr(thing, "__module__", "") == module.__name__ and name[0] != "_"
    ]


def _marked(module: ModuleType) -> list[Callable[..., Any]]:
    """The scenarios among them."""
    return [thing for thing in _own(module) if hasattr(thing, "tags")]


def _takes_a_machine(thing: object) -> bool:
    """Whether it is a function with one argument that must be given."""
    if not inspect.isfunction(thing):
        return False
    needed = [p for p in inspect.signature(thing).parameters.values() if p.default is p.empty]
    return len(needed) == 1 and needed[0].kind in (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    )


def _load(path: str) -> ModuleType:
    """The module in that file, loaded as a module of its own name; what is beside it can be imported.

    Its scenarios say where they are.
    Raises: UsageError in one sentence.
    """
    try:
        file = Path(path).resolve()
        with file.open("rb"):
            pass
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {quoted(path)}: {getattr(error, 'strerror', None) or error}") from None
    name = f"vmsmp_program_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        _cannot_load(path, file, error)
    for scenario in _marked(module):
        scenario.place = f"{path}::{program_name(scenario)}"  # type: ignore[attr-defined]  # it is a Scenario
    return module


def _cannot_load(path: str, file: Path, error: BaseException) -> NoReturn:
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)
    ]
    if isinstance(error, SyntaxError) and error.filename == str(file):
        lines.append(error.lineno)
    where = f", line {lines[-1]}" if lines else ""
    raise UsageError(
        f"cannot load {quoted(path)}{where}: {type(error).__name__}: {quoted(error, 200)}"
    ) from None
