"""Repairs of the swapper (sys/vm/vm_glue.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Repair

REPAIRS = (
    Repair(
        "swapper-interlocks",
        "vmsmp.vm.vm_glue:scheduler",
        """
        if swapper.scheduler_notify.load() == 0 and not swapper.stopped.load():
            machine.tsleep(swapper.scheduler_notify, 0, "nowork", 0)
        """,
        """
        from vmsmp.sync.errno import PINTERLOCKED

        machine.tsleep_interlock(swapper.scheduler_notify)
        if swapper.scheduler_notify.load() == 0 and not swapper.stopped.load():
            machine.tsleep(swapper.scheduler_notify, PINTERLOCKED, "nowork", 0)
        """,
        "the swapper announces its sleep before it looks whether somebody has asked",
    ),
    Repair(
        "swapped-in-is-asked-again",
        "vmsmp.vm.vm_glue:wait_for_swapin",
        "p.p_flags.setbits(P_SWAPWAIT)",
        """
        if not p.p_flags.load() & P_SWAPPEDOUT:
            token.release()
            break
        p.p_flags.setbits(P_SWAPWAIT)
        """,
        "whether the process is still swapped out is tested under its token",
    ),
)
