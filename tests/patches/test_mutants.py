"""Every mutant can be planted, alone and on the repaired model, and its scenario shows it."""

from __future__ import annotations

import re
from itertools import combinations

import pytest

import vmsmp
from vmsmp.library import all_scenarios
from vmsmp.patches.catalogue import REPAIR_BY_NAME, fitting_repairs
from vmsmp.patches.dispatch import in_place
from vmsmp.patches.mutants import MUTANTS, VM_MUTANTS
from vmsmp.patches.patch import plant, resolve

IDS = [mutant.ident for mutant in MUTANTS]


def code_of(name):
    return in_place(resolve(name)).__code__


def functions(mutant):
    return [edit.function for edit in mutant.edits()]


def test_the_functions_that_a_mutant_names_exist():
    named = [name for mutant in MUTANTS for name in functions(mutant)]
    assert [name.partition(":")[2].split(".")[-1] for name in named] == [resolve(n).__name__ for n in named]


@pytest.mark.parametrize("mutant", MUTANTS, ids=IDS)
def test_a_mutant_can_be_planted(mutant):
    with mutant.plant():
        assert {f"<mutant of {resolve(name).__qualname__}>" for name in functions(mutant)} == {
            code_of(name).co_filename for name in functions(mutant)
        }


def does(code):
    """What a function does: its instructions, and what they name."""
    return code.co_code, code.co_consts, code.co_names


@pytest.mark.parametrize("mutant", MUTANTS, ids=IDS)
def test_a_mutant_is_no_mutant_if_it_changes_nothing(mutant):
    before = resolve(mutant.function).__code__
    with mutant.plant():
        planted_code = code_of(mutant.function)
    assert does(before) != does(planted_code)


def test_a_mutant_names_a_scenario_that_there_is():
    assert [] == [mutant.ident for mutant in MUTANTS if mutant.scenario not in all_scenarios()]


def test_a_mutant_says_what_it_breaks():
    assert [] == [m.ident for m in MUTANTS if not re.fullmatch(r"INV-[A-Z]+\d*", m.breaks)]


def test_a_mutant_says_how_it_breaks_it():
    assert [] == [mutant.ident for mutant in MUTANTS if len(mutant.story.split()) <= 4]


def test_no_two_mutants_have_one_id():
    assert sorted(set(IDS)) == sorted(IDS)


@pytest.mark.ci
@pytest.mark.parametrize("mutant", MUTANTS, ids=IDS)
def test_a_mutant_can_be_planted_on_the_repaired_model(mutant):
    fitting = [REPAIR_BY_NAME[name] for name in sorted(fitting_repairs([mutant.ident]))]
    with plant((*fitting, mutant)):
        assert code_of(mutant.function).co_filename.startswith("<mutant of ")


def test_no_two_mutants_are_the_same_change():
    changes = [(m.function, m.old.strip(), m.new.strip(), m.also) for m in MUTANTS]
    assert [] == [pair for pair in combinations(changes, 2) if pair[0] == pair[1]]


#: Mutants whose one bad order is far from what random picks make.
RARE = (
    *("AL-19", "COW-01a", "COW-01c", "COW-02", "COW-14", "FLT-01", "FLT-17", "FLT-24", "FLT-26"),
    *("FLT-35", "OB-06", "PC-08b", "PMP-01", "PMP-02", "PMP-03", "PMP-10", "PMP-15", "PMP-22", "TLB-04C"),
    *("TLB-05", "TLB-07", "TLB-12", "TLB-17", "VMS-01"),
)


@pytest.mark.ci
@pytest.mark.parametrize("mutant", MUTANTS, ids=IDS)
def test_a_mutant_s_scenario_finds_it(mutant):
    repaired = mutant in VM_MUTANTS or all_scenarios()[mutant.scenario].timeouts == "any"
    result = vmsmp.explore(
        all_scenarios()[mutant.scenario],
        sched="portfolio" if mutant.ident in RARE else "random",
        schedules=3_000,
        max_steps=20_000,  # more than any scenario needs in which nothing is wrong
        mutants=[mutant.ident],
        repairs=fitting_repairs([mutant.ident]) if repaired else [],
    )
    assert None is not result.failure


def test_all_mutants_are_out_again():
    before = [resolve(name).__code__ for mutant in MUTANTS for name in functions(mutant)]
    for mutant in MUTANTS:
        with mutant.plant():
            pass
    assert before == [resolve(name).__code__ for mutant in MUTANTS for name in functions(mutant)]
