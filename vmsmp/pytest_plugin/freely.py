"""A search in the free engine: rounds in which CPUs run in parallel, told as the result of a search."""

from __future__ import annotations

import sys
import sysconfig
from typing import Any, Final

import pytest

from vmsmp.campaign.free_run import free_rounds
from vmsmp.campaign.options import Program, options_for
from vmsmp.campaign.outcome import Result
from vmsmp.campaign.search import SCHEDULES

#: Seconds of a test's rounds, where nobody says how many.
FREE_S: Final = 5.0
#: What a free run takes of the options of `vmsmp.explore`; the others are about schedules.
_TAKEN: Final = ("cpus", "locks", "repairs", "mutants", "pages", "pressure", "rounds")


def freely(program: Program, options: dict[str, Any]) -> Result:
    """Run a program as often as a search would, or until the time is up.

    Raises: UsageError for options that cannot be.
    """
    __tracebackhide__ = True
    _check_gil()
    taken = options_for(program, **{name: options[name] for name in _TAKEN if name in options})
    most = options.get("schedules", SCHEDULES)
    rounds = free_rounds(
        program,
        time_s=options.get("time_s") or FREE_S,
        most=most,
        options=taken,
        seed=options["seed"],
        check=options.get("check", True),
        stop_at=most if options.get("stop") == "never" else 1,
    )
    return Result(
        rounds.program,
        "free",
        taken,
        options["seed"],
        rounds.rounds,
        rounds.operations,
        seconds=rounds.seconds,
        interrupted=rounds.interrupted,
        failures=rounds.failures,
        counts=rounds.counts,
        arguments=rounds.arguments,
    )


def _check_gil() -> None:
    """Fail the test where threads could run in parallel, and something keeps them from it."""
    __tracebackhide__ = True
    if sysconfig.get_config_var("Py_GIL_DISABLED") and getattr(sys, "_is_gil_enabled", lambda: True)():
        pytest.fail(
            "this free-threaded Python runs with the GIL on, so nothing runs in parallel: PYTHON_GIL or a "
            "module has switched it on, and with -W error::RuntimeWarning the import of that module fails",
            pytrace=False,
        )
