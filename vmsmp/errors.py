"""What can go wrong, by whose fault it is.

A bug *found* is never an exception for the caller: it is a `Failure` in an `Outcome`.
The classes here are for everything else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class VmsmpError(Exception):
    """Base of the errors that vmsmp raises at its caller."""


class UsageError(VmsmpError, ValueError):
    """What the user asked for cannot be: an unknown scenario, a malformed schedule, a bad option.

    Usual causes: a typing slip, or a schedule line of another program.  The message is one
    sentence and names the offending text; the command line prints it and exits with 2.
    """


class ReplayDiverged(VmsmpError):
    """A replay did not go the way that was recorded.

    Usual causes: the program draws on something that is not part of the schedule (wall time,
    `random`, `id()`, the order of a set), or the line was made by another version of the program.
    """


class HostError(VmsmpError):
    """The host has not what a run needs: descriptors, threads or memory.

    It says nothing about the program.  Usual causes: a limit of the session (`ulimit -n`, `-u`, `-v`), or a
    program that takes without end.
    """


class InternalError(VmsmpError):
    """Something of vmsmp itself raised while a program ran: a scheduler, a checker, the engine.

    The message says what and where; the first cause is its `__cause__`.
    """


class HostHang(VmsmpError):
    """A CPU of a controlled run does not arrive at its next visible operation.

    Usual causes: a loop without an operation, a long sleep in the host, a `threading.Lock` that another CPU
    holds across a visible operation.  A search and a replay make a failure of kind `hang` of it; `hang` has
    what that takes.
    """

    def __init__(self, message: str, hang: Any = None) -> None:
        super().__init__(message)
        self.hang = hang


class Halt(BaseException):
    """Unwinds a CPU after the execution has ended elsewhere.  Never catch it and go on.

    It derives from `BaseException` so that a model's own `except Exception` cannot swallow it.
    """


def shorten(text: str, limit: int = 60) -> str:
    """Cut a long text for a message."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


def quoted(text: object, limit: int = 60) -> str:
    """A text that somebody else wrote, for a message: in quotes, in one line, and cut."""
    return repr(shorten(str(text), limit))


def in_words(thing: object, words: Callable[[Any], str] = str) -> str:
    """The text of something of a program's own, whatever its `__str__` or (`words`) `__repr__` does."""
    try:
        return words(thing).encode("utf-8", "backslashreplace").decode()  # a plain str that can be printed
    except BaseException as error:
        return f"<{type(thing).__name__} whose text cannot be had: {type(error).__name__}>"
