"""`lwkt_switch` of lwkt_thread.c: how a thread gives up its CPU, and what that does to its tokens."""

from __future__ import annotations

from collections.abc import Callable

from vmsmp.engine import ops
from vmsmp.engine.wait import WaitEnd
from vmsmp.sync.thread import TDF_RUNQ, Thread, lwkt_process_ipiq
from vmsmp.sync.token.stack import lwkt_relalltokens


def lwkt_switch(
    td: Thread,
    code: int = ops.RESUME,
    timeout: int | None = None,
    ended: Callable[[WaitEnd], None] | None = None,
) -> WaitEnd:
    """Give up the CPU: lose all tokens, idle unless on the run queue, take all tokens again.

    `timeout` in ticks bounds the idling, and runs while tokens are given up; `ended` is told how it ended
    before there are tokens again.
    Returns the same.
    Locks: no spinlock may be held.
    """
    machine = td.cpu.machine
    for hook in machine.hooks.blocking:
        hook(td.cpu, "lwkt_switch")
    if td.gd_intr_nesting_level:
        machine.panic("Attempt to switch from a fast interrupt, ipi, or hard code section")
    if td.gd_spinlocks:
        machine.panic("lwkt_switch with a spinlock held")
    engine = machine.engine
    deadline = None if timeout is None else engine.ticks + max(1, timeout)
    if td.td_toks_array:
        lwkt_relalltokens(td)
    else:
        td.td_toks_have = None
    how = _idle(td, code, deadline)
    if ended is not None:
        ended(how)
    if td.td_toks_array:
        td.td_toks_array[0].tr_tok.regain_all(td)
    return how


def _idle(td: Thread, code: int, deadline: int | None) -> WaitEnd:
    """Idle until the thread is scheduled, and process IPIs meanwhile."""
    engine = td.cpu.machine.engine
    while True:
        td.idle = True  # set before anything is read: who acts after that wakes us
        if td.ipi_pending:
            td.idle = False
            lwkt_process_ipiq(td)
            continue
        if td.td_flags & TDF_RUNQ:
            td.idle = False
            return WaitEnd.GRANTED
        how = engine.sleep(code, None if deadline is None else deadline - engine.ticks)
        td.idle = False
        if how:
            return how
