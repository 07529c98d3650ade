"""Linearizability: whether some order of a history's operations explains all their results.

An operation takes effect at one moment between its call and its return.  A history is linearizable if
there are such moments in whose order a sequential specification gives every recorded result (Herlihy and
Wing, 1990).  `History` records operations in a program, `check` searches for an order, and a `Verdict`
says what was found.  Specifications are in `vmsmp.check.specs`.
"""

from vmsmp.check.linearize.history import Call, History
from vmsmp.check.linearize.operation import ANY, Operation, show
from vmsmp.check.linearize.search import BUDGET, check, check_commits
from vmsmp.check.linearize.specification import Specification
from vmsmp.check.linearize.verdict import Verdict

__all__ = [
    "ANY",
    "BUDGET",
    "Call",
    "History",
    "Operation",
    "Specification",
    "Verdict",
    "check",
    "check_commits",
    "show",
]
