"""Cpusync: hold other CPUs inside an IPI, change something, and let them continue with it.

`lwkt_cpusync_interlock` returns when all other CPUs of the mask are inside an IPI; none of them can see a
change that is made then half done.  `lwkt_cpusync_deinterlock` lets them call the function and waits until
they have.
A CPU that interlocks is not held by others meanwhile, so two at a time do not deadlock; they do not exclude
each other either.
Locks: a critical section from the interlock to the deinterlock, in which nothing may block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vmsmp.sync.ipiq.fifo import cpus_of, lwkt_send_ipiq_mask, spin_for_ipis
from vmsmp.sync.services import Services
from vmsmp.sync.thread import crit_enter, crit_exit, curthread, lwkt_process_ipiq


class Cpusync:
    """struct lwkt_cpusync: the CPUs that are asked, those that have answered, and what they call."""

    def __init__(self, machine: Services, mask: int, func: Callable[..., object], *args: Any) -> None:
        cpus_of(machine, mask)
        self.machine = machine
        self.cs_mask = mask
        self.cs_mack = machine.atomic(0, "cs_mack", format=bin)
        self.cs_func = func
        self.cs_args = args
        #: The other CPUs of the mask while they are held.
        self.others = 0

    def run(self) -> None:
        self.cs_func(*self.cs_args)


def lwkt_cpusync_simple(machine: Services, mask: int, func: Callable[..., object], *args: Any) -> None:
    """Hold the CPUs of the mask, then make each of them call `func(*args)`, and wait until all have."""
    cs = Cpusync(machine, mask, func, *args)
    lwkt_cpusync_interlock(cs)
    lwkt_cpusync_deinterlock(cs)


def lwkt_cpusync_interlock(cs: Cpusync) -> None:
    """Hold the other CPUs of the mask.  Spins, and takes IPIs meanwhile."""
    td = curthread(cs.machine)
    cs.cs_mack.store(0)
    crit_enter(td)
    cs.others = cs.cs_mask & ~(1 << td.cpu.index)
    td.td_cscount += 1
    lwkt_send_ipiq_mask(cs.machine, cs.others, _remote1, cs)
    while cs.cs_mack.load() != cs.others:
        spin_for_ipis(td)


def lwkt_cpusync_deinterlock(cs: Cpusync) -> None:
    """Let the held CPUs call the function, and this one if it is in the mask; wait until all have."""
    machine = cs.machine
    td = curthread(machine)
    if not td.td_cscount:
        machine.panic("lwkt_cpusync_deinterlock without an interlock")
    cs.cs_mack.store(0)
    if cs.cs_mask >> td.cpu.index & 1:
        cs.run()
    while cs.cs_mack.load() != cs.others:
        spin_for_ipis(td)
    td.td_cscount -= 1
    lwkt_process_ipiq(td)
    crit_exit(td)


def lwkt_cpusync_quick(cs: Cpusync) -> None:
    """Make every CPU of the mask call the function, without holding it first; wait until all have."""
    td = curthread(cs.machine)
    cs.cs_mack.store(0)
    crit_enter(td)
    cs.others = cs.cs_mask & ~(1 << td.cpu.index)
    td.td_cscount += 1
    lwkt_send_ipiq_mask(cs.machine, cs.others, _remote2, cs)
    while cs.cs_mack.load() != cs.others:
        spin_for_ipis(td)
    if cs.cs_mask >> td.cpu.index & 1:
        cs.run()
    td.td_cscount -= 1
    lwkt_process_ipiq(td)
    crit_exit(td)


def _remote1(cs: Cpusync) -> None:
    """Note that the CPU has arrived; it is held until its bit is cleared."""
    cs.cs_mack.setbits(1 << cs.machine.curcpu.index)
    _remote2(cs)


def _remote2(cs: Cpusync) -> None:
    """Call the function once the CPU's bit is clear; until then queue this call again."""
    td = curthread(cs.machine)
    bit = 1 << td.cpu.index
    if cs.cs_mack.load() & bit:
        td.gd_cpusyncq.append(lambda: _remote2(cs))
    else:
        cs.run()
        cs.cs_mack.setbits(bit)
