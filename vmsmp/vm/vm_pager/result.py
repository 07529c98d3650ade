"""The results of a pager for a page.

Models: the VM_PAGER constants of sys/vm/vm_pager.h.
Locks: none; these are constants.
Deviations: none known.
"""

from __future__ import annotations

from typing import Final

#: Done.
VM_PAGER_OK: Final = 0
#: Outside of what the pager has.
VM_PAGER_BAD: Final = 1
#: Inside of it, and without data.
VM_PAGER_FAIL: Final = 2
#: The transfer has begun; it is completed later, on any CPU.
VM_PAGER_PEND: Final = 3
#: There are data, and they could not be transferred.
VM_PAGER_ERROR: Final = 4
#: Short of resources for now.
VM_PAGER_AGAIN: Final = 5
