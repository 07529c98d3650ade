"""The kernel's synchronisation primitives, under the kernel's names of functions and fields.

Every lock comes at two depths.  *exact* is the kernel's own algorithm on a state word, written once
over `Atomic` and the sleep queues; both engines run it, and the search can break it.  *atomic* has the
same contract in one step, for programs that study what is built on locks.
"""

#: How a report shows this room's frames (`engine.source`).
FRAMES = "primitive"
