"""The observers of a machine, sorted by what each wants to see.

A hook that nobody wants costs one loop over an empty tuple.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar, Final, Protocol

#: Every hook, in the order in which `Observer` documents them.
HOOKS: Final = (
    "begin",
    "op",
    "wants",
    "acquired",
    "released",
    "blocking",
    "interlocked",
    "sleeps",
    "woken",
    "wakeup",
    "spawned",
    "joined",
    "access",
    "took",
    "gave",
    "allocated",
    "freed",
    "found",
    "idle",
    "late",
    "endless",
    "quiescent",
    "exits",
    "end",
)


class Watcher(Protocol):
    """An observer, as far as hooks are concerned."""

    #: The hooks that it wants to be called.
    sees: ClassVar[frozenset[str]]


class Hooks:
    """The observers of a machine, sorted by hook: `hooks.acquired` is a tuple of callables.

    One instance may serve many executions, one after another; `begin` starts each observer afresh.
    """

    def __init__(self, observers: Iterable[Watcher] = ()) -> None:
        self.observers = tuple(observers)
        for name in HOOKS:
            setattr(self, name, tuple(getattr(o, name) for o in self.observers if name in o.sees))

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> tuple[Callable[..., None], ...]: ...
