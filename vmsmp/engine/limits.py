"""How much one may ask for: the largest numbers that an option, a schedule line or a machine takes.

What is larger is refused in one line, before anything runs: no machine could give it, or not in a lifetime.
"""

from __future__ import annotations

from typing import Final

from vmsmp.engine import ops

#: CPUs beside the boot CPU.
MOST_CPUS: Final = ops.MAX_CPUS - 1
#: Steps of one execution; its log takes some 100 bytes for ten of them.
MOST_STEPS: Final = 10_000_000
#: Turns to which a scenario's loops may be bounded.
MOST_ROUNDS: Final = 1_000_000
#: Physical pages of a machine, which take half a kilobyte each.
MOST_PAGES: Final = 1 << 20
#: Pages that a run may ask to be free beside those that its program needs.
MOST_FREE: Final = 1 << 16
#: Characters of a schedule line.
LONGEST_LINE: Final = 4_000_000
#: Characters of a program's name, or of a repair's or a mutant's.
LONGEST_NAME: Final = 200
#: Digits of the numbers in a preemption, and of a seed.
NTH_DIGITS: Final = 9
SEED_DIGITS: Final = 16
