"""The daemon that keeps idle processes from running when the pagedaemon asks for it.

Models: vm_req_vmdaemon and vm_daemon of sys/vm/vm_pageout.c.
What is asked for are bits of a word, which are taken all at once.
Locks: none; the word is atomic.
Deviations:
  * the limits of processes' resident pages are left to faults.
  * it ends when it is told to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.engine.clock import HZ
from vmsmp.vm.vm_glue import swapout_procs

if TYPE_CHECKING:
    from vmsmp.vm.vm_glue import Swapper


class VmDaemon:
    """The daemon's globals."""

    def __init__(self, swapper: Swapper) -> None:
        machine = swapper.vm.machine
        self.swapper = swapper
        self.vm_pageout_req_swapout = machine.atomic(0, name="vm_pageout_req_swapout")
        #: The ident on which it sleeps.
        self.vm_daemon_needed = "vm_daemon_needed"
        #: When it was woken last; long ago at first.
        self.lastrun = -2 * HZ
        self.stopped = machine.atomic(0, name="vm_daemon.stopped")


def vm_req_vmdaemon(daemon: VmDaemon) -> None:
    """Wake the daemon, at most once in a second.  Locks: none."""
    machine = daemon.swapper.vm.machine
    if machine.ticks > daemon.lastrun + HZ or machine.ticks < daemon.lastrun:
        machine.wakeup(daemon.vm_daemon_needed)
        daemon.lastrun = machine.ticks


def vm_daemon(daemon: VmDaemon) -> None:
    """Do what is asked for, until told to stop.  Sleeps: until it is woken."""
    while not daemon.stopped.load():
        daemon.swapper.vm.machine.tsleep(daemon.vm_daemon_needed, 0, "psleep", 0)
        vm_daemon_turn(daemon)


def vm_daemon_turn(daemon: VmDaemon) -> None:
    """Take what is asked for, and keep processes from running if that is it.  Sleeps: for tokens."""
    req_swapout = daemon.vm_pageout_req_swapout.swap(0)
    if req_swapout:
        swapout_procs(daemon.swapper, daemon.vm_pageout_req_swapout.load())


def vm_daemon_stop(daemon: VmDaemon) -> None:
    """Tell the daemon to end."""
    daemon.stopped.store(1)
    daemon.swapper.vm.machine.wakeup(daemon.vm_daemon_needed)
