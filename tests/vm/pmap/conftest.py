"""The steps of a function on a machine."""

from __future__ import annotations

import pytest

import vmsmp
from tables import MEMORY


@pytest.fixture
def rows():
    """The visible operations of CPU 0 in `act(*prepare(vm))` on a machine, in words."""

    def told(prepare, act, **sizes):
        def program(m):
            made = prepare(m.boot(**{**MEMORY, **sizes}))
            border = m.cell(0, "border")
            border.store(1)
            act(*made)
            border.store(2)

        outcome = vmsmp.replay(program, "v1:program:0:", check=False)
        assert None is outcome.failure, outcome.failure
        mine = [row.text.strip() for row in outcome.story.rows if row.cpu == 0]
        first = mine.index("store border")
        return mine[first + 1 : mine.index("store border", first + 1)]

    return told
