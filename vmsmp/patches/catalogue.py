"""The catalogue of patches: mutants by id, repairs by name, and applying those that a run names."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Final

from vmsmp.engine.options import Options
from vmsmp.errors import UsageError
from vmsmp.patches.mutants import MUTANTS
from vmsmp.patches.patch import Mutant, Patch, Repair, plant
from vmsmp.patches.repairs import REPAIRS

MUTANT_BY_ID: Final[dict[str, Mutant]] = {mutant.ident: mutant for mutant in MUTANTS}
REPAIR_BY_NAME: Final[dict[str, Repair]] = {
    repair.ident: repair for repair in sorted(REPAIRS, key=lambda repair: repair.ident)
}


def check_mutants(idents: Iterable[str]) -> frozenset[str]:
    """Return the ids as a set.

    Raises: UsageError for an id that is not in the catalogue.
    """
    return _checked("mutant", idents, MUTANT_BY_ID)


def check_repairs(names: Iterable[str]) -> frozenset[str]:
    """Return the names as a set.

    Raises: UsageError for a name that is not in the catalogue.
    """
    return _checked("repair", names, REPAIR_BY_NAME)


def _checked(what: str, names: Iterable[str], known: Iterable[str]) -> frozenset[str]:
    wanted = frozenset(names)
    for name in sorted(wanted.difference(known)):
        raise UsageError(f"unknown {what} {name!r}: there are {', '.join(known)}")
    return wanted


def planted(options: Options) -> AbstractContextManager[None]:
    """Run with the repairs and mutants that `options` names in place.

    Mutants come last, so frames of a function that both change show the mutant.
    Raises: UsageError for a name that is not in the catalogue.
    """
    repairs = [REPAIR_BY_NAME[name] for name in sorted(check_repairs(options.repairs))]
    mutants = [MUTANT_BY_ID[ident] for ident in sorted(check_mutants(options.mutants))]
    patches: tuple[Patch, ...] = (*repairs, *mutants)
    return plant(patches)
