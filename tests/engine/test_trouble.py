"""What an exception that ends a CPU's life comes to: a failure of the program, or an error."""

from __future__ import annotations

import errno
import os
import re
import threading

import pytest

import vmsmp
from lost_update import lost_update
from vmsmp.check.deadlock import Deadlock
from vmsmp.check.wakeup import LostWakeup
from vmsmp.engine.observer import Observer
from vmsmp.engine.verdict import FailureKind
from vmsmp.errors import Halt, HostError, InternalError, UsageError
from vmsmp.sched.dpor import Dpor
from vmsmp.sched.random_walk import RandomWalk


class Unspeakable(Exception):
    def __str__(self):
        raise ValueError("no text")

    __repr__ = __str__


def raising(error, *, on_boot=False):
    """A program one of whose CPUs raises that."""

    def program(m):
        def worker():
            raise error

        if on_boot:
            worker()
        m.spawn(worker)
        m.join()

    return program


def failure_of(program, **options):
    return vmsmp.explore(program, **{"sched": "random", "schedules": 20, **options}).failure


# -- of the program --------------------------------------------------------------------------------


@pytest.mark.parametrize("on_boot", [False, True])
def test_an_exception_without_a_text_is_a_failure_of_the_program(on_boot):
    failure = failure_of(raising(Unspeakable(), on_boot=on_boot))
    assert ("exception", "Unspeakable: <Unspeakable whose text cannot be had: ValueError> in worker") == (
        failure.kind,
        failure.message,
    )


def test_an_assert_whose_message_has_no_text_is_a_check_that_failed():
    assert "check" == failure_of(raising(AssertionError(Unspeakable()))).kind


@pytest.mark.parametrize("engine", ["controlled", "free"])
@pytest.mark.parametrize(
    ("error", "headline"),
    [
        (KeyboardInterrupt(), "KeyboardInterrupt in worker"),
        (KeyboardInterrupt(" "), "KeyboardInterrupt in worker"),
        (SystemExit(), "SystemExit in worker"),
        (ValueError(""), "ValueError in worker"),
    ],
    ids=repr,
)
def test_an_exception_that_says_nothing_is_told_by_its_name(engine, error, headline):
    assert headline == vmsmp.run(raising(error), engine=engine).failure.message


def test_who_raises_a_keyboard_interrupt_is_told_that_it_was_not_ctrl_c():
    failure = vmsmp.run(raising(KeyboardInterrupt()), engine="controlled").failure
    assert "the program raised it itself: Ctrl-C reaches no CPU" == failure.facts[-1]


@pytest.mark.parametrize("engine", ["controlled", "free"])
def test_a_free_run_tells_it_too(engine):
    assert "exception" == vmsmp.run(raising(Unspeakable()), engine=engine).failure.kind


def test_a_message_that_is_no_text_is_told_as_one():
    assert ("check", "17") == (failure_of(lambda m: m.check(False, 17)).kind, "17")


def test_a_message_without_a_text_is_told():
    failure = failure_of(lambda m: m.check(False, Unspeakable()))
    assert "<Unspeakable whose text cannot be had: ValueError>" == failure.message


def test_a_long_message_is_cut():
    assert len(failure_of(raising(ValueError("x" * 10_000))).message) < 600


def test_a_message_of_several_lines_is_told_by_its_first():
    assert "ValueError: one in worker" == failure_of(raising(ValueError("one\ntwo"))).message


def test_half_a_character_can_be_printed():
    assert r"ValueError: \udc80 in worker" == failure_of(raising(ValueError("\udc80"))).message


@pytest.mark.parametrize("races", [False, True])
def test_a_cell_whose_value_has_no_text_is_no_trouble(races):
    def program(m):
        word = m.cell(0)
        m.spawn(lambda: word.store(Unspeakable()))
        m.join()
        m.check(False, "what the program says")

    assert ("check", "what the program says") == (
        failure_of(program, races=races).kind,
        failure_of(program, races=races).message,
    )


@pytest.mark.parametrize("on_boot", [False, True])
def test_a_recursion_without_end_is_told_as_one(on_boot):
    def program(m):
        word = m.cell(0)

        def deeper():
            word.load()
            deeper()

        if on_boot:
            deeper()
        m.spawn(deeper)
        m.join()

    failure = failure_of(program)
    assert ("exception", "RecursionError: maximum recursion depth exceeded in deeper", "") == (
        failure.kind,
        failure.message,
        failure.digest,
    )


def test_a_replayed_recursion_without_end_fails_the_same_way():
    def program(m):
        def deeper(n):
            m.yield_()
            deeper(n + 1)

        m.spawn(deeper, 0)
        m.join()

    failure = failure_of(program)
    assert failure.signature == vmsmp.replay(program, failure.schedule).failure.signature


@pytest.mark.parametrize("thing", [None, 7, "main"])
def test_to_start_what_is_no_function_is_a_type_error_of_the_program(thing):
    failure = failure_of(lambda m: m.spawn(thing))
    assert ("exception", f"TypeError: a CPU runs a function, not {thing!r} in <lambda>") == (
        failure.kind,
        failure.message,
    )


COMPREHENSIONS = {
    "a list": lambda: [1 // n for n in (0,)],
    "a set": lambda: {1 // n for n in (0,)},
    "a dict": lambda: {n: 1 // n for n in (0,)},
    "one in another": lambda: [[1 // n for n in (0,)] for _ in (0,)],
}


@pytest.mark.parametrize("make", COMPREHENSIONS.values(), ids=COMPREHENSIONS)
def test_a_comprehension_is_part_of_the_function_around_it(make):
    failure = failure_of(lambda m: make())
    assert failure.message.endswith("by zero in <lambda>")
    assert 2 == len(failure.facts)  # the program, and what it calls


def test_the_line_of_a_comprehension_is_the_one_that_raised():
    def program(m):
        return [
            1 // n
            for n in (0,)
        ]  # fmt: skip

    line = program.__code__.co_firstlineno + 2
    assert (f"cpu0 engine/test_trouble.py:{line} in program",) == failure_of(program).facts


# -- of the host -----------------------------------------------------------------------------------

LIMITS = {
    "files": (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
    "files of the system": (OSError(errno.ENFILE, "Too many open files in system"), "in system"),
    "memory of the system": (OSError(errno.ENOMEM, "Cannot allocate memory"), "Cannot allocate"),
    "memory": (MemoryError(), "memory"),
    "threads": (RuntimeError("can't start new thread"), "threads"),
}


@pytest.mark.parametrize(("error", "lacking"), LIMITS.values(), ids=LIMITS)
@pytest.mark.parametrize("engine", ["controlled", "free"])
def test_a_limit_of_the_host_is_no_finding(error, lacking, engine):
    with pytest.raises(HostError, match=f"the host has not what the run needs: .*{re.escape(lacking)}"):
        vmsmp.run(raising(error), engine=engine)


def test_the_message_about_a_limit_is_one_line_with_the_place():
    with pytest.raises(HostError) as told:
        failure_of(raising(MemoryError()))
    assert re.fullmatch(r".*: memory, at engine/test_trouble\.py:\d+ in worker", str(told.value))


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOENT, "No such file"), RuntimeError("can't stop")], ids=["a file", "another"]
)
def test_another_error_of_the_system_is_the_program_s(error):
    assert "exception" == failure_of(raising(error)).kind


@pytest.mark.skipif(not hasattr(os, "eventfd"), reason="no eventfd here")
@pytest.mark.parametrize("engine", ["controlled", "free"])
def test_no_descriptor_for_another_cpu_is_a_limit_of_the_host(monkeypatch, engine):
    real, made = os.eventfd, []

    def eventfd(*args):
        made.append(args)
        if len(made) == 2:
            raise OSError(errno.EMFILE, "Too many open files")
        return real(*args)

    monkeypatch.setattr(os, "eventfd", eventfd)
    with pytest.raises(HostError, match="Too many open files"):
        vmsmp.run(lambda m: m.spawn(lambda: None), engine=engine)


# -- of vmsmp --------------------------------------------------------------------------------------


def broken(self=None, *_args, **_kwargs):
    raise IndexError("list index out of range")


@pytest.mark.parametrize("sched", ["dpor", "random"])
def test_a_scheduler_that_raises_is_an_internal_error(monkeypatch, sched):
    monkeypatch.setattr(Dpor if sched == "dpor" else RandomWalk, "pick", broken)
    with pytest.raises(InternalError, match=r"IndexError: list index out of range, at .* in broken"):
        vmsmp.explore(lost_update, sched=sched, schedules=5)


@pytest.mark.parametrize("hook", ["spawned", "yielded", "ended", "choose"])
def test_another_part_of_a_scheduler_that_raises_is_one_too(monkeypatch, hook):
    monkeypatch.setattr(RandomWalk, hook, broken, raising=False)

    def program(m):
        m.spawn(m.yield_)
        m.choose(2)
        m.join()
        m.check(False, "the end")

    with pytest.raises(InternalError, match="list index out of range"):
        vmsmp.explore(program, sched="random", schedules=5)


def test_no_program_catches_what_a_scheduler_raises(monkeypatch):
    monkeypatch.setattr(RandomWalk, "pick", broken)

    def program(m):
        word = m.cell(0)

        def worker():
            while True:
                try:
                    word.store(1)
                except Exception:  # it catches whatever it can
                    pass

        m.spawn(worker)
        m.spawn(worker)
        m.join()

    with pytest.raises(InternalError, match="list index out of range"):
        vmsmp.explore(program, sched="random", schedules=5)


@pytest.mark.parametrize("hook", ["op", "spawned", "joined", "exits", "quiescent", "end"])
def test_an_observer_that_raises_is_an_internal_error(controlled, hook):
    watching = type("Watching", (Observer,), {hook: broken})
    with pytest.raises(InternalError, match="list index out of range"):
        controlled(lost_update, observers=(watching(),))


def test_a_checker_that_raises_at_the_last_moment_is_one_too(monkeypatch):
    monkeypatch.setattr(Deadlock, "idle", broken)

    def program(m):
        m.spawn(lambda: m.tsleep("never"))
        m.join()

    with pytest.raises(InternalError, match="list index out of range"):
        vmsmp.explore(program, schedules=5)


def test_an_observer_that_raises_in_a_free_run_is_an_internal_error(free):
    watching = type("Watching", (Observer,), {"exits": broken})
    with pytest.raises(InternalError, match="list index out of range"):
        free(lost_update, observers=(watching(),))


def test_a_reason_for_a_wakeup_that_raises_is_an_internal_error():
    def program(m):
        m.spawn(lambda: m.tsleep("bed", overdue=broken))
        m.join()

    with pytest.raises(InternalError, match="list index out of range"):
        vmsmp.explore(program, schedules=5)


def test_its_cause_is_kept(monkeypatch):
    monkeypatch.setattr(LostWakeup, "op", broken)
    with pytest.raises(InternalError) as told:
        vmsmp.explore(lost_update, schedules=5)
    assert IndexError is type(told.value.__cause__)


# -- of the user -----------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["controlled", "free"])
def test_a_usage_error_in_a_program_is_no_finding(engine):
    def program(m):
        m.boot(pages=8)
        m.boot(pages=8)

    with pytest.raises(UsageError, match="booted already"):
        vmsmp.run(program, engine=engine)


@pytest.mark.parametrize("engine", ["controlled", "free"])
@pytest.mark.parametrize("on_boot", [True, False])
def test_a_program_may_not_close_its_machine(engine, on_boot):
    def program(m):
        if on_boot:
            m.close()
        m.spawn(m.close)
        m.join()

    with pytest.raises(UsageError, match="closes its machine while it runs"):
        vmsmp.run(program, engine=engine)


def test_a_program_that_fails_may_not_close_it_either():
    def program(m):
        def closes():
            try:
                m.cell(0).load()
                m.panic("it fails")
            finally:
                m.close()

        m.spawn(closes)
        m.join()

    with pytest.raises(UsageError, match="closes its machine while it runs"):
        vmsmp.run(program, engine="controlled")


def test_a_recursion_s_failure_says_that_it_depends_on_the_host(controlled):
    def deeper():
        deeper()

    violation = controlled(lambda m: deeper()).violation
    assert (FailureKind.EXCEPTION, True) == (violation.kind, violation.by_host)


def foreign(m):
    """Let a host thread perform an operation, as a test of a thread pool might."""
    word = m.cell(0)

    def helper():
        try:
            word.store(1)
        except (UsageError, Halt):
            pass  # this thread's own; the run tells it too

    def worker():
        thread = threading.Thread(target=helper)
        thread.start()
        thread.join()

    m.spawn(worker)
    m.join()


@pytest.mark.parametrize("engine", ["controlled", "free"])
def test_an_operation_of_a_thread_that_is_no_cpu_s_is_refused(engine):
    with pytest.raises(UsageError, match="thread of the program's own"):
        vmsmp.run(foreign, engine=engine)


def test_it_is_refused_where_cpus_change_in_every_run(controlled):
    class Change(RandomWalk):
        def pick(self, current, run):
            return next((cpu for cpu in run if cpu is not current), current)

    def program(m):
        word = m.cell(0)
        m.spawn(lambda: [word.load() for _ in range(20)])
        foreign(m)

    with pytest.raises(UsageError, match="thread of the program's own"):
        controlled(program, Change(0))


def test_a_replay_refuses_it_too():
    with pytest.raises(UsageError, match="thread of the program's own"):
        vmsmp.replay(foreign, "v1:foreign:0:")


def yields(m):
    yield m.cell(0).load()


async def waits(m):
    m.cell(0).load()


async def yields_and_waits(m):
    yield m.cell(0).load()


@pytest.mark.parametrize("engine", ["controlled", "free"])
@pytest.mark.parametrize("program", [yields, waits, yields_and_waits])
def test_a_program_of_which_nothing_would_run_is_no_clean_run(engine, program):
    searched = vmsmp.run(program, engine="free", time_s=5) if engine == "free" else vmsmp.explore(program)
    assert searched.failure is not None
    assert f"{program.__name__} is a generator or a coroutine" in searched.failure.message


def test_a_cpu_of_whose_function_nothing_would_run_fails():
    def spawns(m):
        m.spawn(yields, m)
        m.join()

    assert "TypeError: a CPU runs a function to its end" in failure_of(spawns).message
