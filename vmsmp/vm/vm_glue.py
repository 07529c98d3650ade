"""Processes that are swapped out while memory is short, and the swapper that lets them in again.

Models: swapin_request, scheduler, faultin and swapout_procs of sys/vm/vm_glue.c; the wait in userret of
sys/platform/pc64/x86_64/trap.c.
A process that is swapped out (a flag; nothing of it is written anywhere) asks to be let in before it returns
to user mode, and sleeps.  The swapper looks for one that asks, and sleeps if there is none.
Locks: a process' token for its flags.  `scheduler_notify` has none.
Deviations:
  * processes are let in in the order of a list, whatever their priorities; each has slept for long enough to
    be swapped out.
  * the swapper can be stopped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.engine.clock import HZ

if TYPE_CHECKING:
    from vmsmp.sync.token import Token
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_meter.meter import Proc

P_SWAPPEDOUT: Final = 0x00000100
P_SWAPWAIT: Final = 0x00000200
VM_SWAP_NORMAL: Final = 1
VM_SWAP_IDLE: Final = 2

#: The ident on which the swapper pauses.
_PROC0: Final = "proc0"


class Swapper:
    """The globals of vm_glue.c, and all processes, each with its p_token."""

    def __init__(self, vm: VmSystem, allproc: list[Proc]) -> None:
        self.vm = vm
        self.allproc: list[tuple[Proc, Token]] = [(p, vm.machine.token(f"{p.name}.p_token")) for p in allproc]
        self.scheduler_notify = vm.machine.atomic(0, name="scheduler_notify")
        self.stopped = vm.machine.atomic(0, name="swapper.stopped")


def swapin_request(swapper: Swapper) -> None:
    """Wake the swapper, to look for processes that ask to be let in.  Locks: none."""
    if swapper.scheduler_notify.load() == 0:
        swapper.scheduler_notify.store(1)
        swapper.vm.machine.wakeup(swapper.scheduler_notify)


def wait_for_swapin(swapper: Swapper, p: Proc) -> None:
    """Before a return to user mode, wait while the process is swapped out.  Sleeps: until it is let in."""
    token = _token(swapper, p)
    while p.p_flags.load() & P_SWAPPEDOUT:
        token.acquire()
        p.p_flags.setbits(P_SWAPWAIT)
        swapin_request(swapper)
        if p.p_flags.load() & P_SWAPWAIT:
            swapper.vm.machine.tsleep(p, 0, "SWOUT", 0)
        p.p_flags.clearbits(P_SWAPWAIT)
        token.release()


def _token(swapper: Swapper, p: Proc) -> Token:
    return next(token for one, token in swapper.allproc if one is p)


def scheduler(swapper: Swapper) -> None:
    """Let in processes that ask for it, until stopped.  Sleeps: while none does."""
    machine = swapper.vm.machine
    while not swapper.stopped.load():
        swapper.scheduler_notify.store(0)
        chosen = next((one for one in swapper.allproc if one[0].p_flags.load() & P_SWAPWAIT), None)
        if chosen is not None:
            p, token = chosen
            token.acquire()
            faultin(swapper, p)
            token.release()
            continue
        machine.tsleep(_PROC0, 0, "nowork", HZ // 10, overdue=lambda: None)
        if swapper.scheduler_notify.load() == 0 and not swapper.stopped.load():
            machine.tsleep(swapper.scheduler_notify, 0, "nowork", 0)


def faultin(swapper: Swapper, p: Proc) -> None:
    """Let a process in.  Locks: its token."""
    if p.p_flags.load() & P_SWAPPEDOUT:
        p.p_flags.clearbits(P_SWAPPEDOUT | P_SWAPWAIT)
        swapper.vm.machine.wakeup(p)


def swapout_procs(swapper: Swapper, action: int) -> None:
    """Swap processes out, as far as that is asked for (VM_SWAP_NORMAL, _IDLE).  Locks: their tokens."""
    for p, token in swapper.allproc:
        if p.p_flags.load() & P_SWAPPEDOUT:
            continue
        token.acquire()
        if action & (VM_SWAP_NORMAL | VM_SWAP_IDLE):
            p.p_flags.setbits(P_SWAPPEDOUT)
        token.release()


def swapper_stop(swapper: Swapper) -> None:
    """Stop the swapper."""
    swapper.stopped.store(1)
    swapin_request(swapper)
