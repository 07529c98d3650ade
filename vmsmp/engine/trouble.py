"""What an exception that ends a CPU's life tells: of the program, of the host, or of vmsmp itself.

An exception that left the program is its failure.  What the host has not (descriptors, threads, memory) and
what a scheduler or an observer raised are no verdict on any program: the execution ends with an error.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Final

from vmsmp.engine import source
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.observer import Observer
from vmsmp.engine.scheduler import Scheduler
from vmsmp.engine.source import Place
from vmsmp.engine.verdict import FailureKind, Violation
from vmsmp.errors import HostError, InternalError, UsageError, VmsmpError, in_words, shorten

#: Errors of the system that say that the host has no more of something.
_USED_UP: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
#: Characters of a headline, and places of an exception, that a report shows.
_LONGEST: Final = 500
_PLACES: Final = 40


def verdict_on(cpu: Cpu, error: BaseException) -> Violation | VmsmpError:
    """What an exception that left a CPU's program comes to: a verdict on the program, or an error."""
    return not_the_program_s(error) or violation_of(cpu, error)


def not_the_program_s(error: BaseException) -> VmsmpError | None:
    """The error that an exception comes to if it says nothing about the program, else None."""
    if isinstance(error, VmsmpError):  # ours or the caller's
        return error
    return host_error(error) or (internal_error(error) if _in_machinery(error) else None)


def host_error(error: BaseException) -> HostError | None:
    """The error to raise instead if the host has not what was asked for, else None."""
    if isinstance(error, MemoryError):
        lacking = "memory"
    elif isinstance(error, OSError) and error.errno in _USED_UP:
        lacking = error.strerror or "descriptors or memory"
    elif isinstance(error, RuntimeError) and "can't start new thread" in in_words(error):
        lacking = "threads"
    else:
        return None
    told = HostError(f"the host has not what the run needs: {lacking}{_raised_in(error)}")
    told.__cause__ = error
    return told


def internal_error(error: BaseException) -> InternalError:
    """The error to raise instead of one that is ours."""
    told = InternalError(f"internal error: {_headline(error)}{_raised_in(error)}")
    told.__cause__ = error
    return told


def foreign_thread() -> UsageError:
    """The error to raise where a thread that is no CPU's performs an operation."""
    return UsageError("a thread of the program's own performs an operation; only CPUs may (m.spawn)")


def violation_of(cpu: Cpu, error: BaseException) -> Violation:
    """The verdict on an exception that left a CPU's program: an assert is a check that failed."""
    places = list(source.raised_at(error.__traceback__))
    if isinstance(error, RecursionError):
        return _too_deep(cpu, [place for place, _ in places])
    facts = tuple(f"{cpu} {place}" for place, _ in places[-_PLACES:])
    if isinstance(error, AssertionError):
        text = in_words(error) or (places[-1][1] if places else None) or "assert"
        return Violation(FailureKind.CHECK, _first_line(text), facts, cpu.index)
    where = places[-1][0].function if places else cpu.name
    if isinstance(error, KeyboardInterrupt):
        facts = (*facts, "the program raised it itself: Ctrl-C reaches no CPU")
    return Violation(FailureKind.EXCEPTION, f"{_headline(error)} in {where}", facts, cpu.index)


def _too_deep(cpu: Cpu, places: list[Place]) -> Violation:
    """The verdict on a recursion without end; how deep it got depends on the host, and is not told."""
    calls = Counter(place.function for place in places)
    where = min(calls, key=lambda name: (-calls[name], name), default=cpu.name)
    spots = dict.fromkeys(f"{cpu} {place}" for place in places if place.function == where)
    facts = (*list(spots)[:_PLACES], "how deep it may go depends on the host: runs of it differ in length")
    message = f"RecursionError: maximum recursion depth exceeded in {where}"
    return Violation(FailureKind.EXCEPTION, message, facts, cpu.index, by_host=True)


def _headline(error: BaseException) -> str:
    words = in_words(error)
    return _first_line(f"{type(error).__name__}: {words}" if words.strip() else type(error).__name__)


def _first_line(text: str) -> str:
    return shorten("".join(text.splitlines()[:1]), _LONGEST)


def _raised_in(error: BaseException) -> str:
    """Where an exception was raised, for the end of a message."""
    trace = error.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f", at {source.place_of(trace.tb_frame.f_code, trace.tb_lineno)}"


def _in_machinery(error: BaseException) -> bool:
    """Whether a scheduler or an observer raised it, or what they called.

    A recursion without end may come to its limit anywhere.
    """
    if isinstance(error, RecursionError):
        return False
    return any(is_machinery_s(frame) for frame in _frames(error.__traceback__))


def _frames(trace: TracebackType | None) -> Iterator[FrameType]:
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next


def is_machinery_s(frame: FrameType) -> bool:
    """Whether a scheduler or an observer runs in that frame."""
    return issubclass(type(frame.f_locals.get("self")), (Scheduler, Observer))
