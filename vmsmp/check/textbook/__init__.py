"""Rules of the textbook's structures that run on a machine's CPUs, one module per mechanism: `RULES`."""

from __future__ import annotations

from typing import Final

from vmsmp.check.textbook import buddy, clock

RULES: Final = (*buddy.RULES, *clock.RULES)
