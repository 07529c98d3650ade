"""Removals that change nothing: each entry still names some, and the kill table leaves them out."""

import pytest

from vmsmp.patches.equivalent import EQUIVALENTS, equivalent
from vmsmp.patches.removals import all_removals


@pytest.fixture(scope="module")
def removals():
    return list(all_removals())


def test_every_entry_covers_a_removal(removals):
    assert [] == [entry for entry in EQUIVALENTS if not any(map(entry.covers, removals))]


def test_no_entry_is_needless(removals):
    used = {equivalent(removal) for removal in removals}
    assert [] == [entry for entry in EQUIVALENTS if entry not in used]


def test_every_entry_has_a_reason():
    assert [] == [entry for entry in EQUIVALENTS if not entry.reason]


def test_the_guard_of_a_lock_is_no_equivalent(removals):
    guards = [one for one in removals if one.text == "spin.lock.fetchadd(-1)" and one.ident.endswith("gone")]
    assert [None] == [equivalent(guard) for guard in guards]
