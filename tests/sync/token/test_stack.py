"""The token stack of a thread: order of release, swaps, pool tokens."""

import vmsmp
from lock_runs import DEPTHS, alone, failure_of, once
from vmsmp.sync.token import LWKT_MAXTOKENS


@DEPTHS
def test_tokens_are_released_last_in_first_out(locks):
    def program(m):
        a, b = m.token("a"), m.token("b")
        a.acquire()
        b.acquire()
        a.release()

    failure = failure_of(program, locks, schedules=1)
    assert "lock-misuse: token 'a' released out of order" == failure.signature
    assert ("cpu0 holds on top: token 'b'",) == failure.facts


@DEPTHS
def test_a_swap_lets_the_lower_token_go_first(locks):
    seen = []

    def program(m):
        a, b = m.token("a"), m.token("b")

        def trier():
            for token in (a, b):
                got = token.try_acquire()
                seen.append(got)
                if got:
                    token.release()

        a.acquire()
        b.acquire()
        m.token_swap()
        a.release()
        m.spawn(trier).join()
        b.release()
        m.spawn(trier).join()

    once(program, locks)
    assert [True, False, True, True] == seen


@DEPTHS
def test_a_swap_keeps_modes_with_their_tokens(locks):
    seen = []

    def program(m):
        a, b = m.token("a"), m.token("b")

        def reader():
            b.acquire_shared()
            seen.append("b is shared")
            b.release()
            seen.append(a.try_acquire())

        a.acquire()
        b.acquire_shared()
        m.token_swap()
        m.spawn(reader).join()
        a.release()
        b.release()

    once(program, locks)
    assert ["b is shared", False] == seen


@DEPTHS
def test_swapping_two_refs_of_one_token_changes_nothing(locks):
    """TK-16: a blind swap would let the inner release free the token."""
    seen = []

    def program(m):
        token = m.token("t")
        token.acquire()
        token.acquire()
        m.token_swap()
        token.release()
        m.spawn(lambda: seen.append(token.try_acquire())).join()
        token.release()

    once(program, locks)
    assert [False] == seen


@DEPTHS
def test_a_swap_survives_a_contender_and_a_sleep(locks):
    def program(m):
        a, b = m.token("a"), m.token("b")

        def swapper():
            a.acquire()
            b.acquire()
            m.token_swap()
            m.tsleep("nap", 0, "", 2)
            m.check(a.held() and b.held(), "both are back")
            a.release()
            b.release()

        def contender():
            for token in (b, a):
                with token:
                    pass

        for fn in (swapper, contender, swapper):
            m.spawn(fn)
        m.join()

    assert [] == vmsmp.explore(program, sched="random", schedules=200, locks=locks).failures


@DEPTHS
def test_a_swap_with_fewer_than_two_tokens_panics(locks):
    def program(m):
        m.token("a").acquire()
        m.token_swap()

    failure = failure_of(program, locks, schedules=1)
    assert "panic: lwkt_token_swap with fewer than two tokens" == failure.message


@DEPTHS
def test_one_more_token_than_the_stack_holds_panics(locks):
    def program(m):
        for n in range(LWKT_MAXTOKENS + 1):
            m.token(f"t[{n}]").acquire()

    failure = failure_of(program, locks, schedules=1)
    assert f"panic: more than {LWKT_MAXTOKENS} tokens held" == failure.message


@DEPTHS
def test_equal_idents_get_the_same_pool_token_taken(locks):
    def program(m, seen):
        first = m.pool_token("some ident")
        second = m.pool_token("some ident")
        seen.append((first is second, first.held()))
        second.release()
        first.release()
        seen.append(first.held())

    assert [(True, True), False] == alone(program, locks)


@DEPTHS
def test_pool_tokens_of_two_machines_are_apart(locks):
    pools = []

    def program(m):
        token = m.pool_token("x")
        pools.append(token)
        token.release()

    vmsmp.explore(program, schedules=2, locks=locks)
    assert pools[0] is not pools[1]
