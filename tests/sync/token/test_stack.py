"""The token stack of a thread: order of release, swaps, how many refs."""

import vmsmp
from lock_runs import DEPTHS, alone, failure_of, once
from vmsmp.sync.token import LWKT_MAXTOKENS, lwkt_cnttoken


@DEPTHS
def test_tokens_are_released_last_in_first_out(locks):
    def program(m):
        a, b = m.token("a"), m.token("b")
        a.acquire()
        b.acquire()
        a.release()

    failure = failure_of(program, locks, schedules=1)
    assert "panic: lwkt_reltoken: illegal release of token 'a'" == failure.message
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
def test_the_refs_of_a_thread_to_a_token_are_counted(locks):
    def program(m, seen):
        token, other = m.token("t"), m.token("u")
        with token, other, token:
            td = m.curcpu.td
            seen.append((lwkt_cnttoken(token, td), lwkt_cnttoken(other, td)))
        seen.append(lwkt_cnttoken(token, td))

    assert [(2, 1), 0] == alone(program, locks)


@DEPTHS
def test_a_token_released_by_a_thread_without_tokens_panics(locks):
    failure = failure_of(lambda m: m.token("a").release(), locks, schedules=1)
    assert "panic: lwkt_reltoken: illegal release of token 'a'" == failure.message
