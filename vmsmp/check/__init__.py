"""Checkers: pure observers, one kind of rule per module, which never change a run."""

from __future__ import annotations

from vmsmp.check.deadlock import Deadlock
from vmsmp.check.exclusion import Exclusion
from vmsmp.check.field_locks import FieldLocks
from vmsmp.check.happens_before import HappensBefore
from vmsmp.check.leak import Leak
from vmsmp.check.ledger import Ledger
from vmsmp.check.livelock import Livelock
from vmsmp.check.lock_order import LockOrder
from vmsmp.check.misuse import Misuse
from vmsmp.check.mmu import Translations
from vmsmp.check.records import Records
from vmsmp.check.starvation import Starvation
from vmsmp.check.states import LockStates
from vmsmp.check.textbook import RULES as TEXTBOOK_RULES
from vmsmp.check.vm import RULES, SYSTEM
from vmsmp.check.vm.mappings import Mappings
from vmsmp.check.vm.memory import UserMemory
from vmsmp.check.vm.pmap_inval import Shootdowns
from vmsmp.check.vm.vm_map import Backings
from vmsmp.check.vm.vm_pageout import Sweeps
from vmsmp.check.wakeup import LostWakeup
from vmsmp.check.words import StateWords
from vmsmp.engine.observer import Observer

#: How a report classifies this package's frames (`engine.source`).
FRAMES = "machinery"


def checkers(
    on: bool, *, free: bool = False, races: bool = False, exact: bool = True
) -> tuple[Observer, ...]:
    """Make a fresh set of checkers: all of them if `on`, else only those that explain a lack of progress.

    With `free`, only those that work on the free engine; with `races`, the happens-before detector too.
    At the `exact` depth locks are words, at the atomic one they are not: each has a checker of its own.
    """
    made: tuple[Observer, ...] = (Deadlock(), Livelock(), Starvation())
    if on:
        ledger = Ledger(parallel=free)
        states = StateWords() if exact else LockStates()
        mappings = Mappings(ledger)
        records = Records(ledger, (*RULES, *TEXTBOOK_RULES), SYSTEM, states, mappings, parallel=free)
        mappings.records = records
        made = (
            LostWakeup(logged=not free),
            *made,
            Exclusion(),
            states,
            LockOrder(parallel=free),
            Misuse(),
            ledger,
            records,
            mappings,
            Sweeps(ledger),
            Backings(),
            FieldLocks(),
            Translations(),
            Shootdowns(),
            UserMemory(),
            Leak(),
        )
    if races:
        made = (*made, HappensBefore())
    return tuple(observer for observer in made if observer.free or not free)
