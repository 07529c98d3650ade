"""Strategies for schedules and programs: what they draw, what it shrinks to, how it reads."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

import concurrent_counter
import vmsmp
from patience import PROCESS_S, patient
from vmsmp.engine.options import Options
from vmsmp.engine.schedule import Schedule
from vmsmp.errors import ReplayDiverged
from vmsmp.hypothesis_support import (
    ConcurrentProgram,
    Operation,
    check,
    concurrent_test,
    programs,
    schedules,
)
from vmsmp.hypothesis_support import runs as runs_of
from vmsmp.library import find_scenario

DRAWN_ONCE = settings(derandomize=True, database=None, deadline=None)
PLENTY = settings(database=None, deadline=None, max_examples=3000)


def counter(m):
    """What the operations share: a word, and how much was really added to it."""
    return SimpleNamespace(word=m.cell(0, name="word"), added=m.atomic(0, name="added"), m=m)


def look(world):
    world.word.load()


def add(world, n):
    world.word.store(world.word.load() + n)
    world.added.fetchadd(n)


def nothing_is_lost(world):
    world.m.check(world.word.load() == world.added.load(), "every addition counts")


AMOUNTS = st.integers(1, 3)


def counting(operations=(look, (add, AMOUNTS)), cpus=2, **bounds):
    return programs(counter, operations, cpus=cpus, **bounds)


def made(*lists, finish=None):
    """A program of these lists of operations, each a function or a tuple of one and values."""
    forms = [[form if isinstance(form, tuple) else (form,) for form in does] for does in lists]
    calls = tuple(tuple(Operation(form[0], form[1:]) for form in does) for does in forms)
    return ConcurrentProgram(counter, calls, finish)


def smallest(strategy, fits=lambda drawn: True):
    return find(strategy, fits, settings=PLENTY, random=Random(0))


def line(schedule):
    """The preemptions of a schedule alone."""
    return ",".join(map(str, schedule.preemptions))


# -- schedules ------------------------------------------------------------------------------------


def test_a_schedule_shrinks_to_no_preemptions():
    assert Schedule("counter") == smallest(schedules(counter, cpus=2))


@pytest.mark.parametrize(
    ("fits", "shrunk"),
    [
        (lambda s: len(s) >= 1, "1.0>2"),
        (lambda s: len(s) >= 3, "1.0>2,1.1>2,1.2>2"),
        (lambda s: any(p.nth >= 17 for p in s.preemptions), "1.17>2"),
        (lambda s: any(p.cpu == 2 for p in s.preemptions), "2.0>1"),
        (lambda s: any(p.value == 0 for p in s.preemptions), "1.0>0"),
    ],
)
def test_a_schedule_shrinks_to_few_preemptions_at_early_operations(fits, shrunk):
    assert shrunk == line(smallest(schedules(counter, cpus=2), fits))


@pytest.mark.parametrize("cpu", [0, 1, 2, 3])
def test_every_cpu_is_preempted_and_runs_instead(cpu):
    drawn = smallest(
        schedules(counter, cpus=3),
        lambda s: {cpu} <= {p.cpu for p in s.preemptions} & {p.value for p in s.preemptions},
    )
    assert 2 == len(drawn)


@DRAWN_ONCE
@given(st.data())
def test_a_schedule_keeps_to_its_bounds(data):
    cpus, most, last = (data.draw(st.integers(*ends)) for ends in ((1, 5), (0, 6), (0, 20)))
    drawn = data.draw(schedules(counter, cpus=cpus, max_preemptions=most, max_op=last))
    steps = drawn.preemptions
    assert most >= len(steps)
    assert sorted(steps) == list(steps)
    assert len(steps) == len({(p.cpu, p.nth) for p in steps})
    assert [] == [
        p for p in steps if p.choice or p.cpu == p.value or max(p.cpu, p.value) > cpus or p.nth > last
    ]


@DRAWN_ONCE
@given(schedules(counter, cpus=3, seed=42, options=Options(locks="exact", spurious=True)))
def test_a_schedule_drawn_reads_back_from_its_line(drawn):
    assert drawn == Schedule.parse(str(drawn))


def test_a_schedule_is_of_the_program_s_name_and_options():
    options = Options(locks="exact", timeouts="any")
    drawn = smallest(schedules("busy_storm", cpus=4, seed=7, options=options))
    assert Schedule("busy_storm", 7, (), options) == drawn


def test_a_scenario_says_how_its_schedules_run():
    def patient(m):
        m.tsleep("nothing", timo=1)

    patient.timeouts = "any"
    assert Options(timeouts="any") == smallest(schedules(patient, cpus=1)).options


@DRAWN_ONCE
@given(schedules(find_scenario("busy_handoff")))
def test_a_scenario_is_clean_along_any_schedule(schedule):
    check(find_scenario("busy_handoff"), schedule)


# -- schedules of programs drawn ------------------------------------------------------------------


@st.composite
def runs(draw, operations=(look, (add, AMOUNTS)), cpus=2, finish=None, **bounds):
    program = draw(programs(counter, operations, cpus=cpus, finish=finish))
    return program, draw(schedules(program, **bounds))


@DRAWN_ONCE
@given(runs(cpus=3))
def test_a_drawn_program_is_preempted_where_it_does_something(drawn):
    program, schedule = drawn
    # start, then one operation of the machine for a look, and three for an addition
    ends = [1 + sum(3 if call.values else 1 for call in calls) for calls in program.lists]
    busy = {cpu for cpu, calls in enumerate(program.lists, 1) if calls}
    assert busy >= {p.cpu for p in schedule.preemptions} | {p.value for p in schedule.preemptions}
    assert [] == [p for p in schedule.preemptions if not 1 <= p.nth < ends[p.cpu - 1]]


@DRAWN_ONCE
@given(runs(max_op=2))
def test_a_drawn_program_is_preempted_no_later_than_it_is_said(drawn):
    assert [] == [p for p in drawn[1].preemptions if p.nth > 2]


def test_one_cpu_at_work_is_not_preempted():
    program = made([look, look], [])
    assert Schedule("counter") == smallest(schedules(program, max_preemptions=1))
    with pytest.raises(NoSuchExample):
        smallest(schedules(program), len)


@pytest.mark.ci
def test_a_preemption_stays_with_its_operation_when_those_before_it_go():
    program, schedule = smallest(runs(), lambda drawn: any(p.nth >= 4 for p in drawn[1].preemptions))
    assert (4, 1) == (sum(3 if call.values else 1 for call in max(program.lists, key=len)), len(schedule))


def test_an_operation_that_nobody_sees_is_not_preempted():
    def think(world):
        pass

    assert "2.1>1" == line(smallest(schedules(made([think], [think, look])), len))
    assert Schedule("counter") == smallest(schedules(made([think], [think])))


def test_a_program_that_fails_at_once_is_preempted_as_far_as_it_goes():
    def fail(world):
        world.m.panic("at once")

    drawn = smallest(schedules(made([look, fail, look], [look])), len)
    assert "1.1>2" == line(drawn)


def test_a_drawn_program_is_of_the_cpus_it_was_drawn_for():
    with pytest.raises(vmsmp.UsageError, match="'counter' was drawn for 2 CPUs, not for 3"):
        schedules(made([look], [look]), cpus=3)


def test_a_program_that_does_not_say_how_many_cpus_it_has_asks_for_them():
    with pytest.raises(vmsmp.UsageError, match="cpus must be given"):
        schedules(counter)


# -- programs -------------------------------------------------------------------------------------


def test_a_program_shrinks_to_nothing_done():
    assert "counter()" == repr(smallest(counting()))


@pytest.mark.parametrize(
    ("fits", "shrunk"),
    [
        (lambda p: len(p) >= 2, "counter(cpu2=[look(), look()])"),
        (lambda p: all(p.lists), "counter(cpu1=[look()], cpu2=[look()])"),
        (lambda p: "add" in repr(p.lists[0]), "counter(cpu1=[add(1)])"),
        (lambda p: "add(3)" in repr(p.lists[1]), "counter(cpu2=[add(3)])"),
    ],
)
def test_a_program_shrinks_to_few_and_early_operations(fits, shrunk):
    assert shrunk == repr(smallest(counting(), fits))


@DRAWN_ONCE
@given(st.data())
def test_a_program_keeps_to_its_bounds(data):
    cpus, most = data.draw(st.integers(1, 4)), data.draw(st.integers(0, 3))
    drawn = data.draw(counting(cpus=cpus, max_ops=most))
    assert (cpus, cpus) == (drawn.cpus, len(drawn.lists))
    assert most >= max(map(len, drawn.lists))
    assert len(drawn) == sum(map(len, drawn.lists))


def test_a_program_does_what_it_reads():
    program = made([look, (add, 2)], [(add, 1)])
    rows = vmsmp.replay(program, "v1:counter:0:").story.rows
    assert [(1, "load"), (1, "load"), (1, "store"), (2, "load"), (2, "store")] == [
        (row.cpu, row.text.split()[0]) for row in rows if "word" in row.text
    ]
    assert "counter(cpu1=[look(), add(2)], cpu2=[add(1)])" == repr(program)


def test_a_cpu_without_operations_keeps_the_numbers_of_the_others():
    program = made([], [look])
    assert "counter(cpu2=[look()])" == repr(program)
    assert [2] == [row.cpu for row in vmsmp.replay(program, "v1:counter:0:").story.rows if "word" in row.text]


def test_a_value_that_is_a_function_reads_by_its_name():
    assert "counter(cpu1=[add(look)])" == repr(made([(add, look)]))


def test_a_program_makes_its_world_anew_for_every_run():
    def three_are_added(world):
        assert 3 == world.added.load()

    result = vmsmp.explore(made([(add, 1)], [(add, 2)], finish=three_are_added), schedules=5)
    assert (5, None) == (result.executions, result.failure)


def test_what_holds_in_the_end_is_asked_when_all_have_ended():
    def five_are_added(world):
        assert 5 == world.added.load()

    failure = vmsmp.replay(made([(add, 1)], [(add, 2)], finish=five_are_added), "v1:counter:0:").failure
    assert ("check", 0) == (failure.kind, failure.cpu)


@pytest.mark.parametrize(
    "operation",
    ["add", (add, 1), (AMOUNTS, add), AMOUNTS, ()],
    ids=["name", "value", "order", "strategy", "empty"],
)
def test_what_is_no_operation_is_refused(operation):
    with pytest.raises(vmsmp.UsageError, match="an operation is a function, or a tuple"):
        programs(counter, [look, operation], cpus=2)


def test_a_program_of_no_operations_at_all_is_refused():
    with pytest.raises(vmsmp.UsageError, match="at least one operation"):
        programs(counter, [], cpus=2)


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ({"cpus": 0}, "cpus must be from 1 to 63, not 0"),
        ({"cpus": 64}, "cpus must be from 1 to 63, not 64"),
        ({"cpus": 1, "max_ops": -1}, "max_ops must be at least 0, not -1"),
    ],
)
def test_bounds_of_programs_that_cannot_be_are_refused(bounds, said):
    with pytest.raises(vmsmp.UsageError, match=said):
        programs(counter, [look], **bounds)


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ({"cpus": 0}, "cpus must be from 1 to 63, not 0"),
        ({"cpus": 1, "max_preemptions": -1}, "max_preemptions must be at least 0, not -1"),
        ({"cpus": 1, "max_op": -1}, "max_op must be from 0 to 999999999, not -1"),
        ({"cpus": 1, "seed": -1}, "seed '-1' is not hexadecimal"),
        ({"cpus": 1, "program": "no name"}, "'no name' is not a program's name"),
    ],
)
def test_bounds_of_schedules_that_cannot_be_are_refused(bounds, said):
    with pytest.raises(vmsmp.UsageError, match=said):
        schedules(**{"program": counter, **bounds})


def fails(drawn):
    try:
        check(*drawn)
    except AssertionError:
        return True
    return False


# -- both -----------------------------------------------------------------------------------------


def test_a_lost_update_shrinks_to_two_additions_preempted_between_load_and_store():
    found = runs(operations=[(add, AMOUNTS)], finish=nothing_is_lost, max_preemptions=1)
    program, schedule = smallest(found, fails)
    assert ("counter(cpu1=[add(1)], cpu2=[add(1)])", "1.2>2") == (repr(program), line(schedule))


@pytest.mark.ci
@pytest.mark.parametrize("seed", range(4))
def test_operations_that_do_not_matter_go(seed):
    found = find(runs(finish=nothing_is_lost), fails, settings=PLENTY, random=Random(seed))
    assert "counter(cpu1=[add(1)], cpu2=[add(1)])" == repr(found[0])


@pytest.fixture(scope="module")
def lost_update():
    """The example of the module's docstring, as hypothesis ends it."""

    @settings(DRAWN_ONCE, max_examples=1000)
    @given(st.data())
    def every_addition_counts(data):
        program = data.draw(programs(counter, [(add, AMOUNTS)], cpus=2, finish=nothing_is_lost))
        check(program, data.draw(schedules(program)))

    with pytest.raises(AssertionError) as failed:
        every_addition_counts()
    return failed.value


@pytest.mark.ci
def test_hypothesis_shows_a_failing_program_as_a_small_program(lost_update):
    notes = "\n".join(lost_update.__notes__)
    assert "Draw 1: counter(cpu1=[add(1)], cpu2=[add(1)])" in notes


@pytest.mark.ci
def test_a_failing_check_tells_the_story_and_the_line_that_replays_it(lost_update):
    report = str(lost_update)
    assert report.startswith("check: every addition counts\n")
    shown = re.search(r"^replay: vmsmp.replay\(counter, '(.*)'\)$", report, re.MULTILINE)[1]
    program = made([(add, 1)], [(add, 1)], finish=nothing_is_lost)
    assert f"digest: {vmsmp.replay(program, shown).digest}" == report.splitlines()[-1]


def test_the_line_of_a_report_gives_the_same_run_of_the_same_program():
    program = made([(add, 1)], [(add, 1)], finish=nothing_is_lost)
    first, again = (vmsmp.replay(program, "v1:counter:0:1.2>2") for _ in range(2))
    assert (first.digest, first.failure.schedule) == (again.digest, "v1:counter:0:1.2>2")


def test_a_check_that_holds_says_nothing():
    assert None is check(made([look], [(add, 1)]), Schedule("counter"))


def test_a_check_refuses_a_schedule_of_another_program():
    with pytest.raises(vmsmp.UsageError, match="'other', not of 'counter'"):
        check(made([look]), Schedule("other"))


def test_a_check_runs_with_the_mutants_of_its_schedule():
    program = find_scenario("busy_handoff")
    schedule = Schedule.parse(vmsmp.explore(program, mutants=["BZ-03"]).failure.schedule)
    with pytest.raises(AssertionError):
        check(program, schedule)
    check(program, replace(schedule, options=Options()))


def test_a_program_that_draws_on_something_else_is_no_failure_of_its_schedule():
    runs = []

    def forgetful(m):
        runs.append(m)
        m.check(len(runs) > 1, "not the first run")

    with pytest.raises(ReplayDiverged, match="failed once along this schedule and not again"):
        check(forgetful, Schedule("forgetful"))


# -- a test of a class ----------------------------------------------------------------------------


def shrunk(state, seed=0):
    """The smallest program of the class that fails, and its schedule."""
    return find(runs_of(state), fails, settings=PLENTY, random=Random(seed))


@pytest.mark.ci
def test_a_planted_bug_shrinks_to_the_program_known_for_it():
    """The lost wakeup of the README's report: one I/O, one CPU that drains.

    With the I/O on cpu1 two preemptions are enough; otherwise it has to come first, which takes another one.
    """
    program, schedule = shrunk(concurrent_counter.Pip)
    assert ["[drain()]", "[io()]"] == sorted(repr([*calls]) for calls in program.lists)
    assert (2 if "cpu1=[io()]" in repr(program) else 3) == len(schedule)


@pytest.fixture(scope="module")
def failed_counter():
    """The failure of the test of a class, as pytest would show it."""
    test = concurrent_test(concurrent_counter.Counter, derandomize=True, database=None, max_examples=300)
    with pytest.raises(AssertionError) as failed:
        test()
    return failed.value


@pytest.mark.ci
@patient
def test_the_line_of_a_class_s_test_replays_on_the_command_line(failed_counter):
    words = shlex.split(re.search(r"^replay: (vmsmp replay .*)$", str(failed_counter), re.MULTILINE)[1])
    assert words[-1].endswith("concurrent_counter.py::Counter(cpu1=[add(1)], cpu2=[add(1)])")
    home = Path(vmsmp.__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-m", *words],
        env={**os.environ, "PYTHONPATH": str(home)},
        capture_output=True,
        text=True,
        timeout=PROCESS_S,
        check=False,
    )
    assert (1, "") == (done.returncode, done.stderr)
    assert without_paths(str(failed_counter)) == without_paths(done.stdout.rstrip("\n"))


def without_paths(report):
    """A report without the folders of files, which the command line may load from elsewhere."""
    return re.sub(r" at \S*/", " at ", report)


@pytest.mark.ci
def test_hypothesis_shows_its_own_way_to_reproduce_beside_our_line(failed_counter):
    notes = "\n".join(failed_counter.__notes__)
    assert "@reproduce_failure(" in notes
    assert "run=Counter(cpu1=[add(1)], cpu2=[add(1)]) along v1:Counter:0:1.2>2" in notes


def test_a_test_of_a_class_is_called_after_it_and_has_its_story():
    test = concurrent_test(concurrent_counter.Counter)
    assert ("test_Counter", "A counter without a lock.") == (test.__name__, test.__doc__)


def test_a_class_that_keeps_its_lock_passes():
    concurrent_test(concurrent_counter.Locked, derandomize=True, database=None, max_examples=30)()


# -- hypothesis -----------------------------------------------------------------------------------


def drawing(m):
    """Keeps what a CPU draws."""
    return SimpleNamespace(m=m)


DRAWS = []


def draw_some(world):
    DRAWS.append((world.m.choose(1000), world.m.rng.random()))


def test_what_a_run_draws_comes_of_its_seed_and_of_nothing_of_hypothesis():
    program = ConcurrentProgram(drawing, ((Operation(draw_some),),))

    @settings(DRAWN_ONCE, max_examples=20)
    @given(schedules(program, seed=st.integers(0, 3)))
    def every_run_of_a_seed_draws_the_same(schedule):
        DRAWS.clear()
        check(program, schedule)
        inside = [*DRAWS]
        assert inside == [alone[schedule.seed]]

    alone = []
    for seed in range(4):
        DRAWS.clear()
        vmsmp.replay(program, Schedule("drawing", seed))
        alone += DRAWS
    assert 4 == len(set(alone))
    every_run_of_a_seed_draws_the_same()


def test_a_seed_shrinks_too():
    strategy = schedules(made([look], [look]), seed=st.integers(0, 2**20))
    assert Schedule("counter") == smallest(strategy)
    assert 7 == smallest(strategy, lambda drawn: drawn.seed >= 7).seed


@patient
def test_without_hypothesis_the_module_says_what_to_install():
    script = "import sys; sys.modules['hypothesis'] = None; import vmsmp.hypothesis_support"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(vmsmp.__file__).resolve().parents[1],
        capture_output=True,
        text=True,
        timeout=PROCESS_S,
        check=False,
    )
    assert (
        "ModuleNotFoundError: vmsmp.hypothesis_support needs hypothesis, which is not installed: "
        "pip install 'vmsmp[test]'"
    ) == done.stderr.splitlines()[-1]


def test_three_modules_import_hypothesis_and_no_other():
    package = Path(vmsmp.__file__).resolve().parent
    importing = [
        p.name
        for p in package.rglob("*.py")
        if re.search(r"^\s*(from|import) hypothesis\b", p.read_text("utf-8"), re.MULTILINE)
    ]
    assert ["blobs.py", "hypothesis_profiles.py", "hypothesis_support.py"] == sorted(importing)
