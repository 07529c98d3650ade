"""Where in the source a step stands, told from the frames of its thread.

Some frames are a kernel primitive (a lock's function) and some are machinery that a report leaves out
(this engine, a checker, the record around a field).  A package says which by a constant `FRAMES`, one
of `Role`, in its `__init__`; a module may say otherwise for itself.  What says nothing is the program's.
A mutated function runs in its module's globals, so it has its module's role.  Where a call is handed on to
such a function, the frame in between is machinery and is nobody's caller.
"""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Final

#: Frames of a CPU that are looked at for one place, at most.
LIMIT: Final = 4
#: The file of a frame that only hands a call on to what its function is replaced by.
DISPATCH: Final = "<dispatch>"


class Role(StrEnum):
    """How a frame is shown to a reader."""

    MACHINERY = "machinery"
    PRIMITIVE = "primitive"
    PROGRAM = "program"


#: On CPython 3.11 a member of an enum costs a call.
_MACHINERY: Final = Role.MACHINERY


#: Frames of their own on CPython 3.11 and part of the function around them from 3.12 on.
_INLINED: Final = ("<listcomp>", "<setcomp>", "<dictcomp>")

#: The package, and beside it in a checkout, else in it, the scenarios.
_PACKAGE: Final = Path(__file__).resolve().parents[1]
_SCENARIOS: Final = "scenarios"


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a function; `file` is what `short_path` leaves of its path."""

    file: str
    line: int
    function: str

    @property
    def spot(self) -> str:
        """`file:line`."""
        return f"{self.file}:{self.line}"

    @property
    def short(self) -> str:
        """`file:line` without the folder; of a mutated function just `mutant:line`.

        A scenario keeps its folders, for many are called like the kernel file that they are about.
        """
        name = self.file if self.file.startswith(f"{_SCENARIOS}/") else self.file.rsplit("/", 1)[-1]
        return f"{'mutant' if name == f'<mutant of {self.function}>' else name}:{self.line}"

    def __str__(self) -> str:
        return f"{self.spot} in {self.function}"


@lru_cache(4096)
def role_in(module: str) -> Role:
    """The role of a module: its own word, else that of the nearest package above it that has one."""
    if module == "threading":  # every thread begins there
        return Role.MACHINERY
    while module:
        loaded = sys.modules.get(module)
        said = vars(loaded).get("FRAMES") if loaded is not None else None
        if said in tuple(Role):
            return Role(said)
        module = module.rpartition(".")[0]
    return Role.PROGRAM


def role_of(frame: FrameType) -> Role:
    """How the frame is shown to a reader."""
    if frame.f_code.co_filename == DISPATCH:
        return _MACHINERY
    return role_in(frame.f_globals.get("__name__") or "")


def outer(frame: FrameType) -> FrameType | None:
    """The frame of the function that called the one this frame is in; what only hands a call on is none."""
    outside = frame.f_back
    while outside is not None and (
        frame.f_code.co_name in _INLINED or outside.f_code.co_filename == DISPATCH
    ):
        frame, outside = outside, outside.f_back
    return outside


def caller(out: int = 0, *, inner: int = 1) -> FrameType:
    """The frame that called into the machinery, or the one that many calls further out.

    `inner` is how many of the innermost frames the caller knows to be machinery.
    """
    frame: FrameType | None = sys._getframe(inner)
    # as `role_of` says, without a call: a ledger asks at every share
    while frame is not None and (
        frame.f_code.co_filename == DISPATCH or role_in(frame.f_globals.get("__name__") or "") is _MACHINERY
    ):
        frame = frame.f_back
    while out and frame is not None:
        frame = outer(frame)
        out -= 1
    if frame is None:
        raise RuntimeError("only machinery called this")
    return frame


def line_of(code: CodeType, instruction: int) -> int:
    """The line that an instruction belongs to, as `FrameType.f_lineno` tells of `f_lasti`."""
    for start, end, line in code.co_lines():
        if start <= instruction < end and line is not None:
            return line
    return code.co_firstlineno


def line_at(frame: FrameType) -> int:
    """The line that a frame is at, also where it is at an instruction of none, such as a jump of a loop."""
    return line_of(frame.f_code, frame.f_lasti)


def place_of(code: CodeType, line: int) -> Place:
    """The place of a line in a function; a comprehension is part of the function around it."""
    return Place(short_path(code.co_filename), line, _function(code))


def _function(code: CodeType) -> str:
    """The name of the function that the code is written in."""
    name = code.co_name
    if name not in _INLINED:
        return name
    around = [part for part in code.co_qualname.split(".") if part not in _INLINED and part != "<locals>"]
    return around[-1] if around else "<module>"


def _inlined(frame: FrameType) -> bool:
    """Whether the frame would be none on a later CPython: its caller's is left out in its stead."""
    return frame.f_code.co_name in _INLINED


@lru_cache(1024)
def short_path(name: str) -> str:
    """What of a path is enough to find the file, with nothing of the machine it lies on.

    The whole path within the package or the scenarios, else the last two parts.
    """
    parts = Path(name.replace("\\", "/")).parts
    for home in (_PACKAGE, _PACKAGE.parent):
        within = parts[len(home.parts) :]
        if parts[: len(home.parts)] == home.parts and (home is _PACKAGE or within[:1] == (_SCENARIOS,)):
            return "/".join(within)
    return "/".join(parts[-2:])


def standing(frame: FrameType | None = None, limit: int = LIMIT) -> tuple[Place, ...]:
    """Where a CPU stands: in which primitive, if any, then where in its program.

    `frame` is the innermost frame of its thread, by default the caller's.
    """
    return _shown(_outwards(frame or sys._getframe(1)), limit)


def left_at(trace: TracebackType | None, limit: int = LIMIT) -> tuple[Place, ...]:
    """Where a CPU stood as an exception ended it, told as `standing` does.

    Its own thread caught that one: without the GIL no frame of a thread that runs can be looked at.
    """
    left: list[tuple[FrameType, int]] = []
    while trace is not None:
        left.append((trace.tb_frame, trace.tb_lasti))
        trace = trace.tb_next
    return _shown(reversed(left), limit)


def _outwards(frame: FrameType | None) -> Iterator[tuple[FrameType, int]]:
    """The frame and those further out, each with its instruction."""
    while frame is not None:
        yield frame, frame.f_lasti
        frame = outer(frame)


def _shown(frames: Iterator[tuple[FrameType, int]], limit: int) -> tuple[Place, ...]:
    """The places that a reader is shown, a primitive only as the innermost one; only theirs are looked up."""
    found: list[Place] = []
    for frame, instruction in frames:
        role = role_of(frame)
        if role is Role.PROGRAM or (role is Role.PRIMITIVE and not found):
            found.append(place_of(frame.f_code, line_of(frame.f_code, instruction)))
            if len(found) == limit:
                break
    return tuple(found)


def raised_at(trace: TracebackType | None) -> Iterator[tuple[Place, str]]:
    """The places an exception came through, outermost first, each with its line of text."""
    frames = [frame for frame, _ in traceback.walk_tb(trace)]
    for frame, inner, summary in zip(frames, [*frames[1:], None], traceback.extract_tb(trace), strict=True):
        if role_of(frame) is not Role.MACHINERY and (inner is None or not _inlined(inner)):
            yield place_of(frame.f_code, summary.lineno or 0), summary.line or ""


def current_frames() -> dict[int, FrameType]:
    """The frame in which every thread of the process stands, by thread identity.

    No collection may begin meanwhile: on CPython 3.11 that can deadlock (gh-106883).
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        return sys._current_frames()
    finally:
        if collects:
            gc.enable()
