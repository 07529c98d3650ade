"""Lock misuse: what must not be done, found whether or not it goes wrong."""

import pytest

import vmsmp
from verdicts import found, silent
from vmsmp import LK_EXCLUSIVE, LK_NOWAIT, LK_SHARED

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])


@DEPTHS
def test_a_sleep_with_a_spinlock_held_is_found(locks):
    def program(m):
        with m.spinlock("s"):
            m.tsleep("x", 0, "", 1)

    found(program, "lock-misuse", "blocking point with spinlock 's' held", locks=locks)


@DEPTHS
@pytest.mark.parametrize("sort", ["token", "lockmgr"])
@pytest.mark.parametrize("how", ["acquire", "acquire_shared"])
def test_asking_for_a_lock_that_may_sleep_with_a_spinlock_held_is_found(locks, sort, how):
    def program(m):
        lock = getattr(m, sort)("l")
        with m.spinlock("s"):
            getattr(lock, how)()

    message = f"{sort} 'l' wanted, which may sleep, with spinlock 's' held"
    found(program, "lock-misuse", message, locks=locks)


@DEPTHS
@pytest.mark.parametrize("first", ["acquire", "acquire_shared"])
@pytest.mark.parametrize("second", ["acquire", "acquire_shared"])
def test_a_spinlock_wanted_by_its_holder_is_found(locks, first, second):
    def program(m):
        lock = m.spinlock("s")
        getattr(lock, first)()
        getattr(lock, second)()

    modes = {"acquire": "exclusive", "acquire_shared": "shared"}
    message = f"spinlock 's' wanted {modes[second]} by the CPU that holds it {modes[first]}"
    found(program, "lock-misuse", message, locks=locks)


@DEPTHS
@pytest.mark.parametrize("sort", ["token", "lockmgr"])
def test_exclusive_over_the_own_shared_hold_is_found(locks, sort):
    def program(m):
        lock = getattr(m, sort)("l")
        lock.acquire_shared()
        lock.acquire()

    message = f"{sort} 'l' wanted exclusive over the CPU's own shared hold"
    found(program, "lock-misuse", message, locks=locks)


@DEPTHS
@pytest.mark.parametrize(
    ("sort", "held"),
    [
        ("spinlock", None),
        ("spinlock", "acquire"),
        ("spinlock", "acquire_shared"),
        ("lockmgr", "acquire_shared"),  # the kernel itself does not see this one
    ],
)
def test_a_release_by_a_cpu_that_does_not_hold_it_is_found(locks, sort, held):
    def program(m):
        lock = getattr(m, sort)("l")
        if held:
            getattr(lock, held)()
        m.spawn(lock.release).join()

    found(program, "lock-misuse", f"{sort} 'l' released by a CPU that does not hold it", locks=locks)


@DEPTHS
@pytest.mark.parametrize(
    ("held", "message"), [(None, "LK_RELEASE: no lock held"), ("acquire", "not exclusive lock holder")]
)
def test_a_lockmgr_lock_released_by_a_cpu_that_does_not_hold_it_is_the_kernel_s_panic(locks, held, message):
    def program(m):
        lock = m.lockmgr("l")
        if held:
            getattr(lock, held)()
        m.spawn(lock.release).join()

    found(program, "check", f"panic: lockmgr: {message}: lockmgr 'l'", locks=locks)


@DEPTHS
def test_a_token_released_out_of_order_is_found(locks):
    def program(m):
        a, b = m.token("a"), m.token("b")
        a.acquire()
        b.acquire()
        a.release()

    found(program, "check", "panic: lwkt_reltoken: illegal release of token 'a'", locks=locks)


@DEPTHS
@pytest.mark.parametrize("again", ["acquire", "acquire_shared"])
def test_recursion_on_an_own_exclusive_token_under_a_spinlock_is_right(locks, again):
    def program(m):
        token, spin = m.token("t"), m.spinlock("s")
        with token, spin:
            getattr(token, again)()
            token.release()

    silent(program, locks=locks)


@DEPTHS
def test_recursion_on_an_own_shared_token_under_a_spinlock_may_wait(locks):
    def program(m):
        token, spin = m.token("t"), m.spinlock("s")
        token.acquire_shared()
        with spin:
            token.acquire_shared()

    found(program, "lock-misuse", "token 't' wanted, which may sleep, with spinlock 's' held", locks=locks)


@DEPTHS
def test_spinlocks_inside_sleepable_locks_are_right(locks):
    def program(m):
        lock, token, spin, other = m.lockmgr("l"), m.token("t"), m.spinlock("s"), m.spinlock("u")

        def right():
            with lock, token, spin:
                if other.try_acquire():
                    other.release()

        m.spawn(right)
        m.spawn(right)
        m.join()

    silent(program, locks=locks)


@DEPTHS
def test_recursion_where_it_is_allowed_is_right(locks):
    def program(m):
        token, lock = m.token("t"), m.lockmgr("l")
        with token, token:
            token.acquire_shared()
            token.release()
        lock.acquire_shared()
        lock.acquire_shared()
        lock.release()
        lock.release()

    silent(program, locks=locks, schedules=1)


@DEPTHS
def test_an_upgrade_of_the_own_shared_hold_is_right(locks):
    def program(m):
        lock, spin = m.lockmgr("l"), m.spinlock("s")
        lock.acquire_shared()
        lock.upgrade()
        lock.release()
        spin.acquire_shared()
        m.check(spin.try_upgrade(), "the only reader")
        spin.release()

    silent(program, locks=locks, schedules=1)


@DEPTHS
@pytest.mark.parametrize("mode", [LK_SHARED, LK_EXCLUSIVE])
def test_a_lockmgr_request_that_must_not_wait_is_right_with_a_spinlock_held(locks, mode):
    def program(m):
        lock = m.lockmgr("l")
        with m.spinlock("s"):
            m.check(lock.lock(mode | LK_NOWAIT) == 0, "it is free")
            lock.release()

    silent(program, locks=locks, schedules=1)


@DEPTHS
def test_a_lockmgr_request_that_must_not_wait_is_merely_busy_over_the_own_shared_hold(locks):
    def program(m):
        lock = m.lockmgr("l")
        lock.acquire_shared()
        m.check(lock.lock(LK_EXCLUSIVE | LK_NOWAIT) == vmsmp.EBUSY, "busy")
        lock.release()

    silent(program, locks=locks, schedules=1)


@DEPTHS
def test_without_checkers_misuse_that_does_no_harm_goes_unseen(locks):
    def program(m):
        with m.spinlock("s"), m.token("t"):
            pass

    assert [] == vmsmp.explore(program, schedules=5, locks=locks, check=False).failures
