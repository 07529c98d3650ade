"""`lwkt_switch` of lwkt_thread.c: a thread gives up its CPU, and with it all its tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vmsmp.engine import ops
from vmsmp.engine.wait import WaitEnd
from vmsmp.sync.thread import (
    TDF_RUNQ,
    Switcher,
    Thread,
    forbid_hard_section,
    lwkt_process_ipiq,
    take_latched,
)
from vmsmp.sync.token.stack import lwkt_relalltokens


def lwkt_switch(
    td: Thread,
    code: int = ops.RESUME,
    timeout: int | None = None,
    ended: Callable[[WaitEnd], None] | None = None,
) -> WaitEnd:
    """Give up the CPU: lose all tokens, idle unless on the run queue, take all tokens again.

    `timeout` in ticks bounds the idling, and starts before the tokens are released.  `ended` is called with
    the reason why the idling ended, before the tokens are taken again; the reason is also returned.
    Locks: no spinlock may be held.
    """
    machine: Any = td.cpu.machine
    for hook in machine.hooks.blocking:
        hook(td.cpu, "lwkt_switch")
    forbid_hard_section(td, "Attempt to switch from a fast interrupt, ipi, or hard code section")
    if td.gd_spinlocks:
        machine.panic("lwkt_switch with a spinlock held")
    deadline = None if timeout is None else machine.engine.ticks + max(1, timeout)
    if td.td_toks_array:
        lwkt_relalltokens(td)
    else:
        td.td_toks_have = None
    # The critical section belongs to the thread: while it is switched out its CPU takes IPIs.
    critcount, td.td_critcount = td.td_critcount, 0
    how = _idle(td, code, deadline)
    if ended is not None:
        td.td_critcount = critcount
        ended(how)
        td.td_critcount = 0
    if td.td_toks_array:
        td.td_toks_array[0].tr_tok.regain_all(td)
    td.td_critcount = critcount
    if machine.switcher is not None:
        machine.switcher.enter(td)
    return how


def _idle(td: Thread, code: int, deadline: int | None) -> WaitEnd:
    """Idle until the thread is scheduled, and process IPIs meanwhile."""
    machine: Any = td.cpu.machine
    while True:
        td.idle = True  # set before the state is read: a CPU that changes it afterwards wakes this one
        if td.cpu.latched:
            td.idle = False
            take_latched(td)
            continue
        if td.ipi_pending:
            td.idle = False
            lwkt_process_ipiq(td)
            continue
        if td.td_flags & TDF_RUNQ:
            td.idle = False
            return WaitEnd.GRANTED
        if machine.switcher is not None and not _halts(td, machine.switcher):
            continue
        how: WaitEnd = machine.engine.sleep(
            code, None if deadline is None else deadline - machine.engine.ticks
        )
        td.idle = False
        if machine.switcher is not None:
            machine.switcher.wake(td)
        if how:
            take_latched(td)
            return how


def _halts(td: Thread, switcher: Switcher) -> bool:
    """Give up the thread's address space; return False if an IPI or a wakeup has come meanwhile."""
    td.idle = False
    switcher.halt(td)
    td.idle = True
    if not (td.cpu.latched or td.ipi_pending or td.td_flags & TDF_RUNQ):
        return True
    td.idle = False
    switcher.wake(td)
    return False
