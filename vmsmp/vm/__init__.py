"""The model of the VM subsystem: kernel functions by their kernel names, grouped by kernel file.

| module | what is there |
|---|---|
| vm_init | `VmSystem`: the globals, the page array, startup |
| vm_page_h | struct vm_page, flags, the legend of its locks |
| vm_page_queues | the queues, their spinlocks, the search for a page |
| vm_page_busy | hard and soft busy |
| vm_page | insert, remove, rename, hold, wire, activate, valid bits |
| vm_page_lookup, vm_page_hash | finding an object's page |
| vm_page_alloc, vm_page_free | allocating, freeing, caching |
| vm_page_wait, vm_meter | waiting for memory; page counts and thresholds |
| vm_pageout | the pagedaemon's scans |
| vm_page_ddb | what the debugger shows |
| vm_object | objects: token, holds, references, termination |
| pmap | the page table entry that a page sees |

`from vmsmp.vm import vm_page_alloc` works for every public name of these.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = (
    "vm_page_h",
    "vm_page_queues",
    "vm_page_busy",
    "vm_page",
    "vm_page_lookup",
    "vm_page_hash",
    "vm_page_alloc",
    "vm_page_free",
    "vm_page_wait",
    "vm_meter",
    "vm_pageout",
    "vm_object",
    "pmap",
    "vm_page_ddb",
    "vm_init",
)


def __getattr__(name: str) -> Any:
    if not name.startswith("__"):
        for module in _MODULES:
            found = import_module(f"vmsmp.vm.{module}")
            if hasattr(found, name):
                return getattr(found, name)
    raise AttributeError(f"module 'vmsmp.vm' has no attribute {name!r}")
