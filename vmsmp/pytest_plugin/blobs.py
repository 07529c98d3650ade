"""Failures that hypothesis found: the command that reproduces one, and what it does.

hypothesis prints a decorator, `@reproduce_failure('6.155.7', b'AXic...')`.  With it as the value of
--vmsmp-replay every test of hypothesis that is run is decorated so.  pytest takes an argument that begins
with @ for the name of a file, so the command goes without.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import pytest

from vmsmp.pytest_plugin.settings import SETTINGS

#: The decorator in what hypothesis adds to a failure.
_DECORATOR: Final = re.compile(r"(?<=@)reproduce_failure\('[^']*', b'[A-Za-z0-9+/=]*'\)")


def decorate(config: pytest.Config, items: Iterable[Any]) -> None:
    """Have the tests of hypothesis run the example that was asked for."""
    blob = config.stash[SETTINGS].blob
    if blob is None:
        return
    from hypothesis import reproduce_failure

    for item in items:
        test: Any = getattr(item, "obj", None)
        if getattr(test, "is_hypothesis_test", False):
            reproduce_failure(*blob)(getattr(test, "__func__", test))


def decorators(error: BaseException | None) -> list[str]:
    """The decorators that reproduce a failure of a test of hypothesis, as it prints them; mostly one."""
    if error is None:
        return []
    found = [word for note in getattr(error, "__notes__", ()) for word in _DECORATOR.findall(note)]
    for inner in getattr(error, "exceptions", ()):
        found += decorators(inner)
    return list(dict.fromkeys(found))
