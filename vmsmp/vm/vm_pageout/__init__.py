"""vm_pageout.c: the pagedaemon.

| module | contents |
|---|---|
| startup | the words that waiters and the daemon share |
| flush | writing pages out |
| scan | the scans of the queues |
| page | what becomes of an inactive page |
| sysctl | its sysctls |
| daemon | the passes, and when they run |
| deactivate | the limit of a process' resident pages |
| stats | aging of active pages while the pagedaemon is idle |
| killer | who is killed when nothing else helps |
| vmdaemon | who keeps idle processes from running |
"""

from __future__ import annotations

from vmsmp.vm.exports import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "startup": ("Pageout", "startup"),
        "scan": (
            "vm_pageout_free_hold",
            "vm_pageout_scan_hold",
            "_marker",
            "_sweep",
            "_scan",
            "vm_pageout_scan_active",
            "_age",
            "vm_pageout_scan_inactive",
            "vm_pageout_scan_cache",
        ),
        "page": (
            "Laundering",
            "vm_page_requeue",
            "vm_pageout_page",
            "swap_pageouts_ok",
            "_launder",
            "_launder_file",
            "vm_pageout_clean_helper",
        ),
        "sysctl": ("SYSCTLS",),
        "deactivate": ("vm_pageout_map_deactivate_pages", "vm_pageout_mdp_callback"),
        "stats": ("PageStats", "vm_pageout_page_stats"),
        "killer": ("Killer", "vm_pageout_kill", "vm_pageout_scan_callback"),
        "vmdaemon": ("VmDaemon", "vm_req_vmdaemon", "vm_daemon", "vm_daemon_turn", "vm_daemon_stop"),
        "flush": ("vm_pageout_flush", "_written"),
        "daemon": (
            "PAGING_IDLE",
            "PAGING_TARGET1",
            "PAGING_TARGET2",
            "vm_pageout_pass",
            "_kill_for_memory",
            "_Pagedaemon",
            "vm_pageout_thread",
            "vm_pageout_shutdown",
        ),
    },
)
