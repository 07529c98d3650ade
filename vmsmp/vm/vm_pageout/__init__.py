"""vm_pageout.c: the pagedaemon.

| module | contents |
|---|---|
| startup | the words that waiters and the daemon share |
| scan | the scans of the queues |
| daemon | the passes, and when they run |
"""

from __future__ import annotations

from vmsmp.vm.exports import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "startup": ("Pageout", "startup"),
        "scan": (
            "vm_pageout_free_hold",
            "_marker",
            "_scan",
            "vm_page_requeue",
            "_usable",
            "vm_pageout_scan_active",
            "vm_pageout_scan_inactive",
            "vm_pageout_scan_cache",
        ),
        "daemon": ("vm_pageout_pass", "_kill_for_memory", "vm_pageout_thread", "vm_pageout_shutdown"),
    },
)
