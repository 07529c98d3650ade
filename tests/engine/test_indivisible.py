"""Several accesses as one visible operation, in both engines."""

import pytest

import vmsmp
from lock_runs import DEPTHS, failure_of, once


def pair(m):
    """Two writers keep two words the same, and a reader looks at both at once."""
    a, b = m.cell(0, "a"), m.atomic(0, "b")

    def writer(n):
        with m.step():
            a.store(a.load() + n)
            b.fetchadd(n)

    def reader():
        with m.step():
            m.check(a.load() == b.load(), "both are as one")

    m.spawn(writer, 1)
    m.spawn(writer, 2)
    m.spawn(reader)
    m.join()
    m.check((a.load(), b.load()) == (3, 3), "both writers count")


def torn(m):
    """The reader looks at one after the other."""
    a, b = m.atomic(0, "a"), m.atomic(0, "b")

    def writer():
        with m.step():
            a.store(1)
            b.store(1)

    m.spawn(writer)
    seen = a.load(), b.load()
    m.check(seen != (0, 1), "the second is not ahead")
    m.join()


@pytest.mark.parametrize("sched", ["portfolio", "dfs", "dpor"])
def test_nobody_sees_the_middle_of_a_step(sched):
    result = vmsmp.explore(pair, sched=sched, schedules=400, races=True)
    assert [] == result.failures
    assert result.exhausted or sched == "portfolio"


@pytest.mark.parametrize("sched", ["portfolio", "dfs", "dpor"])
def test_a_step_comes_between_two_looks(sched):
    assert "check: the second is not ahead" == failure_of(torn, "atomic", sched=sched).signature


def test_it_is_one_row_of_the_report():
    report = failure_of(torn, "atomic").report()
    assert "| step: store a 0 -> 1, store b 0 -> 1 |" in report


def test_its_line_brings_it_back():
    failure = failure_of(torn, "atomic")
    again = vmsmp.replay(torn, failure.schedule)
    assert (failure.signature, failure.digest) == (again.failure.signature, again.digest)


def ends(program, sched):
    """All ends of a program, by a search that saw everything."""
    seen = set()

    def told(m):
        seen.add(program(m))

    result = vmsmp.explore(told, sched=sched, schedules=20_000)
    assert result.exhausted
    return seen


def swaps(m):
    """Two CPUs exchange two of three words each, and a third one writes a word."""
    a, b, c = m.atomic(1, "a"), m.atomic(2, "b"), m.atomic(3, "c")

    def swap(x, y):
        with m.step():
            old = x.load()
            x.store(y.load())
            y.store(old)

    m.spawn(swap, a, b)
    m.spawn(swap, b, c)
    m.spawn(c.store, 9)
    m.join()
    return a.peek(), b.peek(), c.peek()


def chosen(m):
    """Which word a step touches depends on what it finds."""
    which, words = m.atomic(0, "which"), [m.atomic(0, "w0"), m.atomic(0, "w1")]
    seen = []

    def follow():
        with m.step():
            words[which.load()].store(7)

    m.spawn(follow)
    m.spawn(which.store, 1)
    m.spawn(lambda: seen.append((words[0].load(), words[1].load())))
    m.join()
    return seen[0], words[0].peek(), words[1].peek()


@pytest.mark.parametrize("program", [swaps, chosen])
def test_dpor_reaches_every_end_that_depth_first_search_does(program):
    expected = ends(program, "dfs")
    assert len(expected) > 3
    assert expected == ends(program, "dpor")


REFUSED = {
    "acquire l": lambda m: m.spinlock("l").acquire(),
    "acquire t": lambda m: m.token("t").acquire(),
    "request k": lambda m: m.lockmgr("k").acquire(),
    "pause": lambda m: m.pause(),
    "yield": lambda m: m.yield_(),
    "choose": lambda m: m.choose(2),
    "spawn": lambda m: m.spawn(m.pause),
    "sleep x": lambda m: m.tsleep("x", 0, "", 1),
    "wakeup x": lambda m: m.wakeup("x"),
    "step": lambda m: m.step().__enter__(),
    "a wait": lambda m: m.semaphore(0).acquire(),
}


@pytest.mark.parametrize("what", REFUSED)
def test_only_memory_may_be_accessed_inside(what):
    def program(m):
        with m.step():
            REFUSED[what](m)

    failure = failure_of(program, "atomic")
    assert "lock-misuse" == failure.kind
    assert f"{what} inside m.step(), where only memory may be accessed" == failure.message


@DEPTHS
@pytest.mark.parametrize("what", ["spinlock", "token", "lockmgr"])
def test_no_lock_may_be_taken_inside_even_if_it_is_free(locks, what):
    def program(m):
        lock = getattr(m, what)("l")
        with m.step(), lock:
            pass

    failure = failure_of(program, locks)
    assert "lock-misuse" == failure.kind
    assert "inside m.step()" in failure.message


def test_a_join_of_a_cpu_that_runs_is_refused():
    def program(m):
        cpu = m.spawn(m.tsleep, "x", 0, "", 3)
        with m.step():
            cpu.join()

    assert "a wait inside m.step(), where only memory may be accessed" == (
        failure_of(program, "atomic").message
    )


def test_a_check_that_fails_inside_is_the_program_s_failure():
    def program(m):
        word = m.atomic(0)

        def worker():
            with m.step():
                word.store(1)
                m.check(word.load() == 2, "it is two")

        m.spawn(worker)
        m.spawn(worker)
        m.join()

    failure = failure_of(program, "atomic")
    assert "check: it is two" == failure.signature
    assert failure.digest == vmsmp.replay(program, failure.schedule).digest


def test_an_exception_that_leaves_a_step_ends_it():
    def program(m):
        word = m.atomic(0)
        try:
            with m.step():
                word.store(1)
                raise KeyError
        except KeyError:
            pass
        m.pause()  # what a step refuses
        m.check(word.load() == 1, "it was stored")

    once(program)


def test_a_cpu_that_spins_on_a_word_sees_what_a_step_wrote():
    def program(m):
        word, other = m.atomic(0), m.atomic(0)

        def spinner():
            while not word.load():
                m.pause()

        m.spawn(spinner)
        with m.step():
            other.store(1)
            word.store(1)
        m.join()

    assert None is failure_of(program, "atomic", sched="dfs", schedules=1000)


def test_a_plain_access_beside_a_step_is_a_race():
    def program(m):
        cell = m.cell(0, "x")

        def in_step():
            with m.step():
                cell.store(1)

        m.spawn(in_step)
        m.spawn(cell.load)
        m.join()

    failure = failure_of(program, "atomic", races=True)
    assert "data-race: x: load and store, with nothing to order them" == failure.signature


def test_what_one_step_wrote_comes_before_what_follows_a_step_that_saw_it():
    def program(m):
        data, flag = m.cell(0, "data"), m.cell(0, "flag")

        def producer():
            data.store(1)
            with m.step():
                flag.store(1)

        m.spawn(producer)
        with m.step():
            seen = flag.load()
        if seen:
            m.check(data.load() == 1, "it is there")
        m.join()

    assert None is failure_of(program, "atomic", races=True, schedules=200)


@pytest.mark.parametrize("locks", ["atomic", "exact"])
def test_parallel_cpus_do_not_see_the_middle_either(locks):
    def program(m):
        a, b = m.cell(0, "a"), m.cell(0, "b")

        def writer():
            for _ in range(20):
                with m.step():
                    a.store(a.load() + 1)
                    b.store(b.load() + 1)

        def reader():
            for _ in range(20):
                with m.step():
                    m.check(a.load() == b.load(), "both are as one")

        m.spawn(writer)
        m.spawn(writer)
        m.spawn(reader)
        m.join()
        m.check(a.load() == 40, "every step counts")

    assert None is vmsmp.run(program, engine="free", locks=locks, seed=1).failure


def test_parallel_cpus_are_refused_the_same():
    def program(m):
        with m.step():
            m.pause()

    failure = vmsmp.run(program, engine="free").failure
    assert "pause inside m.step(), where only memory may be accessed" == failure.message
