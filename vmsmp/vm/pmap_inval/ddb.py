"""The kernel debugger's command for invalidations in progress.

Models: nothing of the kernel's, which has none for them.
Locks: none; the machine is stopped.
Deviations: the whole of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.vm.command import ShowCommand

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem

_HANDLER: Final = ("", ", in the handler", ", in the handler and asked once more")


def pmap_inval_print(vm: VmSystem) -> list[str]:
    """`show inval`: the masks, then for each CPU whether it is in the handler, and its command."""
    inval = vm.inval
    masks = (
        inval.smp_invmask,
        inval.smp_invltlb_mask,
        inval.smp_smurf_mask,
        inval.smp_idleinvl_mask,
        inval.smp_idleinvl_reqs,
    )
    return [
        ", ".join(f"{mask.name} {mask.state()}" for mask in masks),
        *(
            f"{cpu}: {inval.invinfo(cpu.index).state()}"
            f"{_HANDLER[inval.gd_xinvaltlb[cpu.index]]}{', an IPI is latched' if cpu.latched else ''}"
            for cpu in vm.machine.cpus
        ),
    ]


def _show_inval(vm: VmSystem, _argument: str | None) -> str:
    return "\n".join(pmap_inval_print(vm))


COMMANDS: Final = (
    ShowCommand("inval", (("show inval", "invalidations in progress, and which CPUs answer"),), _show_inval),
)
