"""Every repair can be planted, alone and with all others, and leaves the model as it was."""

from __future__ import annotations

import random

import pytest

from vmsmp.patches.dispatch import in_place
from vmsmp.patches.patch import plant, resolve
from vmsmp.patches.repairs import REPAIRS

NAMES = [repair.ident for repair in REPAIRS]


def codes():
    return [in_place(resolve(edit.function)).__code__ for repair in REPAIRS for edit in repair.edits()]


@pytest.mark.parametrize("repair", REPAIRS, ids=NAMES)
def test_a_repair_changes_its_function(repair):
    before = resolve(repair.function).__code__
    with repair.plant():
        during = in_place(resolve(repair.function)).__code__
    assert any(
        getattr(before, part) != getattr(during, part) for part in ("co_code", "co_consts", "co_names")
    )


@pytest.mark.parametrize("repair", REPAIRS, ids=NAMES)
def test_a_repair_says_what_it_does(repair):
    assert len(repair.story.split()) > 4


def test_no_two_repairs_have_one_name():
    assert sorted(set(NAMES)) == sorted(NAMES)


@pytest.mark.parametrize("shuffled", [False, 1, 2, 3])
def test_all_repairs_can_be_planted_together_in_any_order(shuffled):
    repairs = [*REPAIRS]
    if shuffled:
        random.Random(shuffled).shuffle(repairs)
    before = codes()
    with plant(repairs):
        assert set() == set(before) & set(codes())


def test_all_repairs_are_out_again():
    before = codes()
    with plant(REPAIRS):
        pass
    assert before == codes()
