"""The catalogue of patches: mutants and removals by id, repairs by name; applying those that a run names."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Final

from vmsmp.engine.options import Options
from vmsmp.errors import UsageError, quoted
from vmsmp.patches.mutants import MUTANTS
from vmsmp.patches.patch import Mutant, Patch, Repair, plant
from vmsmp.patches.removals import Removal, all_removals, find_removal
from vmsmp.patches.repairs import REPAIRS

MUTANT_BY_ID: Final[dict[str, Mutant]] = {mutant.ident: mutant for mutant in MUTANTS}
REPAIR_BY_NAME: Final[dict[str, Repair]] = {
    repair.ident: repair for repair in sorted(REPAIRS, key=lambda repair: repair.ident)
}


def check_mutants(idents: Iterable[str]) -> frozenset[str]:
    """Return the ids of mutants and removals as a set.

    Raises: UsageError for an id that is neither's.
    """
    wanted = frozenset(idents)
    for ident in sorted(wanted):
        find_mutant(ident)
    return wanted


def find_mutant(ident: str) -> Mutant | Removal:
    """Return the mutant or removal of that id.

    Raises: UsageError if there is none.
    """
    found = MUTANT_BY_ID.get(ident) or find_removal(ident)
    if found is None:
        raise _unknown("mutant", ident, MUTANT_BY_ID)
    return found


def mutants_matching(patterns: Iterable[str]) -> list[str]:
    """Return the ids of mutants and removals that match a shell pattern, in the order of the catalogue.

    Raises: UsageError for a pattern that matches none.
    """
    idents = [*MUTANT_BY_ID, *(removal.ident for removal in all_removals())]
    found: set[str] = set()
    for pattern in patterns:
        new = [ident for ident in idents if fnmatchcase(ident, pattern)]
        if not new:
            raise UsageError(f"no mutant or removal matches {quoted(pattern)}")
        found.update(new)
    return [ident for ident in idents if ident in found]


def check_repairs(names: Iterable[str]) -> frozenset[str]:
    """Return the names as a set.

    Raises: UsageError for a name that is not in the catalogue.
    """
    wanted = frozenset(names)
    for name in sorted(wanted.difference(REPAIR_BY_NAME)):
        raise _unknown("repair", name, REPAIR_BY_NAME)
    return wanted


def fitting_repairs(mutants: Collection[str]) -> frozenset[str]:
    """Return the repairs that can be in place together with these mutants and what is planted already.

    A mutant may change the very snippet that a repair changes, or do no harm where that is in place.
    """
    options = Options(mutants=frozenset(mutants))
    fitting = frozenset(REPAIR_BY_NAME).difference(*(find_mutant(ident).mended_by for ident in mutants))
    if _can_be_planted(replace(options, repairs=fitting)):
        return fitting
    return frozenset(
        name for name in fitting if _can_be_planted(replace(options, repairs=frozenset((name,))))
    )


def _can_be_planted(options: Options) -> bool:
    try:
        with planted(options):
            return True
    except UsageError:
        return False


def _unknown(what: str, name: str, known: Iterable[str]) -> UsageError:
    return UsageError(f"unknown {what} {quoted(name)}: there are {', '.join(known)}")


def planted(options: Options) -> AbstractContextManager[None]:
    """Run with the repairs and mutants that `options` names in place.

    Mutants come last, so frames of a function that both change show the mutant.
    Raises: UsageError for a name that is not in the catalogue.
    """
    repairs = [REPAIR_BY_NAME[name] for name in sorted(check_repairs(options.repairs))]
    mutants = [find_mutant(ident) for ident in sorted(options.mutants)]
    patches: tuple[Patch, ...] = (*repairs, *mutants)
    return plant(patches)
