"""Rules of the kernel's structures, one module per kernel file: `RULES` by record type, and `SYSTEM`."""

from __future__ import annotations

from typing import Final

from vmsmp.check.vm import vm_meter, vm_object, vm_page

RULES: Final = (*vm_page.RULES, *vm_object.RULES, *vm_meter.RULES)
SYSTEM: Final = (vm_page.SYSTEM, vm_object.SYSTEM, vm_meter.SYSTEM)
