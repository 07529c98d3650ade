"""IPIs: a CPU makes others run a function, and may wait until they have.

Models: sys/kern/lwkt_ipiq.c.
`func(*args)` runs on the target: the machine's `curcpu` is that CPU, in a critical section and a hard
section.  It may take spinlocks, try to take tokens, wake up and send more; it may not block.  Each pair of
CPUs has a FIFO, so functions of one source run in order; those of different sources do not.  They may run
late: `thread` says when a CPU takes its IPIs.  A CPU that has not started, or has ended, takes them, too.
What the sender did before is ordered before the function; what the function did is ordered before the return
of `lwkt_wait_ipiq`, and before nothing else.
Locks: none needed.  Sends spin, in a hard section, while the FIFO is too full.
Deviations:
  * a send, taking a function and its completion are one visible operation each: the FIFO's indexes,
    `gd_ipimask` and `gd_npoll` are not words of their own.
  * no passive sends, which wait for the target's next tick.
  * *atomic*: a FIFO is never too full.

| module | contents |
|---|---|
| fifo | sending, to one CPU or to those of a mask; waiting |
| vector | IPIs with a vector of their own, taken in critical sections, too |
| cpusync | CPUs that are held inside an IPI until a change is made |
"""

from __future__ import annotations

from vmsmp.sync.ipiq.cpusync import (
    Cpusync,
    lwkt_cpusync_deinterlock,
    lwkt_cpusync_interlock,
    lwkt_cpusync_quick,
    lwkt_cpusync_simple,
)
from vmsmp.sync.ipiq.fifo import (
    cpus_of,
    lwkt_send_ipiq,
    lwkt_send_ipiq_mask,
    lwkt_synchronize_ipiqs,
    lwkt_wait_ipiq,
    send,
    spin_for_ipis,
)
from vmsmp.sync.ipiq.vector import all_but_self_ipi, selected_apic_ipi, single_apic_ipi

__all__ = [
    "Cpusync",
    "all_but_self_ipi",
    "cpus_of",
    "lwkt_cpusync_deinterlock",
    "lwkt_cpusync_interlock",
    "lwkt_cpusync_quick",
    "lwkt_cpusync_simple",
    "lwkt_send_ipiq",
    "lwkt_send_ipiq_mask",
    "lwkt_synchronize_ipiqs",
    "lwkt_wait_ipiq",
    "selected_apic_ipi",
    "send",
    "single_apic_ipi",
    "spin_for_ipis",
]
