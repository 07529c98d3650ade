"""Which run a command is about: a schedule line, a file that holds one, or the name of a known finding."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from vmsmp.campaign.findings import findings
from vmsmp.campaign.options import Program
from vmsmp.campaign.outcome import Outcome
from vmsmp.campaign.store.read import find
from vmsmp.campaign.store.schema import MAGIC, connect
from vmsmp.cli.arguments import pattern
from vmsmp.cli.programs import add_places, program_in
from vmsmp.engine.schedule import BYTE_ORDER_MARK, Schedule
from vmsmp.errors import UsageError, quoted
from vmsmp.library import find_scenario, own_place, with_own
from vmsmp.program_files import FORM

#: Bytes of a file in which a line is looked for.
READ: Final = 2**20
#: How the name of a finding of a store begins.
_IDENT: Final = re.compile("f[0-9a-f]{3,12}")
#: What may stand around a line in a text.
_AROUND: Final = "'\"`,;()[]"


def add_line(parser: argparse.ArgumentParser) -> None:
    """The line, and where its program is."""
    parser.add_argument(
        "schedule",
        metavar="LINE|FILE|FINDING",
        help="a schedule line as a report prints it, a file that holds one, the name of a known finding, or "
        "with --store the name of one that is in it",
    )
    parser.add_argument(
        "program",
        nargs="?",
        metavar=FORM,
        help="where the line's program is, unless it is a scenario; a line by itself loads no code",
    )
    add_places(parser)
    parser.add_argument(
        "--store",
        type=pattern("(?s).+", "a file"),
        metavar="FILE",
        help="the store of `vmsmp stress` that has the finding; the beginning of its name is enough",
    )


def line_and_program(args: argparse.Namespace) -> tuple[Schedule, Program]:
    """What the arguments of `add_line` come to.

    Raises: UsageError in one sentence.
    """
    if args.store is not None:
        connect(Path(args.store), write=False).close()  # it must be one, whatever is asked for
    schedule = read_schedule(args.schedule, args.store)
    if args.program is not None:
        return schedule, program_in(args.program, schedule.program)
    known = with_own(args.scenarios)
    place = _place_in_store(args) if schedule.program not in known else ""
    if place:
        raise UsageError(
            f"its program is in {quoted(place)}: name that beside it, since a line loads no code"
        )
    return schedule, find_scenario(schedule.program, known)


def _place_in_store(args: argparse.Namespace) -> str:
    """Where the store says that a finding's program is, if the command is about one."""
    if args.store is None:
        return ""
    try:
        return find(Path(args.store), args.schedule).place
    except UsageError:
        return ""


def place_of_line(args: argparse.Namespace, program: Program) -> str:
    """Where the line's program is; "" for a scenario of the library."""
    return args.program or own_place(program)


def located(outcome: Outcome, place: str) -> Outcome:
    """The outcome whose failure says where its program is."""
    if outcome.failure is None or not place:
        return outcome
    return replace(outcome, failure=replace(outcome.failure, place=place))


def read_schedule(text: str, store: str | None = None) -> Schedule:
    """A schedule from a line, from the first one in a file, or of a finding, known or in a store.

    Raises: UsageError in one sentence.
    """
    text = text.strip().removeprefix(BYTE_ORDER_MARK)
    if re.match("v[^:/]*:", text):
        return Schedule.parse(text)
    try:
        with open(text, "rb") as file:
            content = file.read(READ + 1)
    except (OSError, ValueError):
        return _of_finding(text, store)
    if content.startswith(MAGIC):
        raise UsageError(f"{quoted(text)} is a store: name one of its findings, and the store by --store")
    for word in _words(content):
        if word.startswith("v1:"):
            return Schedule.parse(word)
    raise UsageError(
        f"the file {quoted(text)} holds no schedule line{' in its first MiB' * (len(content) > READ)}"
    )


def _words(content: bytes) -> list[str]:
    """The words of a file's beginning, without one that is cut off."""
    words = content[:READ].decode("utf-8-sig", errors="replace").split()
    if len(content) > READ and not (content[READ - 1 : READ].isspace() or content[READ:].isspace()):
        words = words[:-1]
    return [word.strip(_AROUND) for word in words]


def _of_finding(name: str, store: str | None) -> Schedule:
    """Raises: UsageError if no finding is called so, or only the free engine has seen it."""
    known = {finding.name: finding for finding in findings()}
    if name in known:
        return Schedule.parse(known[name].schedule)
    if store is not None:
        found = find(Path(store), name)
        if not found.line:
            raise UsageError(f"finding {found.ident} was seen by the free engine alone: it has no schedule")
        return Schedule.parse(found.line)
    what = "no schedule line (v1:NAME:SEED:PREEMPTIONS), no file that can be read and no known finding"
    near = get_close_matches(name[:100], known, n=1)
    hint = f": did you mean {near[0]}?" if near else ""
    if _IDENT.fullmatch(name):
        hint = ": name the store that has it (--store FILE)"
    raise UsageError(f"{quoted(name)} is {what}{hint}")
