"""The kernel debugger's commands, collected from all kernel files."""

from __future__ import annotations

from typing import Final

from vmsmp.vm.vm_object import ddb as vm_object
from vmsmp.vm.vm_page import ddb as vm_page

COMMANDS: Final = (*vm_page.COMMANDS, *vm_object.COMMANDS)
