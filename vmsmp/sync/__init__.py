"""The kernel's primitives of synchronisation, names of its functions and fields kept.

Every lock comes at two depths.  *exact* is the kernel's own algorithm on a state word, written once
over `Atomic` and the sleep queues, so that both engines run it and the search can break it.
*atomic* is one step with the same contract, for programs about what lies above.
"""

#: What a report makes of this room's frames (`engine.source`).
FRAMES = "primitive"
