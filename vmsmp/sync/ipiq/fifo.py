"""Sending IPIs, and waiting until the functions sent have run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from vmsmp.engine import ops
from vmsmp.sync.errno import PINTERLOCKED
from vmsmp.sync.services import Services
from vmsmp.sync.thread import (
    Fifo,
    Thread,
    crit_enter,
    crit_exit,
    curthread,
    lwkt_process_ipiq,
    lwkt_process_ipiq_nested,
    thread_of,
)

#: How many functions a FIFO holds.
MAXCPUFIFO: Final = 256
#: The number of entries at which the sender waits, and down to which; then the same inside an IPI.
IPIQ_LIMITS: Final = (128, 64)
IPIQ_LIMITS_NESTED: Final = (253, 251)
_MAX_NESTING: Final = 20


def send(machine: Services, target: Thread, call: Callable[[], object]) -> None:
    """Make the target's CPU call `call`, which must not wait; the own CPU calls it at once.

    For IPIs that touch only what the target's CPU touches in critical sections: taking one and completing it
    are not visible operations.
    """
    td = curthread(machine)
    if target is td:
        call()
        return
    machine.point(target.ident << ops.KIND_BITS | ops.IPI)
    crit_enter(td)
    td.gd_intr_nesting_level += 1
    if td.gd_intr_nesting_level > _MAX_NESTING:
        machine.panic("lwkt_send_ipiq: nested too deeply")
    fifo = _fifo(td, target)
    most, least = IPIQ_LIMITS_NESTED if td.gd_processing_ipiq else IPIQ_LIMITS
    if machine.exact and len(fifo.entries) > most:
        _wait_for_room(td, fifo, least)
    if machine.exact and len(fifo.entries) > most:
        machine.panic(f"INV-IP1: more than {most} functions wait in one FIFO")
    fifo.entries.append(call)
    target.ipi_pending = True
    if target.idle:
        target.idle = False
        machine.engine.ready(target.cpu)
    else:
        machine.engine.rouse(target.cpu)
    td.gd_intr_nesting_level -= 1
    crit_exit(td)


def _fifo(td: Thread, target: Thread) -> Fifo:
    return target.gd_ipiq.setdefault(td.cpu.index, Fifo())


def _wait_for_room(td: Thread, fifo: Fifo, least: int) -> None:
    before, fifo.ip_drain = fifo.ip_drain, least
    while len(fifo.entries) > least:
        if len(fifo.entries) >= MAXCPUFIFO - 1:
            td.cpu.machine.panic("lwkt_send_ipiq: the FIFO is full")
        lwkt_process_ipiq_nested(td)
        td.cpu.machine.engine.yield_()
    fifo.ip_drain = before


def lwkt_send_ipiq(machine: Services, target: Thread, func: Callable[..., object], *args: Any) -> int:
    """Make the target's CPU call `func(*args)`, asynchronously; the own CPU calls it at once.

    Returns a number for `lwkt_wait_ipiq`.
    """
    td = curthread(machine)
    if target is td:
        func(*args)
        return 0
    fifo = _fifo(td, target)
    if fifo.ip_xindex is None:
        fifo.ip_xindex = machine.atomic(0, f"cpu{td.cpu.index}.ipiq[{target.cpu.index}].xindex")
    fifo.ip_windex += 1
    number = fifo.ip_windex

    def call() -> None:
        machine.point(target.ident << ops.KIND_BITS | ops.ATOMIC_LOAD)
        func(*args)
        fifo.ip_xindex.store(number)

    send(machine, target, call)
    return number


def lwkt_send_ipiq_mask(machine: Services, mask: int, func: Callable[..., object], *args: Any) -> int:
    """Make every CPU of the mask call `func(*args)`; return how many these are.

    In order from the own CPU, which calls it at once, upwards, then from CPU 0.
    Raises: ValueError for a CPU that the machine does not have.
    """
    own = curthread(machine).cpu.index
    named = cpus_of(machine, mask)
    for index in [n for n in named if n >= own] + [n for n in named if n < own]:
        lwkt_send_ipiq(machine, thread_of(machine, machine.cpus[index]), func, *args)
    return len(named)


def cpus_of(machine: Services, mask: int) -> list[int]:
    """The CPUs of the mask, lowest first.

    Raises: ValueError for a CPU that the machine does not have.
    """
    if mask < 0 or mask >> len(machine.cpus):
        raise ValueError(f"CPU mask {mask:#x}: the machine has {len(machine.cpus)} CPUs so far")
    return [index for index in range(len(machine.cpus)) if mask >> index & 1]


def lwkt_wait_ipiq(machine: Services, target: Thread, seq: int) -> None:
    """Wait until the target's CPU has done what this one sent up to `seq`; take IPIs meanwhile.

    Locks: no spinlock that an IPI may want.  Spins.
    """
    td = curthread(machine)
    if target is td or not seq:
        return
    fifo = _fifo(td, target)
    if seq > fifo.ip_windex:
        machine.panic(f"lwkt_wait_ipiq: {seq} was not sent")
    crit_enter(td)
    while fifo.ip_xindex.load() < seq:
        spin_for_ipis(td)
    crit_exit(td)


def spin_for_ipis(td: Thread) -> None:
    """One turn of a loop that waits for other CPUs' answers: take IPIs, and pause."""
    lwkt_process_ipiq(td)
    td.cpu.machine.engine.pause()
    lwkt_process_ipiq(td)


def lwkt_synchronize_ipiqs(machine: Services, wmesg: str) -> None:
    """Sleep until every other CPU has done what was sent to it before.  Tokens are lost."""
    own = curthread(machine).cpu.index
    others = [n for n in range(len(machine.cpus)) if n != own]
    mask = machine.atomic(sum(1 << n for n in others), f"{wmesg}.mask", format=bin)

    def arrived() -> None:
        bit = 1 << machine.curcpu.index
        if mask.clearbits(bit) == bit:
            machine.wakeup(mask)

    for n in others:
        lwkt_send_ipiq(machine, thread_of(machine, machine.cpus[n]), arrived)
    while mask.load():
        machine.tsleep_interlock(mask)
        if mask.load():
            machine.tsleep(mask, PINTERLOCKED, wmesg)
