"""The interface of sequential specifications."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, Protocol, runtime_checkable


class Specification(Protocol):
    """What the operations mean when they run one after another."""

    def initial(self) -> Hashable:
        """Return the state before the first operation."""

    def step(self, state: Any, name: str, args: tuple[Any, ...], result: Any) -> Iterable[Hashable]:
        """Return the states after the operation: none if it cannot give `result`; for `ANY`, all."""

    def key(self, name: str, args: tuple[Any, ...]) -> Hashable | None:
        """Return the part of the history that it belongs to, or None if it may concern all of it.

        If no operation has None, each part is checked alone, from the initial state.
        """


@runtime_checkable
class KnowsResults(Protocol):
    """A specification that can also say which results would have been right."""

    def results(self, state: Any, name: str, args: tuple[Any, ...]) -> Iterable[Any]:
        """Return the results that the operation may give in `state`."""
