"""Which program a command is about: a scenario by its name, or one of the user's own by its file."""

from __future__ import annotations

import argparse
import shlex

from vmsmp.campaign.options import Program
from vmsmp.library import Scenario, all_scenarios, find_scenario, own_place, with_own
from vmsmp.program_files import file_of, load_program
from vmsmp.project import project_here


def add_places(parser: argparse.ArgumentParser) -> None:
    """Where scenarios of the user's own are, beside those that the project names."""
    parser.add_argument(
        "--scenarios",
        action="append",
        default=[],
        metavar="DIR",
        help="a folder, or a file, with scenarios of your own; repeatable",
    )


def scenarios_of(places: list[str]) -> dict[str, Scenario]:
    """Every scenario by name: the library's, the project's and those of `places`."""
    return with_own([*project_here().scenarios, *places])


def named_program(text: str, places: list[str]) -> Program:
    """The program in that file, or the scenario of that name, which may be one of `places` or the project's.

    Raises: UsageError in one sentence.
    """
    if file_of(text).endswith(".py"):
        return program_in(text)
    if places or text not in all_scenarios():
        return find_scenario(text, scenarios_of(places))
    return find_scenario(text)


def program_in(text: str, wanted: str = "") -> Program:
    """The program that `FILE.py::NAME` is, or the one in `FILE.py`: called `wanted`, if there are several.

    Raises: UsageError in one sentence if the file cannot be loaded, or has no such program.
    """
    all_scenarios()  # a scenario's own file may be named, and it needs what they share
    return load_program(text, wanted)


def place_of(program: Program, text: str) -> str:
    """Where a command finds a program that the user named by `text`; "" for a scenario of the library."""
    return text if file_of(text).endswith(".py") else own_place(program)


def beside(place: str | None) -> str:
    """What a command that replays a line says of the program's place."""
    return f" {shlex.quote(place)}" if place else ""
