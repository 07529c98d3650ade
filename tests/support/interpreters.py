"""What a test asks of the interpreter that it runs in."""

from __future__ import annotations

import sys

import pytest

#: The controlled engine does the same on every interpreter (`tests/replay` holds that), so what takes long
#: under it need not be run on a second one.
on_one_interpreter = pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="it runs on an interpreter with the GIL"
)
