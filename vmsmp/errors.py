"""What can go wrong, by whose fault it is.

A bug *found* is never an exception for the caller: it is a `Failure` in an `Outcome`.
The classes here are for everything else.
"""

from __future__ import annotations


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


class HostHang(VmsmpError):
    """A CPU of a controlled run waits for something in the host that cannot come.

    Usual cause: a `threading.Lock` that another CPU holds across a visible operation.  The message says which
    CPU waits where, and where the others stand.
    """


class Halt(BaseException):
    """Unwinds a CPU after the execution has ended elsewhere.  Never catch it and go on.

    It derives from `BaseException` so that a model's own `except Exception` cannot swallow it.
    """


def shorten(text: str, limit: int = 60) -> str:
    """Cut a long text for a message."""
    return text if len(text) <= limit else text[: limit - 3] + "..."
