"""What a project says of itself: the table `[tool.vmsmp]` of its `pyproject.toml`.

    [tool.vmsmp]
    scenarios = ["races"]    # files and folders of scenarios of its own, beside the pyproject.toml
    sched = "pct:3"          # how `vmsmp run` and the fixture `explore` search
    schedules = 2000         # and how many schedules
    seed = 7                 # and the base seed

An option of the command line and its `VMSMP_*` variable come before it.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from vmsmp.errors import UsageError, quoted

NAME: Final = "pyproject.toml"


@dataclass(frozen=True, slots=True)
class Project:
    """The table of one project; what it does not say is None, or empty."""

    scenarios: tuple[str, ...] = ()
    sched: str | None = None
    schedules: int | None = None
    seed: int | None = None


def project_here() -> Project:
    """The project that one stands in.

    Raises: UsageError, as `project_at` does.
    """
    try:
        folder = Path.cwd()
    except OSError:  # it is gone
        return Project()
    return project_at(folder)


def project_at(folder: Path) -> Project:
    """The project that the folder belongs to: the nearest one above it that has the table.

    The paths of its scenarios are as seen from the folder where one stands.
    Raises: UsageError in one sentence for a file that cannot be read, a strange key or a value that is none.
    """
    for home in (folder, *folder.parents):
        file = home / NAME
        table = _table(file) if file.is_file() else None
        if table is not None:
            return _project(table, file)
    return Project()


def _table(file: Path) -> dict[str, Any] | None:
    """The table of a file, None if it has none."""
    try:
        text = file.read_text(encoding="utf-8")
        if "vmsmp" not in text:
            return None
        tool = tomllib.loads(text).get("tool", {})
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {quoted(_shown(file))}: {quoted(error, 200)}") from None
    table = tool.get("vmsmp") if isinstance(tool, dict) else None
    if table is not None and not isinstance(table, dict):
        raise UsageError(f"{_shown(file)}: [tool.vmsmp] is no table")
    return table


def _project(table: dict[str, Any], file: Path) -> Project:
    known = [one.name for one in fields(Project)]
    for key, value in table.items():
        if key not in known:
            there = ", ".join(known)
            raise UsageError(f"{_shown(file)}: [tool.vmsmp] has no key {quoted(key)}: there are {there}")
        what, good = _KINDS[key]
        if not good(value):
            raise UsageError(f"{_shown(file)}: {key} of [tool.vmsmp] must be {what}, not {quoted(value)}")
    scenarios = tuple(os.path.relpath(file.parent / place) for place in table.get("scenarios", ()))
    return Project(**table | {"scenarios": scenarios})


def _is_scheduler(value: Any) -> bool:
    from vmsmp.sched.names import make_scheduler  # here, as pytest looks at a project whenever it starts

    try:
        make_scheduler(value, 0)
    except UsageError:
        return False
    return True


def _number_from(low: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and value >= low


#: What each key takes, and whether a value is that.
_KINDS: Final[dict[str, tuple[str, Callable[[Any], bool]]]] = {
    "scenarios": (
        "a list of files and folders",
        lambda value: isinstance(value, list) and all(isinstance(place, str) for place in value),
    ),
    "sched": ("a scheduler such as pct:3", lambda value: isinstance(value, str) and _is_scheduler(value)),
    "schedules": ("a number from 1", _number_from(1)),
    "seed": ("a number from 0", _number_from(0)),
}


def _shown(file: Path) -> str:
    return os.path.relpath(file)
