"""Mutants of the IPIs (sys/kern/lwkt_ipiq.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Mutant

MUTANTS = (
    Mutant(
        "IP-01",
        "vmsmp.sync.thread:lwkt_process_ipiq",
        """
        td.ipi_pending = False
        for source in sorted(td.gd_ipiq):
            while _take(td, td.gd_ipiq[source], 0):
                pass
        _poll_cpusync(td)
        """,
        """
        for source in sorted(td.gd_ipiq):
            _take(td, td.gd_ipiq[source], 0)
        _poll_cpusync(td)
        td.ipi_pending = False
        """,
        "INV-IP1",
        "an IPI that comes while others are taken is forgotten, and its sender waits for ever",
        "flush_before_reuse",
    ),
    Mutant(
        "IP-02",
        "vmsmp.sync.ipiq.fifo:lwkt_wait_ipiq",
        "while fifo.ip_xindex.load() < seq:",
        "if fifo.ip_xindex.load() < seq:",
        "INV-IP1",
        "the sender goes on before the function has run",
        "flush_before_reuse",
    ),
    Mutant(
        "IP-03",
        "vmsmp.sync.ipiq.fifo:spin_for_ipis",
        """
        lwkt_process_ipiq(td)
        td.cpu.machine.engine.pause()
        lwkt_process_ipiq(td)
        """,
        "td.cpu.machine.engine.pause()",
        "INV-DL",
        "two CPUs that wait for one another's answers take no IPIs meanwhile",
        "flush_before_reuse",
    ),
    Mutant(
        "IP-04",
        "vmsmp.sync.ipiq.cpusync:lwkt_cpusync_deinterlock",
        """
        while cs.cs_mack.load() != cs.others:
            spin_for_ipis(td)
        """,
        "",
        "INV-IP1",
        "the initiator goes on before the held CPUs have called the function",
        "ipis_while_asleep_and_waiting",
    ),
)
