"""The fixture `machine`: the test is the program, and runs as CPU 0 of a new machine for every schedule."""

from __future__ import annotations

from typing import Any, Final

import pytest

from vmsmp.pytest_plugin.explorer import Explorer
from vmsmp.pytest_plugin.pending import Pending

#: The fixtures that stand for the program's machine, and for who runs it.
_MACHINE: Final = "machine"
_SCHEDULE: Final = "schedule"


def run_as_program(item: Any) -> None:
    """Search the schedules of a test's own function.

    A test that skips itself, or says that it fails as expected, does so.
    """
    __tracebackhide__ = True
    names = item._fixtureinfo.argnames
    given = {name: item.funcargs[name] for name in names if not isinstance(item.funcargs[name], Pending)}
    left: list[BaseException] = []

    def program(m: Any) -> None:
        try:
            item.obj(**given, **{_MACHINE: m})
        except (pytest.skip.Exception, pytest.xfail.Exception) as leaving:
            left.append(leaving)
        except pytest.fail.Exception as failed:
            raise AssertionError(failed.msg) from None

    program.__name__ = item.originalname or item.name
    explorer = given.get(_SCHEDULE)
    if not isinstance(explorer, Explorer):
        explorer = Explorer(item)
    explorer(program, must_pass=True)
    if left:
        raise left[0]
