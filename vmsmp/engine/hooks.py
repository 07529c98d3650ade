"""The observers of a machine, sorted by what each wants to see.

A hook that nobody wants costs one loop over an empty tuple.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


class Hooks:
    """The observers of a machine, sorted by hook: `hooks.acquired` is a tuple of callables.

    One instance may serve many executions, one after another; `begin` starts each observer afresh.
    """

    def __init__(self, observers: Iterable[Any] = ()) -> None:
        self.observers = tuple(observers)

    def __getattr__(self, name: str) -> tuple[Callable[..., None], ...]:
        """Sort them by that hook; once, since the result stays as an attribute."""
        if name.startswith("_"):
            raise AttributeError(name)
        found = tuple(getattr(o, name) for o in self.observers if _overrides(type(o), name))
        setattr(self, name, found)
        return found


def _overrides(type_: type, name: str) -> bool:
    """Whether an observer's class has that hook from more than a class that only declares hooks."""
    for cls in type_.__mro__:
        if name in vars(cls):
            return not vars(cls).get("interface", False)
    return False
