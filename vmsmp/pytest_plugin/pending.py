"""What stands for a test's machine before the test runs."""

from __future__ import annotations

from typing import Any


class Pending:
    """The value of the fixture `machine` until the test runs: there is a new machine for each schedule."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the machine of a test is there while the test runs, not in a fixture: {name}")
