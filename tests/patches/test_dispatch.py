"""Dispatch: a function replaced in one context is itself in any other, and is free when it is in none."""

from __future__ import annotations

import contextvars
import inspect
import threading

import pytest

import vmsmp
from vmsmp.engine import source
from vmsmp.library import find_scenario
from vmsmp.patches.catalogue import MUTANT_BY_ID, REPAIR_BY_NAME, planted
from vmsmp.patches.dispatch import in_place, original, replacing
from vmsmp.patches.patch import plant, resolve


def greeting(name, /, word="hello", *rest, mark="!", **more):
    """What is replaced."""
    return f"{word} {name}{mark}", rest, more


def shouted(name, /, word="hello", *rest, mark="!", **more):
    return f"{word.upper()} {name}{mark}", rest, more


def counting(limit):
    yield from range(limit)


def backwards(limit):
    yield from reversed(range(limit))


def caller_of(frame=None):
    return source.caller(1)


def caller_of_too(frame=None):
    return source.caller(1)


def in_thread(fn, *args):
    """What `fn` returns on a thread of its own, in a context of its own."""
    found = []
    thread = threading.Thread(target=contextvars.Context().run, args=(lambda: found.append(fn(*args)),))
    thread.start()
    thread.join()
    return found[0]


# -- what is called -------------------------------------------------------------------------------


def test_a_replaced_function_is_the_other_one():
    with replacing({greeting: shouted}):
        assert "HELLO you!" == greeting("you")[0]


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("you",), {}),
        (("you", "bye"), {"mark": "?"}),
        (("you", "bye", 1, 2), {"mark": "?", "other": 3}),
        (("you",), {"word": "bye"}),
    ],
)
def test_every_argument_reaches_the_other_one(args, named):
    with replacing({greeting: shouted}):
        assert shouted(*args, **named) == greeting(*args, **named)


def test_a_generator_may_be_replaced():
    with replacing({counting: backwards}):
        assert [2, 1, 0] == list(counting(3))


def test_another_context_goes_on_with_the_function_as_it_is():
    with replacing({greeting: shouted}):
        assert "hello you!" == in_thread(greeting, "you")[0]


def test_two_contexts_replace_one_function_by_two():
    with replacing({greeting: shouted}):

        def other():
            with replacing({greeting: lambda name, *_, **__: name}):
                return greeting("you")

        assert ("you", "HELLO you!") == (in_thread(other), greeting("you")[0])


def test_what_is_replaced_outside_stays_replaced_within():
    with replacing({greeting: shouted}), replacing({counting: backwards}):
        assert ("HELLO you!", [1, 0]) == (greeting("you")[0], list(counting(2)))


def test_the_inner_replacement_of_one_function_counts():
    with replacing({greeting: lambda name, *_, **__: name}), replacing({greeting: shouted}):
        assert "HELLO you!" == greeting("you")[0]


def test_the_outer_replacement_is_back_after_the_inner_one():
    with replacing({greeting: shouted}):
        with replacing({greeting: lambda name, *_, **__: name}):
            pass
        assert "HELLO you!" == greeting("you")[0]


# -- its own code object --------------------------------------------------------------------------


def test_a_function_that_nobody_replaces_has_its_own_code_object():
    before = greeting.__code__
    with replacing({greeting: shouted}):
        pass
    assert before is greeting.__code__


def test_it_dispatches_until_the_last_one_leaves():
    before = greeting.__code__
    with replacing({greeting: shouted}):
        with replacing({greeting: shouted}):
            pass
        assert before is not greeting.__code__


def test_its_original_is_told_while_it_is_replaced():
    with replacing({greeting: shouted}):
        assert "What is replaced." in inspect.getsource(original(greeting))


def test_what_is_in_place_is_told_of_this_context():
    with replacing({greeting: shouted}):
        assert (shouted, original(greeting)) == (in_place(greeting), in_thread(in_place, greeting))


def test_a_dispatcher_takes_the_arguments_of_its_function():
    before = inspect.signature(greeting)
    with replacing({greeting: shouted}):
        assert before == inspect.signature(greeting)


# -- its frame ------------------------------------------------------------------------------------


def test_the_frame_of_a_dispatcher_is_nobody_s_caller():
    with replacing({caller_of: caller_of_too}):
        assert "test_the_frame_of_a_dispatcher_is_nobody_s_caller" == caller_of().f_code.co_name


def test_the_frame_of_a_dispatcher_is_no_place():
    with replacing({caller_of: source.standing}):
        assert "test_the_frame_of_a_dispatcher_is_no_place" == caller_of()[0].function


# -- searches side by side ------------------------------------------------------------------------


def side_by_side(*jobs):
    """Do the jobs at the same time, each on a thread of its own; what each returns."""
    start = threading.Barrier(len(jobs))
    found = [None] * len(jobs)

    def work(n):
        start.wait()
        found[n] = jobs[n]()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def searching(ident, schedules, **more):
    """A search of a mutant's scenario, with the mutant in place or (`with_it=False`) without."""
    with_it = more.pop("with_it", True)
    scenario = find_scenario(MUTANT_BY_ID[ident].scenario)
    mutants = [ident] if with_it else []
    return lambda: vmsmp.explore(
        scenario, sched="random", schedules=schedules, mutants=mutants, repairs=REPAIR_BY_NAME, **more
    )


def test_a_clean_search_beside_a_mutant_s_stays_clean():
    mutated, clean = side_by_side(
        searching("SP-05", 1_000, stop="never"), searching("SP-05", 1_000, stop="never", with_it=False)
    )
    assert (True, [], 1_000) == (mutated.failure is not None, clean.failures, clean.executions)


def test_a_search_beside_a_clean_one_runs_as_alone():
    alone = searching("SP-05", 100, stop="never")()
    beside, _ = side_by_side(
        searching("SP-05", 100, stop="never"), searching("SP-05", 100, stop="never", with_it=False)
    )
    told = [[(f.signature, f.schedule, f.digest) for f in result.failures] for result in (alone, beside)]
    assert (True, told[0]) == (bool(told[0]), told[1])


def test_two_mutants_of_one_function_are_searched_at_once():
    assert MUTANT_BY_ID["SP-04"].function == MUTANT_BY_ID["SP-05"].function
    alone = [searching(ident, 200, stop="never")() for ident in ("SP-04", "SP-05")]
    beside = side_by_side(*(searching(ident, 200, stop="never") for ident in ("SP-04", "SP-05")))
    assert [result.counts for result in alone] == [result.counts for result in beside]


def test_a_clean_free_run_beside_a_mutant_s_stays_clean():
    function = resolve(MUTANT_BY_ID["SP-05"].function)
    seen = {}

    def program(name):
        def body(m):
            for _ in range(2):
                m.spawn(lambda: files.add(in_place(function).__code__.co_filename))
            m.join()

        files = seen[name] = set()
        return body

    side_by_side(
        lambda: vmsmp.run(program("mutated"), mutants=["SP-05"]), lambda: vmsmp.run(program("clean"))
    )
    assert {
        "mutated": {f"<mutant of {function.__name__}>"},
        "clean": {original(function).__code__.co_filename},
    } == seen


def test_a_search_within_a_planted_patch_runs_under_it():
    scenario = find_scenario(MUTANT_BY_ID["SP-05"].scenario)
    with MUTANT_BY_ID["SP-05"].plant():
        result = vmsmp.explore(scenario, sched="random", schedules=300, repairs=REPAIR_BY_NAME)
    assert None is not result.failure


def test_a_search_within_a_mutant_has_its_own_patches_on_top():
    function = resolve(MUTANT_BY_ID["SP-04"].function)
    made = []

    def program(m):
        made.append(in_place(function).__code__)

    with MUTANT_BY_ID["SP-04"].plant():
        vmsmp.explore(program, schedules=1, mutants=["SP-05"])
    with plant((MUTANT_BY_ID["SP-04"], MUTANT_BY_ID["SP-05"])):
        assert in_place(function).__code__.co_code == made[0].co_code


def test_a_patch_that_is_in_place_is_not_planted_twice():
    options = vmsmp.explore(lambda m: None, schedules=1, mutants=["SP-05"]).options
    with planted(options), planted(options):
        once = in_place(resolve(MUTANT_BY_ID["SP-05"].function)).__code__
    with planted(options):
        assert once.co_code == in_place(resolve(MUTANT_BY_ID["SP-05"].function)).__code__.co_code
