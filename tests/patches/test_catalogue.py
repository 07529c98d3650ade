"""The catalogue: patches are found by name, unknown names are refused, a run's are planted together."""

from __future__ import annotations

import re

import pytest

from vmsmp.engine.options import Options
from vmsmp.errors import UsageError
from vmsmp.patches.catalogue import (
    MUTANT_BY_ID,
    REPAIR_BY_NAME,
    check_mutants,
    check_repairs,
    find_mutant,
    fitting_repairs,
    planted,
)
from vmsmp.patches.dispatch import in_place
from vmsmp.sync import spinlock


def with_mutants(*idents, repairs=()):
    return Options(mutants=frozenset(idents), repairs=frozenset(repairs))


def test_a_mutant_is_found_by_its_own_id():
    assert list(MUTANT_BY_ID) == [mutant.ident for mutant in MUTANT_BY_ID.values()]


def test_repairs_come_in_order_of_name():
    assert sorted(REPAIR_BY_NAME) == list(REPAIR_BY_NAME)


# -- names ----------------------------------------------------------------------------------------


def test_names_of_repairs_come_back_as_a_set():
    assert frozenset(REPAIR_BY_NAME) == check_repairs(REPAIR_BY_NAME)


def test_ids_of_mutants_come_back_as_a_set():
    assert frozenset({"SP-05", "LK-10"}) == check_mutants(["LK-10", "SP-05"])


def test_an_unknown_repair_is_told_those_there_are():
    with pytest.raises(
        UsageError, match=re.escape(f"unknown repair 'x': there are {', '.join(REPAIR_BY_NAME)}")
    ):
        check_repairs(["x"])


def test_an_unknown_mutant_is_told_those_there_are():
    with pytest.raises(UsageError, match="unknown mutant 'XX-99': there are SP-01, "):
        planted(with_mutants("XX-99"))


# -- planting -------------------------------------------------------------------------------------


def test_default_options_change_nothing():
    before = spinlock._spin_lock_contested.__code__
    with planted(Options()):
        assert before is spinlock._spin_lock_contested.__code__


def code_of(function):
    return in_place(function).__code__


def test_two_mutants_of_two_functions_are_planted_together():
    with planted(with_mutants("SP-05", "SP-07")):
        assert {"<mutant of _spin_lock_contested>", "<mutant of _spin_lock_shared_contested>"} == {
            code_of(spinlock._spin_lock_contested).co_filename,
            code_of(spinlock._spin_lock_shared_contested).co_filename,
        }


def test_two_mutants_of_one_function_are_planted_together():
    assert MUTANT_BY_ID["SP-04"].function == MUTANT_BY_ID["SP-05"].function
    with planted(with_mutants("SP-04", "SP-05")):
        assert "<mutant of _spin_lock_contested>" == code_of(spinlock._spin_lock_contested).co_filename


def test_a_repair_is_planted_in_the_file_of_its_function():
    before = code_of(spinlock._spin_lock_shared_contested)
    with planted(with_mutants(repairs=["window-leaves-shared-clear"])):
        during = code_of(spinlock._spin_lock_shared_contested)
    assert before.co_code != during.co_code
    assert before.co_filename == during.co_filename


def test_a_repair_and_a_mutant_of_one_function_are_planted_together():
    repair = REPAIR_BY_NAME["window-leaves-shared-clear"]
    with repair.plant():
        repaired = code_of(spinlock._spin_lock_shared_contested)
    with MUTANT_BY_ID["SP-08"].plant():
        mutated = code_of(spinlock._spin_lock_shared_contested)
    with planted(with_mutants("SP-08", repairs=[repair.ident])):
        both = code_of(spinlock._spin_lock_shared_contested)
    assert both.co_code not in (repaired.co_code, mutated.co_code)
    assert "<mutant of _spin_lock_shared_contested>" == both.co_filename


def test_beside_a_written_mutant_every_repair_fits():
    assert frozenset(REPAIR_BY_NAME) == fitting_repairs(["LK-18"]) == fitting_repairs(())


def test_a_repair_of_the_lines_that_a_removal_changes_does_not_fit_beside_it():
    fitting = fitting_repairs(["sync.callout.callout.Callout.update-6-gone"])
    assert {"rearmed-call-in-progress"} == REPAIR_BY_NAME.keys() - fitting


@pytest.mark.parametrize(
    ("removal", "without"),
    [
        ("vm.vm_pageout.page._launder-10-never", {"pageout-frees-orphans"}),
        ("vm.vm_pageout.page._launder-20-gone", set()),
    ],
    ids=["of the same line", "of another line"],
)
def test_repairs_that_change_other_lines_are_on_beside_a_mutant(removal, without):
    assert set(REPAIR_BY_NAME) - without == fitting_repairs([removal])


def test_what_is_planted_already_counts_too():
    with find_mutant("sync.callout.softclock.Softclock._call-6-never").plant():
        assert {"cancel-of-another-call"} == REPAIR_BY_NAME.keys() - fitting_repairs(())


def test_a_function_is_itself_again_after_an_exception():
    before = spinlock._spin_lock_contested.__code__
    with pytest.raises(ZeroDivisionError), planted(with_mutants("SP-05")):
        raise ZeroDivisionError
    assert before is spinlock._spin_lock_contested.__code__


def test_nothing_is_planted_when_one_id_is_unknown():
    before = spinlock._spin_lock_contested.__code__
    with pytest.raises(UsageError):
        planted(with_mutants("SP-05", "XX-99"))
    assert before is spinlock._spin_lock_contested.__code__
