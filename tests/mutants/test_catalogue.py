"""The catalogue: every mutant can be planted, and its scenario shows it."""

from __future__ import annotations

import re
from itertools import combinations

import pytest

import vmsmp
from vmsmp.findings import repair_names
from vmsmp.library import all_scenarios
from vmsmp.mutants.catalogue import CATALOGUE
from vmsmp.mutants.patch import _resolve, planted

EVERY = list(CATALOGUE.values())


def functions(mutant):
    return [mutant.function, *(function for function, _, _ in mutant.also)]


@pytest.mark.parametrize("mutant", EVERY, ids=list(CATALOGUE))
def test_the_functions_that_a_mutant_names_exist(mutant):
    assert [name.partition(":")[2].split(".")[-1] for name in functions(mutant)] == [
        _resolve(name).__name__ for name in functions(mutant)
    ]


@pytest.mark.parametrize("mutant", EVERY, ids=list(CATALOGUE))
def test_a_mutant_can_be_planted(mutant):
    with mutant.plant():
        assert {f"<mutant of {_resolve(name).__qualname__}>" for name in functions(mutant)} == {
            _resolve(name).__code__.co_filename for name in functions(mutant)
        }


@pytest.mark.parametrize("mutant", EVERY, ids=list(CATALOGUE))
def test_a_mutant_is_no_mutant_if_it_changes_nothing(mutant):
    before = _resolve(mutant.function).__code__
    with mutant.plant():
        planted_code = _resolve(mutant.function).__code__
    assert (before.co_code, before.co_consts) != (planted_code.co_code, planted_code.co_consts)


@pytest.mark.parametrize("mutant", EVERY, ids=list(CATALOGUE))
def test_a_mutant_names_a_scenario_that_there_is(mutant):
    assert mutant.scenario in all_scenarios()


@pytest.mark.parametrize("mutant", EVERY, ids=list(CATALOGUE))
def test_a_mutant_says_what_it_breaks_and_how(mutant):
    assert re.fullmatch(r"INV-[A-Z]+\d*", mutant.breaks)
    assert len(mutant.story.split()) > 4


def test_a_mutant_is_found_by_its_own_id():
    assert list(CATALOGUE) == [mutant.ident for mutant in EVERY]


def test_no_two_mutants_are_the_same_change():
    changes = [(m.function, m.old.strip(), m.new.strip(), m.also) for m in EVERY]
    assert [] == [pair for pair in combinations(changes, 2) if pair[0] == pair[1]]


@pytest.mark.ci
@pytest.mark.parametrize("mutant", EVERY, ids=list(CATALOGUE))
def test_a_mutant_s_scenario_finds_it(mutant):
    result = vmsmp.explore(
        all_scenarios()[mutant.scenario],
        sched="random",
        schedules=3_000,
        max_steps=5_000,
        mutants=[mutant.ident],
        repairs=repair_names() if all_scenarios()[mutant.scenario].timeouts == "any" else [],
    )
    assert None is not result.failure


def test_all_mutants_are_out_again():
    before = [_resolve(name).__code__ for mutant in EVERY for name in functions(mutant)]
    for mutant in EVERY:
        with planted([mutant.ident]):
            pass
    assert before == [_resolve(name).__code__ for mutant in EVERY for name in functions(mutant)]
