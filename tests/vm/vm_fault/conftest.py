"""Machines with memory for two processes and their page tables."""

from __future__ import annotations

import pytest


@pytest.fixture
def small():
    """The sizes of a machine of which a test says nothing else."""
    return {"pages": 20, "l2_size": 1}
