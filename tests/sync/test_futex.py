"""Futexes at both depths."""

import pytest

import vmsmp
from lock_runs import DEPTHS, SCHEDULES, alone, delay, failure_of, once
from vmsmp import EAGAIN, EINTR, EWOULDBLOCK
from vmsmp.sync.futex import ALL


def flag(m, waiters=2, *, early=False, again=True):
    """Waiters for a flag, and the CPU that sets it and wakes them."""
    word = m.atomic(0, "flag")

    def waiter():
        while not word.load():
            m.futex_wait(word, 0)
            if not again:
                break
        m.check(word.load(), "the flag is set")

    for _ in range(waiters):
        m.spawn(waiter)
    if early:
        m.futex_wake(word, ALL)
    word.store(1)
    if not early:
        m.futex_wake(word, ALL)
    m.join()


@DEPTHS
@SCHEDULES
def test_who_waits_for_a_value_is_never_missed(locks, sched):
    assert [] == vmsmp.explore(flag, sched=sched, schedules=200, locks=locks, races=True).failures


@DEPTHS
def test_it_works_on_parallel_cpus(locks):
    assert None is vmsmp.run(flag, engine="free", locks=locks, seed=1).failure


@DEPTHS
def test_a_wake_before_the_store_is_a_lost_wakeup(locks):
    failure = failure_of(lambda m: flag(m, 1, early=True), locks)
    assert "flag: it is 1, no longer 0, and no wake came" == failure.message
    assert "lost-wakeup" == failure.kind


@DEPTHS
def test_a_word_that_changed_is_no_lost_wakeup_while_somebody_may_still_wake(locks):
    def program(m):
        word = m.atomic(0, "w")
        m.spawn(m.futex_wait, word, 0)
        delay(m, 1)
        word.store(1)
        delay(m, 1)
        m.futex_wake(word)
        m.join()

    once(program, locks)


@DEPTHS
def test_who_does_not_look_again_goes_on_for_no_reason(locks):
    def program(m):
        flag(m, 1, again=False)

    assert None is failure_of(program, locks, schedules=300)
    assert "check: the flag is set" == failure_of(program, locks, spurious=True).signature


@DEPTHS
def test_a_wait_for_another_value_returns_at_once(locks):
    assert [EAGAIN] == alone(lambda m, seen: seen.append(m.futex_wait(m.atomic(1), 0)), locks)


def test_eagain_is_the_kernel_s():
    assert (35, 35) == (EAGAIN, EWOULDBLOCK)


@DEPTHS
def test_a_wait_ends_when_its_time_is_over(locks):
    def program(m):
        word = m.atomic(0, "w")
        m.check(m.futex_wait(word, 0, timo=3) == EWOULDBLOCK, "the time is over")
        m.check(m.ticks == 3, "after three ticks")
        m.check(m.futexes.waiting(word) == 0, "and it is off the queue")

    once(program, locks, check=False)


@DEPTHS
def test_a_signal_ends_a_wait(locks):
    def program(m):
        word = m.atomic(0, "w")

        def waiter():
            m.check(m.futex_wait(word, 0) == EINTR, "it was interrupted")

        cpu = m.spawn(waiter)
        delay(m, 1)
        m.signal(cpu)
        m.join()
        m.check(m.futex_wake(word) == 0, "nobody waits any more")

    once(program, locks)


def queued(m, waiters, word):
    """Waiters that came one after the other, and the list of those who have gone on."""
    woken = []

    def waiter(n):
        m.futex_wait(word, word.peek())
        woken.append(n)

    for n in range(waiters):
        m.spawn(waiter, n)
        delay(m, 1)
    return woken


@DEPTHS
@pytest.mark.parametrize(("n", "count"), [(0, 0), (1, 1), (2, 2), (ALL, 3)])
def test_a_wake_takes_those_who_came_first_and_says_how_many(locks, n, count):
    seen = []

    def program(m):
        word = m.atomic(0, "w")
        woken = queued(m, 3, word)
        seen.append(m.futex_wake(word, n))
        delay(m, 1)
        seen.append(sorted(woken))
        m.futex_wake(word, ALL)
        m.join()

    once(program, locks)
    assert [count, list(range(count))] == seen


@DEPTHS
def test_a_requeue_wakes_some_and_moves_the_others(locks):
    seen = []

    def program(m):
        word, target = m.atomic(0, "w"), m.atomic(0, "t")
        woken = queued(m, 3, word)
        seen.append(m.futex_requeue(word, target, wake=1, requeue=ALL, expected=0))
        delay(m, 1)
        seen.extend([list(woken), m.futexes.waiting(word), m.futexes.waiting(target)])
        seen.append(m.futex_wake(target, ALL))
        m.join()

    once(program, locks)
    assert [3, [0], 0, 2, 2] == seen


@DEPTHS
def test_a_requeue_moves_no_more_than_asked(locks):
    seen = []

    def program(m):
        word, target = m.atomic(0, "w"), m.atomic(0, "t")
        queued(m, 3, word)
        seen.append(m.futex_requeue(word, target, wake=0, requeue=1))
        seen.extend([m.futexes.waiting(word), m.futexes.waiting(target)])
        m.futex_wake(word, ALL)
        m.futex_wake(target, ALL)
        m.join()

    once(program, locks)
    assert [1, 2, 1] == seen


@DEPTHS
def test_a_requeue_of_a_word_that_changed_does_nothing(locks):
    seen = []

    def program(m):
        word, target = m.atomic(0, "w"), m.atomic(0, "t")
        queued(m, 1, word)
        seen.append(m.futex_requeue(word, target, expected=1))
        seen.append(m.futexes.waiting(word))
        m.futex_wake(word)
        m.join()

    once(program, locks)
    assert [-EAGAIN, 1] == seen


def moved_and_given_up(m):
    """A waiter is moved, woken on its new word, or gives up, all at the same time."""
    word, target, ends = m.atomic(0, "w"), m.atomic(0, "t"), m.atomic(0, "woken")

    def waiter():
        if m.futex_wait(word, 0, timo=3) == 0:
            ends.fetchadd(1)

    m.spawn(waiter)
    m.spawn(waiter)
    m.futex_requeue(word, target, wake=0)
    woken = m.futex_wake(word, ALL) + m.futex_wake(target, ALL)
    m.join()
    m.check(ends.load() == woken, "who was woken knows it, and nobody else")
    m.check(m.futexes.waiting(word) + m.futexes.waiting(target) == 0, "nobody is left on a queue")


@DEPTHS
def test_who_was_woken_is_told_so_whatever_else_ends_its_wait(locks):
    assert None is failure_of(moved_and_given_up, locks, schedules=600, timeouts="any", check=False)


@DEPTHS
def test_a_wait_with_a_spinlock_held_is_misuse_even_if_the_value_is_another(locks):
    def program(m):
        with m.spinlock("s"):
            m.futex_wait(m.atomic(1), 0)

    assert "lock-misuse" == failure_of(program, locks).kind


@DEPTHS
def test_nobody_wakes_is_a_deadlock_that_names_the_word(locks):
    failure = failure_of(lambda m: m.futex_wait(m.atomic(0, "w"), 0), locks)
    assert "deadlock: no CPU can run; waited for: w" == failure.signature


def test_words_of_one_bucket_do_not_wake_each_other():
    def program(m):
        words = [m.atomic(0, f"w{n}") for n in range(9)]
        buckets = [m.futexes._bucket(word) for word in words]
        other = next(k for k in range(1, 9) if buckets[k] is buckets[0])
        queued(m, 1, words[0])
        m.check(m.futex_wake(words[other]) == 0, "nobody waits on that one")
        m.check(m.futex_wake(words[0]) == 1, "but on this one")
        m.join()

    once(program, "exact")
