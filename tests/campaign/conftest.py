"""What tests of campaigns share."""

from __future__ import annotations

import pytest

import vmsmp


@pytest.fixture
def tell():
    """Replay a program along the preemptions given, and return the outcome."""

    def told(program, steps="", *, seed=0, options="", **more):
        return vmsmp.replay(program, f"v1:{program.__name__}{options}:{seed:x}:{steps}", **more)

    return told
