"""What a mutex offers at both depths: contract and misuse."""

import pytest

import vmsmp
from lock_runs import DEPTHS, SCHEDULES, alone, delay, failure_of, once
from vmsmp import EWOULDBLOCK


def counting(m):
    """Writers add under the mutex, readers look twice; the cell has no other protection."""
    mtx, data = m.mutex("mtx"), m.cell(0, "data")

    def reader():
        mtx.lock_shared()
        m.check(data.load() == data.load(), "it stands still")
        mtx.unlock()

    def writer():
        with mtx:
            data.store(data.load() + 1)

    for role in (reader, writer, reader, writer):
        m.spawn(role)
    m.join()
    m.check(data.load() == 2, "each writer counts")


@DEPTHS
@SCHEDULES
def test_writers_are_alone_and_readers_see_no_writer(locks, sched):
    assert [] == vmsmp.explore(counting, sched=sched, schedules=200, locks=locks, races=True).failures


@DEPTHS
def test_waits_that_end_for_no_reason_change_nothing(locks):
    assert None is failure_of(counting, locks, schedules=300, spurious=True)


@DEPTHS
def test_it_works_on_parallel_cpus(locks):
    assert [None] * 5 == [
        vmsmp.run(counting, engine="free", locks=locks, seed=seed).failure for seed in range(5)
    ]


@DEPTHS
def test_readers_are_inside_together(locks):
    def program(m):
        mtx, inside = m.mutex("mtx"), m.barrier(2, "inside")

        def reader():
            mtx.lock_shared()
            inside.wait()
            mtx.unlock()

        m.spawn(reader)
        m.spawn(reader)
        m.join()

    assert None is failure_of(program, locks, schedules=200)


@DEPTHS
def test_its_owner_may_take_it_again(locks):
    def program(m, seen):
        mtx = m.mutex("mtx")
        mtx.lock()
        mtx.lock()
        seen.append(mtx.try_lock())
        for _ in range(3):
            seen.append(mtx.held())
            mtx.unlock()
        seen.append(mtx.held())

    assert [True, True, True, True, False] == alone(program, locks)


@DEPTHS
@pytest.mark.parametrize(
    ("hold", "ask", "got"),
    [
        ("lock", "try_lock", False),
        ("lock", "try_lock_shared", False),
        ("lock_shared", "try_lock", False),
        ("lock_shared", "try_lock_shared", True),
    ],
)
def test_a_try_beside_another_cpu_s_hold(locks, hold, ask, got):
    seen = []

    def program(m):
        mtx = m.mutex("mtx")

        def asks():
            seen.append(getattr(mtx, ask)())
            if seen[0]:
                mtx.unlock()

        getattr(mtx, hold)()
        m.spawn(asks).join()
        mtx.unlock()

    once(program, locks)
    assert [got] == seen


@DEPTHS
@pytest.mark.parametrize(("held_for", "error"), [(9, EWOULDBLOCK), (1, 0)])
def test_a_timed_request_waits_so_long_and_no_longer(locks, held_for, error):
    seen = []

    def program(m):
        mtx = m.mutex("mtx")

        def asks():
            seen.append(mtx.lock_timed(3))
            seen.append(mtx.held())
            if mtx.held():
                mtx.unlock()

        mtx.lock()
        m.spawn(asks)
        delay(m, held_for)
        mtx.unlock()
        m.join()

    once(program, locks)
    assert [error, error == 0] == seen


def queued(m, order, *requests):
    """Requests that wait, one after the other, for a mutex that the boot CPU holds and then releases."""
    mtx = m.mutex("mtx")

    def take(name, how):
        getattr(mtx, how)()
        order.append(name)
        mtx.unlock()

    mtx.lock()
    for name, how in requests:
        m.spawn(take, name, how)
        delay(m, 1)
    return mtx


@DEPTHS
def test_writers_are_served_in_the_order_of_their_coming(locks):
    order = []

    def program(m):
        queued(m, order, ("a", "lock"), ("b", "lock"), ("c", "lock")).unlock()
        m.join()

    once(program, locks)
    assert ["a", "b", "c"] == order


@DEPTHS
def test_a_writer_that_waits_goes_before_a_reader_that_came_first(locks):
    order = []

    def program(m):
        queued(m, order, ("reader", "lock_shared"), ("writer", "lock")).unlock()
        m.join()

    once(program, locks)
    assert ["writer", "reader"] == order


@DEPTHS
def test_a_new_reader_waits_behind_a_writer_but_a_try_does_not(locks):
    order = []

    def program(m):
        mtx = m.mutex("mtx")

        def take(name, how):
            getattr(mtx, how)()
            order.append(name)
            mtx.unlock()

        mtx.lock_shared()
        m.spawn(take, "writer", "lock")
        delay(m, 1)
        m.spawn(take, "reader", "lock_shared")
        delay(m, 1)
        m.check(mtx.try_lock_shared(), "a try ignores the writer")
        mtx.unlock()
        m.check(order == [], "nobody is let in yet")
        mtx.unlock()
        m.join()

    once(program, locks)
    assert ["writer", "reader"] == order


def downgrading(m, order):
    mtx = queued(m, order, ("writer", "lock"), ("reader", "lock_shared"))
    mtx.downgrade()
    delay(m, 1)
    order.append("still here")
    mtx.unlock()
    m.join()


def test_a_downgrade_lets_the_readers_in_and_no_writer():
    assert ["reader", "still here", "writer"] == alone(downgrading, "atomic")


def test_a_downgrade_gives_its_count_to_a_reader_that_waits_as_in_the_kernel():
    failure = failure_of(lambda m: downgrading(m, []), "exact", schedules=1, sched="dfs:0")
    assert "state word of mutex 'mtx': 2 holds but the word counts 1" == failure.message


def test_with_its_repair_a_downgrade_does_the_same_at_both_depths():
    mended = ["downgrade-keeps-its-count"]
    assert ["reader", "still here", "writer"] == alone(downgrading, "exact", repairs=mended)


@DEPTHS
def test_a_downgrade_of_two_levels_makes_two_shared_holds(locks):
    def program(m, seen):
        mtx = m.mutex("mtx")
        mtx.lock()
        mtx.lock()
        mtx.downgrade()
        mtx.unlock()
        seen.append(mtx.held())
        mtx.downgrade()  # does nothing to a shared hold
        mtx.unlock()
        seen.append(mtx.held())

    assert [True, False] == alone(program, locks)


@DEPTHS
def test_the_only_reader_may_become_the_owner(locks):
    def program(m, seen):
        mtx = m.mutex("mtx")
        mtx.lock_shared()
        seen.extend([mtx.try_upgrade(), mtx.try_upgrade()])
        mtx.unlock()
        mtx.lock_shared()
        mtx.lock_shared()
        seen.append(mtx.try_upgrade())
        mtx.unlock()
        mtx.unlock()

    assert [True, True, False] == alone(program, locks)


@DEPTHS
def test_tokens_are_lost_while_it_is_waited_for(locks):
    def program(m):
        mtx, token = m.mutex("mtx"), m.token("token")

        def waiter():
            with token, mtx:
                pass

        mtx.lock()
        m.spawn(waiter)
        delay(m, 1)
        with token:
            pass
        mtx.unlock()
        m.join()

    once(program, locks)


@DEPTHS
def test_a_condition_variable_waits_with_it(locks):
    def program(m):
        mtx, cv, ready = m.mutex("mtx"), m.condvar("cv"), m.cell(0, "ready")

        def waiter():
            with mtx:
                while not ready.load():
                    cv.wait(mtx)

        m.spawn(waiter)
        m.spawn(waiter)
        with mtx:
            ready.store(1)
            cv.broadcast()
        m.join()

    assert None is failure_of(program, locks, schedules=300, races=True)


# -- what the checkers say -------------------------------------------------------------------------------


def opposite(m):
    a, b = m.mutex("a"), m.mutex("b")

    def takes(first, second):
        with first, second:
            pass

    m.spawn(takes, a, b)
    m.spawn(takes, b, a)
    m.join()


@DEPTHS
def test_a_wait_for_it_is_part_of_a_cycle(locks):
    def program(m):
        mtx = m.mutex("mtx")
        mtx.lock()
        m.spawn(mtx.lock).join()

    assert "cycle join -> mtx -> join" == failure_of(program, locks, schedules=1).message


@DEPTHS
def test_their_order_is_checked(locks):
    assert "lock-order" == failure_of(opposite, locks, sched="dfs:0", schedules=1).kind


@DEPTHS
def test_one_that_is_never_released_is_a_leak(locks):
    assert "leak" == failure_of(lambda m: m.mutex("mtx").lock(), locks, schedules=1).kind


@DEPTHS
@pytest.mark.parametrize(
    ("program", "kind"),
    [
        (lambda m: m.mutex("mtx").unlock(), None),
        (lambda m: [m.spinlock("s").acquire(), m.mutex("mtx").lock()], "lock-misuse"),
        (lambda m: [mtx := m.mutex("mtx"), mtx.lock_shared(), mtx.lock()], "lock-misuse"),
        (lambda m: m.mutex("mtx").downgrade(), "check"),
        (lambda m: [mtx := m.mutex("mtx"), mtx.lock(), m.spawn(mtx.unlock).join()], None),
        (lambda m: [mtx := m.mutex("mtx"), mtx.lock(), m.spawn(mtx.downgrade).join()], "check"),
        (lambda m: [mtx := m.mutex("mtx"), mtx.lock(), m.spawn(mtx.try_upgrade).join()], "check"),
    ],
    ids=[
        *("not held", "under a spinlock", "over a shared hold", "downgrade of nothing"),
        *("another's", "downgrade of another's", "upgrade of another's"),
    ],
)
def test_misuse_is_found(locks, program, kind):
    failure = failure_of(program, locks, schedules=1)
    assert failure.kind in ({kind} if kind else {"lock-misuse", "check"})


@DEPTHS
@pytest.mark.parametrize(
    ("program", "message"),
    [
        (lambda m: m.mutex("mtx").unlock(), "panic: mtx_unlock: mutex 'mtx' is not held"),
        (
            lambda m: [mtx := m.mutex("mtx"), mtx.lock(), m.spawn(mtx.unlock).join()],
            "panic: mtx_unlock: mutex 'mtx' is owned by another thread",
        ),
    ],
    ids=["not held", "another's"],
)
def test_what_the_kernel_asserts_is_a_panic_without_checkers(locks, program, message):
    assert message == failure_of(program, locks, schedules=1, check=False).message
