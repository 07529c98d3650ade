"""Mutants of the address spaces (sys/vm/vm_map.c), by what they are about."""

from __future__ import annotations

from vmsmp.patches.mutants.vm_map import forks, ranges, spaces

MUTANTS = (*ranges.MUTANTS, *spaces.MUTANTS, *forks.MUTANTS)
