"""The events that the VM reports to checkers, besides accesses and shares; each is a value type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from vmsmp.engine.cpu import Cpu
from vmsmp.engine.observer import Observer
from vmsmp.vm.vm_object.object import VmObject
from vmsmp.vm.vm_page.page import VmPage

if TYPE_CHECKING:
    from vmsmp.vm.pmap.pmap import Pmap
    from vmsmp.vm.vm_map.entry import VmMapEntry
    from vmsmp.vm.vm_map.map import VmMap


class PageAllocated(NamedTuple):
    """An allocator is about to return `page` for the request flags `request`."""

    page: VmPage
    request: int


class PageFound(NamedTuple):
    """A lookup is about to return `page`, busied, as the page of `object` at `pindex`.

    The lookup promises these `valid` bits and, if `idle`, that no one else busies the page.
    """

    page: VmPage
    object: VmObject
    pindex: int
    valid: int = 0
    idle: bool = False


class SweepBegun(NamedTuple):
    """The pagedaemon begins to visit the pages of every queue of the type with that base index."""

    base: int


class SweepEnded(NamedTuple):
    """It has done so.  A `whole` sweep has passed every page that was there when it began."""

    base: int
    whole: bool


class MapSectionEnds(NamedTuple):
    """An exclusive section of `map` is about to end, by an unlock or a downgrade."""

    map: VmMap


class PageEntered(NamedTuple):
    """`page` is about to be mapped at `va` with these rights, for `entry` of a user's map."""

    page: VmPage
    prot: int
    entry: VmMapEntry
    va: int


class FaultEnds(NamedTuple):
    """A fault in `map` is about to return `result`; its CPU had `held` locks and shares as it began."""

    map: VmMap
    result: int
    held: int


class TablesChanged(NamedTuple):
    """The entries of `npgs` pages from `va` on (-1: of all) have just been changed in the tables of `pmap`.

    What CPUs have cached of them by now is to go.  The CPUs of `waiting` are held in the handler meanwhile.
    """

    pmap: Pmap
    va: int
    npgs: int
    waiting: int


class Invalidated(NamedTuple):
    """The invalidation that the CPU began returns: whoever is not in the handler has carried it out."""

    pmap: Pmap


class ContentsDropped(NamedTuple):
    """What the pages of `object` from `start` up to `end` (0: all behind it) hold may be forgotten.

    The pages go one by one, until it is `done`.
    """

    object: VmObject
    start: int
    end: int
    done: bool


class VmObserver(Observer):
    """The hook that delivers events to checkers."""

    interface = True

    def event(self, cpu: Cpu, event: Any) -> None:
        """`cpu` is about to do what `event`, one of this module's types, describes."""


def contents_dropped(obj: VmObject, start: int, end: int, *, done: bool) -> None:
    """Report a `ContentsDropped`."""
    for hook in obj.vm.hooks.event:
        hook(obj.vm.engine.current, ContentsDropped(obj, start, end, done))
