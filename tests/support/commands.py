"""One call of every command that ends soon, with the exit code of its verdict."""

from __future__ import annotations

from typing import Final

import pytest

#: Fails: a terminator sleeps for ever.
FAILING: Final = "v1:refcount_drains+exact+cpus=2+mutant=RC-01a:8:1.2>2,2.4>1"
#: What takes a moment, by name.
QUICK: Final = {
    "list": (["list"], 0),
    "run": (["run", "spin_writers_queue", "--mutant", "SP-05", "--schedules", "300"], 1),
    "replay": (["replay", FAILING, "--all"], 1),
    "replay of another run": (["replay", FAILING, "--digest", "0" * 16], 3),
    "minimize": (["minimize", FAILING], 0),
    "ddb": (["ddb", FAILING, "--step", "3"], 0),
    "doctor": (["doctor"], 0),
    "help": (["--help"], 0),
    "usage": (["run", "no_such_scenario"], 2),
}
#: What takes seconds.
SLOW: Final = {
    "mutants": (["mutants", "SP-05", "--workers", "1"], 0),
    "stress": (["stress", "--minutes", "0.05", "--workers", "1", "--scenarios", "spin_upgrade"], 0),
    "bench": (["bench", "--seconds", "1"], 0),
}


def every(*, quick: bool = True, slowest: bool = True) -> list:
    """All calls as parameters.  The slow ones run with the long tests, and the others only if `quick`."""
    long = pytest.mark.ci
    return [
        *(pytest.param(*call, id=name, marks=() if quick else long) for name, call in QUICK.items()),
        *(
            pytest.param(*call, id=name, marks=long)
            for name, call in SLOW.items()
            if slowest or name != "bench"
        ),
    ]
