"""The events that the VM reports to checkers, besides accesses and shares; each is a value type."""

from __future__ import annotations

from typing import Any, NamedTuple

from vmsmp.engine.cpu import Cpu
from vmsmp.engine.observer import Observer
from vmsmp.vm.vm_object.object import VmObject
from vmsmp.vm.vm_page.page import VmPage


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


class VmObserver(Observer):
    """The hook that delivers events to checkers."""

    interface = True

    def event(self, cpu: Cpu, event: Any) -> None:
        """`cpu` is about to do what `event`, one of this module's types, describes."""
