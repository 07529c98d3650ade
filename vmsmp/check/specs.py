"""Sequential specifications: what each operation does when nothing runs concurrently.

An operation is a method of the same name that yields its outcomes in a state: pairs of the state after
it and the result.  No outcome means that the operation is not allowed there.  States are values: equal
states have equal futures.  The owner of a lock is an argument, the same for the release; a CPU's index
will do.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import Any, ClassVar, Final

from vmsmp.check.linearize import ANY
from vmsmp.errors import UsageError

#: The outcomes of an operation: pairs of the state after it and the result.
Outcomes = Iterator[tuple[Hashable, Any]]


class Sequential:
    """A specification with one method for each operation; see `vmsmp.check.linearize.Specification`."""

    operations: ClassVar[tuple[str, ...]] = ()

    def initial(self) -> Hashable:
        """Return the state before the first operation."""
        return ()

    def step(self, state: Any, name: str, args: tuple[Any, ...], result: Any) -> Iterable[Hashable]:
        """Return the states after an operation that gave `result`.

        Raises: UsageError for an unknown operation.
        """
        return [
            after for after, given in self.outcomes(state, name, args) if result is ANY or given == result
        ]

    def results(self, state: Any, name: str, args: tuple[Any, ...]) -> Iterable[Any]:
        """Return the results that the operation may give in `state`.

        Raises: UsageError for an unknown operation.
        """
        return [given for _, given in self.outcomes(state, name, args)]

    def outcomes(self, state: Any, name: str, args: tuple[Any, ...]) -> Outcomes:
        """Return the states after the operation, each with its result.

        Raises: UsageError for an unknown operation.
        """
        if name not in self.operations:
            known = ", ".join(self.operations)
            raise UsageError(f"{type(self).__name__} has no operation {name!r}, only {known}")
        outcomes: Outcomes = getattr(self, name)(state, *args)
        return outcomes

    def key(self, name: str, args: tuple[Any, ...]) -> Hashable | None:
        """Return the part of the history that the operation belongs to."""
        return None


class Register(Sequential):
    """One word of memory."""

    operations = ("load", "store", "cmpset", "fetchadd")

    def __init__(self, value: Hashable = 0) -> None:
        self.value = value

    def initial(self) -> Hashable:
        return self.value

    def load(self, state: Any) -> Outcomes:
        yield state, state

    def store(self, state: Any, value: Hashable) -> Outcomes:
        yield value, None

    def cmpset(self, state: Any, old: Hashable, new: Hashable) -> Outcomes:
        """Return True if the word was `old`, which becomes `new`."""
        yield (new, True) if state == old else (state, False)

    def fetchadd(self, state: Any, addend: int) -> Outcomes:
        """Return the value before."""
        yield state + addend, state


class Queue(Sequential):
    """First in, first out; `get` from an empty queue returns None, so do not put None."""

    operations = ("put", "get")

    def put(self, state: Any, value: Hashable) -> Outcomes:
        yield (*state, value), None

    def get(self, state: Any) -> Outcomes:
        yield (state[1:], state[0]) if state else (state, None)


class Mutex(Sequential):
    """One owner at a time.

    `may_fail`: a try may fail although the lock is free, as with the kernel's spinlocks when a CPU
    waits.
    """

    operations = ("acquire", "try_acquire", "release")

    def __init__(self, *, may_fail: bool = False) -> None:
        self.may_fail = may_fail

    def acquire(self, state: Any, who: Hashable) -> Outcomes:
        if not state:
            yield (who,), None

    def try_acquire(self, state: Any, who: Hashable) -> Outcomes:
        if not state:
            yield (who,), True
        if state or self.may_fail:
            yield state, False

    def release(self, state: Any, who: Hashable) -> Outcomes:
        if state == (who,):
            yield (), None


class RwLock(Sequential):
    """One owner or any number of readers; a reader may hold it several times.

    `may_fail`: a try or an upgrade may fail although no one else holds it, as with the kernel's locks
    when a CPU waits.
    """

    operations = (
        "acquire",
        "try_acquire",
        "release",
        "acquire_shared",
        "try_acquire_shared",
        "release_shared",
        "try_upgrade",
        "downgrade",
    )

    # A state is the owner, if any, and each reader with its number of holds.
    _FREE: Final = ((), frozenset[tuple[Hashable, int]]())

    def __init__(self, *, may_fail: bool = False) -> None:
        self.may_fail = may_fail

    def initial(self) -> Hashable:
        return self._FREE

    def acquire(self, state: Any, who: Hashable) -> Outcomes:
        if state == self._FREE:
            yield ((who,), frozenset()), None

    def try_acquire(self, state: Any, who: Hashable) -> Outcomes:
        if state == self._FREE:
            yield ((who,), frozenset()), True
        if state != self._FREE or self.may_fail:
            yield state, False

    def release(self, state: Any, who: Hashable) -> Outcomes:
        if state[0] == (who,):
            yield self._FREE, None

    def acquire_shared(self, state: Any, who: Hashable) -> Outcomes:
        owner, readers = state
        if not owner:
            yield ((), readers | {(who, _holds(readers, who) + 1)}), None

    def try_acquire_shared(self, state: Any, who: Hashable) -> Outcomes:
        owner, readers = state
        if not owner:
            yield ((), readers | {(who, _holds(readers, who) + 1)}), True
        if owner or self.may_fail:
            yield state, False

    def release_shared(self, state: Any, who: Hashable) -> Outcomes:
        _, readers = state
        holds = _holds(readers, who)
        if holds:
            yield ((), readers - {(who, holds)}), None

    def try_upgrade(self, state: Any, who: Hashable) -> Outcomes:
        """Return True if the reader is the only one and holds it once; it becomes the owner."""
        _, readers = state
        alone = readers == {(who, 1)}
        if alone:
            yield ((who,), frozenset()), True
        if _holds(readers, who) and (not alone or self.may_fail):
            yield state, False

    def downgrade(self, state: Any, who: Hashable) -> Outcomes:
        """The owner becomes a reader."""
        if state[0] == (who,):
            yield ((), frozenset(((who, 1),))), None


def _holds(readers: frozenset[tuple[Hashable, int]], who: Hashable) -> int:
    """Count the holds of a reader."""
    count = 0
    while (who, count + 1) in readers:
        count += 1
    return count


class PageQueue(Sequential):
    """Lists of pages, each checked separately; `take_first` from an empty list returns None.

    A page on the list cannot be inserted again; a page that is not on it cannot be removed.
    """

    operations = ("insert_tail", "insert_head", "remove", "take_first")

    def key(self, name: str, args: tuple[Any, ...]) -> Hashable | None:
        """Return the queue, in a tuple since it may be None."""
        return args[:1]

    def insert_tail(self, state: Any, queue: Hashable, page: Hashable) -> Outcomes:
        if page not in state:
            yield (*state, page), None

    def insert_head(self, state: Any, queue: Hashable, page: Hashable) -> Outcomes:
        if page not in state:
            yield (page, *state), None

    def remove(self, state: Any, queue: Hashable, page: Hashable) -> Outcomes:
        if page in state:
            yield tuple(other for other in state if other != page), None

    def take_first(self, state: Any, queue: Hashable) -> Outcomes:
        yield (state[1:], state[0]) if state else (state, None)


class Allocator(Sequential):
    """Allocates any of its pages, each to one owner at a time.

    It returns None only when all are allocated or, with `may_fail`, at any time: per-CPU caches and
    reserves hold pages back.
    """

    operations = ("alloc", "free")

    def __init__(self, pages: Iterable[Hashable], *, may_fail: bool = False) -> None:
        self.pages = tuple(pages)
        self.may_fail = may_fail

    def initial(self) -> Hashable:
        """Return the state in which no page is allocated."""
        return frozenset[Hashable]()

    def step(self, state: Any, name: str, args: tuple[Any, ...], result: Any) -> Iterable[Hashable]:
        """Return the states after an operation; do not try every page if the result says which.

        Raises: UsageError for an unknown operation.
        """
        if name == "alloc" and result is not ANY and result is not None:
            return [state | {result}] if result in self.pages and result not in state else []
        return super().step(state, name, args, result)

    def alloc(self, state: Any) -> Outcomes:
        for page in self.pages:
            if page not in state:
                yield state | {page}, page
        if self.may_fail or len(state) == len(self.pages):
            yield state, None

    def free(self, state: Any, page: Hashable) -> Outcomes:
        if page in state:
            yield state - {page}, None


class BuddyBlocks(Sequential):
    """A buddy allocator over zones `(name, first, end)`, which are asked in this order.

    A state has, by zone, the set of its free frames.  The free blocks follow from it: frames are merged into
    the largest possible blocks.  `alloc` returns the lowest of the smallest blocks that fit, from the first
    zone that has one; with `may_fail` it may skip zones, since it looks at them one after the other.
    """

    operations = ("alloc", "free")

    def __init__(
        self, zones: Iterable[tuple[str, int, int]], max_order: int, *, may_fail: bool = False
    ) -> None:
        self.zones = tuple(zones)
        self.max_order = max_order
        self.may_fail = may_fail

    def initial(self) -> Hashable:
        """Return the state in which all frames are free."""
        return tuple(frozenset(range(first, end)) for _, first, end in self.zones)

    def alloc(self, state: Any, order: int) -> Outcomes:
        """Return the first frame of a block, or None."""
        for n, free in enumerate(state):
            block = self._smallest(free, order)
            if block is not None:
                taken = free - frozenset(range(block, block + (1 << order)))
                yield (*state[:n], taken, *state[n + 1 :]), block
                if not self.may_fail:
                    return
        yield state, None

    def _smallest(self, free: frozenset[int], order: int) -> int | None:
        """Return the lowest of the smallest free blocks that fit."""
        for fits in range(order, self.max_order + 1):
            for block in sorted(free):
                if self._is_block(free, block, fits):
                    return block
        return None

    def _is_block(self, free: frozenset[int], block: int, order: int) -> bool:
        """Whether a free block of that order starts there, and is not part of a larger one."""
        if block % (1 << order) or not free.issuperset(range(block, block + (1 << order))):
            return False
        above = block & ~(1 << order)
        whole = free.issuperset(range(above, above + (2 << order)))
        return order == self.max_order or not whole

    def free(self, state: Any, block: int, order: int) -> Outcomes:
        """Free a block; none of its frames may be free."""
        frames = frozenset(range(block, block + (1 << order)))
        for n, (_, first, end) in enumerate(self.zones):
            if first <= block < end and not frames & state[n]:
                yield (*state[:n], state[n] | frames, *state[n + 1 :]), None


class Residency(Sequential):
    """The page that an object has at an index; each index of each object is checked separately.

    `insert` returns False if there is a page; `remove` needs one.  `lookup_hint` may miss a page, as a
    lookup cache does.
    """

    operations = ("insert", "remove", "lookup", "lookup_hint")

    def key(self, name: str, args: tuple[Any, ...]) -> Hashable | None:
        """Return the object and the index."""
        return args[:2]

    def insert(self, state: Any, obj: Hashable, pindex: int, page: Hashable) -> Outcomes:
        yield ((page,), True) if not state else (state, False)

    def remove(self, state: Any, obj: Hashable, pindex: int) -> Outcomes:
        if state:
            yield (), None

    def lookup(self, state: Any, obj: Hashable, pindex: int) -> Outcomes:
        yield state, state[0] if state else None

    def lookup_hint(self, state: Any, obj: Hashable, pindex: int) -> Outcomes:
        yield state, None
        if state:
            yield state, state[0]


class AddressMap(Sequential):
    """A map of `pages` pages: each is free (None), or mapped with `(rights, inheritance)`.

    Ranges are given by their first page and their number of pages.
    """

    operations = ("map", "find", "remove", "protect", "inherit", "allows", "fork")

    def __init__(self, pages: int, inheritance: Hashable, none: Hashable) -> None:
        """`inheritance` is that of a new range, `none` that of a range that a fork leaves out."""
        self.pages = pages
        self.inheritance = inheritance
        self.none = none

    def initial(self) -> Hashable:
        """Return the state in which nothing is mapped."""
        return (None,) * self.pages

    def map(self, state: Any, first: int, count: int, prot: int) -> Outcomes:
        """Map a range unless a page of it is mapped; return whether it was mapped."""
        if any(state[first : first + count]):
            yield state, False
        else:
            yield _changed(state, first, count, (prot, self.inheritance)), True

    def find(self, state: Any, count: int, prot: int) -> Outcomes:
        """Map a range at the first place with room; return its first page, or None."""
        for first in range(self.pages - count + 1):
            if not any(state[first : first + count]):
                yield _changed(state, first, count, (prot, self.inheritance)), first
                return
        yield state, None

    def remove(self, state: Any, first: int, count: int) -> Outcomes:
        yield _changed(state, first, count, None), None

    def protect(self, state: Any, first: int, count: int, prot: int) -> Outcomes:
        """Give the mapped pages of the range these rights; skip holes."""
        changed = [page and (prot, page[1]) for page in state[first : first + count]]
        yield (*state[:first], *changed, *state[first + count :]), None

    def inherit(self, state: Any, first: int, count: int, inheritance: Hashable) -> Outcomes:
        """Give the mapped pages of the range that inheritance; skip holes."""
        changed = [page and (page[0], inheritance) for page in state[first : first + count]]
        yield (*state[:first], *changed, *state[first + count :]), None

    def allows(self, state: Any, first: int, count: int, prot: int) -> Outcomes:
        """Return whether the whole range is mapped with all these rights."""
        yield state, all(page and page[0] & prot == prot for page in state[first : first + count])

    def fork(self, state: Any) -> Outcomes:
        """Return the pages of a forked copy of the map."""
        yield state, tuple(None if page and page[1] == self.none else page for page in state)


def _changed(state: Any, first: int, count: int, page: Hashable) -> Hashable:
    """Return the state with the pages of a range replaced."""
    return (*state[:first], *((page,) * count), *state[first + count :])
