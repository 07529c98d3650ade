"""Stopping a replayed run: before the step that the story numbers, and without changing the run."""

from __future__ import annotations

import threading

import pytest

import vmsmp
from vmsmp.campaign.debugger import stop_at
from vmsmp.engine import trace
from vmsmp.engine.schedule import Preemption, Schedule
from vmsmp.library import find_scenario
from vmsmp.vm.vm_object import show_object
from vmsmp.vm.vm_page import VM_ALLOC_NORMAL, show_page, show_pageq, vm_page_alloc

CLEAN = "v1:lost_update:0:"
BROKEN = "v1:lost_update:0:1.3>2"
PAGES = "v1:takes_a_page:0:"


def lost_update(m):
    """Two CPUs count without a lock; CPU 1 also holds one of its own all the time."""
    word, lock = m.cell(0, name="word"), m.spinlock("mine")

    def worker(alone):
        if alone:
            lock.acquire()
        word.store(word.load() + 1)
        if alone:
            lock.release()

    m.spawn(worker, True, name="one")
    m.spawn(worker, False, name="two")
    m.join()
    m.check(word.load() == 2, "both are counted")


def takes_a_page(m):
    """One CPU takes one of two pages, under the locks that this takes, and fails."""
    vm = m.boot(pages=2, l2_size=1)
    vm_page_alloc(vm, None, 0, VM_ALLOC_NORMAL)
    m.choose(3)
    m.check(False, "it was meant to fail")


def draws(m):
    """What CPUs do is drawn."""
    token, sleeps = m.token("vm"), m.atomic(0, name="sleeps")

    def worker():
        for _ in range(3):
            with token:
                if m.choose(2):
                    m.tsleep("nap", 0, "nap", 1 + m.choose(3))
                    sleeps.fetchadd(1)

    for _ in range(3):
        m.spawn(worker)


class Visitor:
    """Writes down where the run stood; `onward` says where to stop next."""

    def __init__(self, onward=lambda step: None, look=lambda machine, step: None):
        self.steps = []
        self.cpus = []
        self.words = []
        self.scenes = []
        self.seen = []
        self.digest = ""
        self._onward = onward
        self._look = look

    def __call__(self, machine, step, scene):
        self.steps.append(step)
        self.scenes.append(scene)
        self.seen.append(self._look(machine, step))
        if step is None:
            self.digest = trace.digest(machine.engine.log)
            return None
        cpu = machine.curcpu
        self.cpus.append(cpu.index)
        self.words.append(machine.describe(cpu.pending))
        return self._onward(step)


def every_step(step):
    return step + 1


def visited(program, line, step, **how):
    visitor = Visitor(**how)
    stop_at(program, line, step, visitor)
    return visitor


def before(row):
    """A row's step as it is called before it is done: a CPU that is not there has no name."""
    return "spawn" if row.text.startswith("spawn ") else row.text


# -- where it stops -------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [CLEAN, BROKEN])
def test_steps_are_numbered_as_in_the_story(line):
    rows = vmsmp.replay(lost_update, line).story.rows
    visitor = visited(lost_update, line, 0, onward=every_step)
    assert [(row.step, row.cpu, before(row)) for row in rows] == [
        *zip(visitor.steps[:-1], visitor.cpus, visitor.words, strict=True)
    ]


@pytest.mark.parametrize("step", [0, 2, 7, 11])
def test_a_run_is_stopped_at_the_step_asked_for_alone(step):
    row = vmsmp.replay(lost_update, CLEAN).story.rows[step]
    visitor = visited(lost_update, CLEAN, step)
    assert ([step, None], [row.cpu], [before(row)]) == (visitor.steps, visitor.cpus, visitor.words)


def test_a_run_stands_before_the_step_and_all_before_it_are_done():
    rows = vmsmp.replay(takes_a_page, PAGES).story.rows
    (cmpset,) = [row for row in rows if row.text == "cmpset pg[1].busy_count"]

    def busy(machine, _step):
        return machine.vm.page.vm_page_array[1].busy_count.state()

    visitor = visited(takes_a_page, PAGES, cmpset.step, onward=every_step, look=busy)
    assert (cmpset.before, cmpset.after) == ("0", "LOCKED|0")
    assert ["0", "LOCKED|0"] == visitor.seen[:2]


def test_the_log_holds_the_steps_before_the_one_that_comes():
    def done(machine, _step):
        return trace.count_steps(machine.engine.log)

    visitor = visited(lost_update, BROKEN, 0, onward=every_step, look=done)
    total = vmsmp.replay(lost_update, BROKEN).steps
    assert [*range(total), total] == visitor.seen


def test_without_a_step_only_the_end_is_shown():
    assert [None] == visited(lost_update, CLEAN, None).steps


def test_a_step_after_the_end_is_never_reached():
    steps = vmsmp.replay(lost_update, CLEAN).steps
    assert [None] == visited(lost_update, CLEAN, steps).steps
    assert [steps - 1, None] == visited(lost_update, CLEAN, steps - 1).steps


def test_the_visitor_says_where_to_stop_next():
    onward = {2: 5, 5: 6, 6: 11}.get
    assert [2, 5, 6, 11, None] == visited(lost_update, CLEAN, 2, onward=onward).steps


@pytest.mark.parametrize("back", [0, 3, 4])
def test_a_run_does_not_go_back(back):
    assert [4, None] == visited(lost_update, CLEAN, 4, onward=lambda _: back).steps


# -- what it shows --------------------------------------------------------------------------------


def test_the_scene_says_what_every_cpu_holds_wants_and_does_next():
    rows = vmsmp.replay(lost_update, CLEAN).story.rows
    (store,) = [row.step for row in rows if row.text == "store word" and row.cpu == 1]
    zero, one, two = visited(lost_update, CLEAN, store).scenes[0]
    assert ("cpu0", (), "join one") == (zero.name, zero.holds, zero.wants)
    assert ("one", ("exclusive spinlock 'mine'",), "store word") == (one.name, one.holds, one.before)
    assert ("two", (), "start two") == (two.name, two.holds, two.before)


def test_the_scene_says_where_in_the_program_a_cpu_stands():
    rows = vmsmp.replay(lost_update, CLEAN).story.rows
    (store,) = [row for row in rows if row.text == "store word" and row.cpu == 1]
    assert store.place[0] == visited(lost_update, CLEAN, store.step).scenes[0][1].frames[0]


def test_at_the_end_of_a_clean_run_every_cpu_is_done():
    assert [True] * 3 == [stand.done for stand in visited(lost_update, CLEAN, None).scenes[0]]


def test_at_the_end_of_a_failed_run_cpus_stand_where_it_failed():
    told = vmsmp.replay(lost_update, BROKEN).story.scene
    assert told == visited(lost_update, BROKEN, None).scenes[0]


def test_at_the_end_the_machine_is_there_to_be_looked_at():
    def pages(machine, _step):
        return show_page(machine.vm, 1).splitlines()[4], show_pageq(machine.vm).split()[2:6:3]

    assert [("  busy_count  LOCKED|0", ["1", "pg[0]"])] == visited(takes_a_page, PAGES, None, look=pages).seen


def test_the_verdict_of_a_failed_run_is_that_of_its_replay():
    failure = vmsmp.replay(lost_update, BROKEN).failure
    violation = stop_at(lost_update, BROKEN, 3, Visitor())
    assert (failure.kind, failure.message, failure.cpu) == (violation.kind, violation.message, violation.cpu)
    assert ("check", "both are counted") == (violation.kind, violation.message)


def test_a_clean_run_has_no_verdict():
    assert None is stop_at(lost_update, CLEAN, 3, Visitor())


def test_the_checkers_watch_as_in_a_replay():
    def forgets(m):
        m.spinlock("left").acquire()

    line = "v1:forgets:0:"
    failure, violation = vmsmp.replay(forgets, line).failure, stop_at(forgets, line, None, Visitor())
    assert ("leak", failure.message) == (violation.kind, violation.message)


# -- the run is the same --------------------------------------------------------------------------


@pytest.mark.parametrize("step", [None, 0, 9])
@pytest.mark.parametrize("onward", [every_step, lambda step: None])
@pytest.mark.parametrize("line", [CLEAN, BROKEN, "v1:lost_update+exact:0:2.1>1"])
def test_a_run_stopped_and_continued_is_the_undisturbed_run(line, onward, step):
    visitor = visited(lost_update, line, step, onward=onward)
    assert vmsmp.replay(lost_update, line).digest == visitor.digest


@pytest.mark.parametrize("seed", ["0", "5", "c0ffee"])
@pytest.mark.parametrize("options", ["", "+exact", "+any+spurious"])
def test_draws_and_sleeps_are_the_same_however_often_it_stops(options, seed):
    line = f"v1:draws{options}:{seed}:1.3>2,2.2>3"
    visitor = visited(draws, line, 0, onward=every_step)
    assert vmsmp.replay(draws, line).digest == visitor.digest


def test_looking_at_all_pages_at_every_step_changes_nothing():
    def look(machine, _step):
        vm = machine.vm
        if vm is not None:
            show_page(vm), show_page(vm, 0), show_page(vm, 1), show_pageq(vm), show_object(vm)

    visitor = visited(takes_a_page, PAGES, 0, onward=every_step, look=look)
    assert vmsmp.replay(takes_a_page, PAGES).digest == visitor.digest


def test_a_failing_schedule_of_a_search_fails_after_stops_too():
    found = vmsmp.explore(lost_update, sched="random", schedules=200).failure
    visitor = Visitor(every_step)
    violation = stop_at(lost_update, found.schedule, 0, visitor)
    assert (found.kind, found.message, found.digest) == (violation.kind, violation.message, visitor.digest)


def test_a_line_with_a_mutant_runs_with_it_and_the_next_one_without():
    program = find_scenario("spin_writers_queue")
    found = vmsmp.explore(program, sched="random", schedules=500, mutants=["SP-05"]).failure
    bare = Schedule.parse(found.schedule)
    violation = stop_at(program, found.schedule, 5, Visitor())
    assert (found.kind, found.message) == (violation.kind, violation.message)
    assert None is stop_at(program, Schedule(bare.program, bare.seed, bare.preemptions), None, Visitor())


def test_a_line_may_be_a_schedule():
    schedule = Schedule("lost_update", 0, (Preemption(1, 3, 2),))
    assert BROKEN == str(schedule)
    assert "both are counted" == stop_at(lost_update, schedule, None, Visitor()).message


def test_no_thread_stays_behind():
    threads = threading.enumerate()
    stop_at(lost_update, BROKEN, 4, Visitor(every_step))
    assert not set(threading.enumerate()) - set(threads)


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "instead of 4"),
        ("v1:lost_update:0", "instead of 4"),
        ("v2:lost_update:0:", "version 'v2'"),
        ("v1:lost_update:xyz:", "not hexadecimal"),
        ("v1:lost_update:0:1.2", "not a preemption"),
        ("v1:lost_update:0:1.2>64", "above 63"),
        ("v1:lost_update+fast:0:", "unknown option 'fast'"),
        ("v1:lost_update+mutant=XX-99:0:", "XX-99"),
        ("v1:lost_update+repair=none_such:0:", "none_such"),
        ("v1:other:0:", "of program 'other', not of 'lost_update'"),
    ],
)
def test_a_line_that_cannot_be_is_refused_and_nothing_runs(line, words):
    visitor = Visitor()
    with pytest.raises(vmsmp.UsageError) as caught:
        stop_at(lost_update, line, None, visitor)
    assert (True, []) == (words in str(caught.value), visitor.steps)


@pytest.mark.parametrize("step", [None, 0, 9])
def test_an_error_of_use_in_the_visitor_reaches_the_caller(step):
    def refuse(*_):
        raise vmsmp.UsageError("there is no page 99")

    with pytest.raises(vmsmp.UsageError, match="there is no page 99"):
        stop_at(lost_update, CLEAN, step, refuse)


def test_an_error_of_use_in_the_program_reaches_the_caller_and_there_is_no_end_to_visit():
    def boots_twice(m):
        m.boot(pages=2)
        m.choose(2)
        m.boot(pages=2)

    visitor = Visitor()
    with pytest.raises(vmsmp.UsageError, match="booted already"):
        stop_at(boots_twice, "v1:boots_twice:0:", 0, visitor)
    assert [0] == visitor.steps
