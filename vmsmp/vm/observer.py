"""What the virtual memory tells its checkers beside accesses and shares: events, each a value of its own."""

from __future__ import annotations

from typing import Any, NamedTuple

from vmsmp.engine.cpu import Cpu
from vmsmp.engine.observer import Observer
from vmsmp.vm.vm_object.object import VmObject
from vmsmp.vm.vm_page.page import VmPage


class PageAllocated(NamedTuple):
    """An allocator is about to return `page` for a request with those flags."""

    page: VmPage
    request: int


class PageFound(NamedTuple):
    """A lookup is about to return `page`, busied, as the page of `object` at `pindex`.

    It was asked for with these `valid` bits and, if `idle`, busied by nobody else.
    """

    page: VmPage
    object: VmObject
    pindex: int
    valid: int = 0
    idle: bool = False


class VmObserver(Observer):
    """The hook by which checkers hear of events."""

    interface = True

    def event(self, cpu: Cpu, event: Any) -> None:
        """`cpu` is about to do what the event, one of the types of this module, says."""
