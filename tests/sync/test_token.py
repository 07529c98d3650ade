"""Tokens at both depths: lost at every blocking point, taken again all or nothing."""

import pytest

import vmsmp
from vmsmp.sync.token import LWKT_MAXTOKENS, TOK_EXCLREQ, TOK_EXCLUSIVE, TOK_INCR

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])
SCHEDULES = pytest.mark.parametrize("sched", ["random", "dfs:2", "pct:3"])


def once(program, locks="exact"):
    """The one run in which every CPU goes on until it cannot or gives way."""
    result = vmsmp.explore(program, sched="dfs:0", schedules=1, locks=locks)
    assert [] == result.failures


def alone(program, locks="exact"):
    """Run `program` on one CPU and return what it appended to its list."""
    seen = []
    once(lambda m: program(m, seen), locks)
    return seen


def failure_of(program, locks, **options):
    return vmsmp.explore(program, locks=locks, **options).failure


# -- exclusion ------------------------------------------------------------------------------------


def counting(m, rounds, cpus):
    token, cell = m.token("t"), m.cell(0)

    def adder():
        for _ in range(rounds):
            with token:
                cell.store(cell.load() + 1)

    for _ in range(cpus):
        m.spawn(adder)
    m.join()
    m.check(cell.load() == rounds * cpus, "every section counts")


@DEPTHS
@SCHEDULES
def test_sections_under_a_token_do_not_overlap(locks, sched):
    result = vmsmp.explore(lambda m: counting(m, 2, 2), sched=sched, schedules=150, locks=locks)
    assert [] == result.failures


@DEPTHS
def test_sections_under_a_token_do_not_overlap_between_parallel_cpus(locks):
    assert None is vmsmp.run(lambda m: counting(m, 60, 3), engine="free", locks=locks).failure


@DEPTHS
@pytest.mark.parametrize("engine", ["controlled", "free"])
def test_shared_holders_see_whole_writes(locks, engine):
    def program(m):
        token, a, b = m.token("t"), m.cell(0), m.cell(0)

        def writer():
            for _ in range(4):
                with token:
                    a.store(a.load() + 1)
                    b.store(b.load() + 1)

        def reader():
            for _ in range(4):
                token.acquire_shared()
                m.check(a.load() == b.load(), "a reader sees whole writes")
                token.release()

        for fn in (writer, reader, reader):
            m.spawn(fn)
        m.join()

    if engine == "free":
        assert None is vmsmp.run(program, engine="free", locks=locks).failure
    else:
        assert [] == vmsmp.explore(program, sched="random", schedules=60, locks=locks).failures


@DEPTHS
def test_shared_holders_are_inside_at_the_same_time(locks):
    def program(m):
        token, inside = m.token("t"), m.atomic(0)

        def reader():
            token.acquire_shared()
            inside.fetchadd(1)
            while inside.load() != 2:
                m.pause()
            token.release()

        m.spawn(reader)
        m.spawn(reader)
        m.join()

    assert [] == vmsmp.explore(program, sched="random", schedules=60, locks=locks).failures


# -- tries, held, recursion -------------------------------------------------------------------------


@DEPTHS
@pytest.mark.parametrize(("holder", "gets"), [("acquire", False), ("acquire_shared", False), (None, True)])
def test_a_try_succeeds_only_on_a_free_token(locks, holder, gets):
    seen = []

    def program(m):
        token = m.token("t")

        def trier():
            if token.try_acquire():
                seen.append((True, token.held()))
                token.release()
            else:
                seen.append((False, token.held()))

        if holder:
            getattr(token, holder)()
        m.spawn(trier).join()
        if holder:
            token.release()

    once(program, locks)
    assert [(gets, gets)] == seen


@DEPTHS
def test_a_failed_try_leaves_nothing_on_the_stack(locks):
    def program(m, seen):
        token, other = m.token("t"), m.token("u")

        def trier():
            other.acquire()
            seen.append(token.try_acquire())
            other.release()  # panics if the failed ref were on top
            seen.append(len(m.curcpu.td.td_toks_array))

        token.acquire()
        m.spawn(trier).join()
        token.release()

    assert [False, 0] == alone(program, locks)


@DEPTHS
def test_a_try_on_the_own_token_recurses(locks):
    def program(m, seen):
        token = m.token("t")
        token.acquire()
        seen.append(token.try_acquire())
        token.release()
        seen.append(token.held())
        token.release()
        seen.append(token.held())

    assert [True, True, False] == alone(program, locks)


@DEPTHS
@pytest.mark.parametrize("inner", ["acquire", "acquire_shared"])
def test_a_recursive_hold_frees_the_token_only_with_the_outermost_release(locks, inner):
    seen = []

    def program(m):
        token = m.token("t")

        def trier():
            got = token.try_acquire()
            seen.append(got)
            if got:
                token.release()

        token.acquire()
        getattr(token, inner)()
        m.spawn(trier).join()
        token.release()
        m.spawn(trier).join()
        token.release()
        m.spawn(trier).join()

    once(program, locks)
    assert [False, False, True] == seen


@DEPTHS
def test_held_asks_for_exclusive_and_held_shared_for_any_mode(locks):
    def program(m, seen):
        token = m.token("t")

        def note():
            seen.append((token.held(), token.held_shared()))

        note()
        token.acquire_shared()
        note()
        token.release()
        token.acquire()
        note()
        m.spawn(note).join()
        token.release()

    assert [(False, False), (False, True), (True, True), (False, False)] == alone(program, locks)


@DEPTHS
def test_exclusive_over_the_own_shared_hold_is_misuse(locks):
    def program(m):
        token = m.token("t")
        token.acquire_shared()
        token.acquire()

    failure = failure_of(program, locks, schedules=1)
    assert "lock-misuse: token 't' wanted exclusive over the CPU's own shared hold" == failure.signature


# -- the stack --------------------------------------------------------------------------------------


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


# -- lost across blocking points --------------------------------------------------------------------


@DEPTHS
def test_a_sleeper_has_lost_its_tokens_and_gets_them_back(locks):
    seen = []

    def program(m):
        a, b = m.token("a"), m.token("b")

        def sleeper():
            a.acquire()
            b.acquire_shared()
            m.tsleep("ident")
            seen.append(("back", a.held(), b.held_shared()))
            b.release()
            a.release()

        def waker():
            with b, a:
                seen.append("both are free")
            m.wakeup("ident")

        m.spawn(sleeper)
        m.yield_()
        m.spawn(waker)
        m.join()

    once(program, locks)
    assert ["both are free", ("back", True, True)] == seen


@DEPTHS
@SCHEDULES
def test_a_value_read_before_a_sleep_may_be_stale_after_it_and_one_read_after_is_not(locks, sched):
    """Whoever counts with the read before the sleep loses a count; that is the search's to find."""

    def program(m, careful):
        token, cell = m.token("t"), m.cell(0)

        def adder():
            with token:
                old = cell.load()
                m.tsleep("nap", 0, "", 1)
                cell.store((cell.load() if careful else old) + 1)

        m.spawn(adder)
        m.spawn(adder)
        m.join()
        m.check(cell.load() == 2, "both count")

    found = [
        vmsmp.explore(lambda m, c=c: program(m, c), sched=sched, schedules=200, locks=locks).failure
        for c in (True, False)
    ]
    assert [None, "both count"] == [failure and failure.message for failure in found]


@DEPTHS
def test_a_sleeper_gets_its_tokens_back_in_one_go(locks):
    """While it waits for one of them it must not keep another."""
    seen = []

    def program(m):
        a, b = m.token("a"), m.token("b")

        def sleeper():
            with a, b:
                m.tsleep("ident")
                seen.append("sleeper")

        def waker():
            with b:
                m.wakeup("ident")
                for _ in range(4):
                    m.yield_()  # time enough for the sleeper to come back, if it could
                got = a.try_acquire()
                seen.append(got)
                if got:
                    a.release()

        m.spawn(sleeper)
        m.yield_()
        m.spawn(waker)
        m.join()

    assert [] == vmsmp.explore(program, sched="dfs:0", schedules=1, locks=locks).failures
    assert [True, "sleeper"] == seen


@DEPTHS
def test_opposite_orders_of_tokens_are_no_deadlock(locks):
    def program(m):
        tokens = [m.token(name) for name in "abc"]

        def taker(order):
            for _ in range(2):
                for n in order:
                    tokens[n].acquire()
                for n in reversed(order):
                    tokens[n].release()

        for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
            m.spawn(taker, order)
        m.join()

    assert [] == vmsmp.explore(program, sched="random", schedules=80, locks=locks).failures
    assert None is vmsmp.run(program, engine="free", locks=locks).failure


@DEPTHS
def test_who_waits_for_a_token_keeps_none_of_its_others(locks):
    """cpu1 holds A and waits for B, whose holder needs A to be free for somebody it waits for."""

    def program(m):
        a, b = m.token("a"), m.token("b")

        def both():
            with a, b:
                pass

        def only_a():
            with a:
                pass

        def holder_of_b():
            with b:
                m.spawn(only_a).join()

        m.spawn(both)
        m.spawn(holder_of_b)
        m.join()

    assert [] == vmsmp.explore(program, sched="random", schedules=300, locks=locks).failures


# -- pool tokens, statistics ------------------------------------------------------------------------


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


@DEPTHS
def test_statistics_count_grants_and_those_that_had_to_wait(locks):
    seen = []

    def program(m):
        token = m.token("t")

        def waiter():
            with token:
                pass

        with token:
            m.spawn(waiter)
            m.yield_()
        m.join()
        found = token.statistics()
        seen.append((found.name, found.acquisitions, found.contested))

    once(program, locks)
    assert [("t", 2, 1)] == seen


# -- the words of the exact depth -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (["acquire", "release"], [TOK_EXCLUSIVE, 0]),
        (["acquire_shared", "release"], [TOK_INCR, 0]),
        (["try_acquire", "release"], [TOK_EXCLUSIVE, 0]),
        (
            ["acquire", "acquire", "acquire_shared", "release", "release", "release"],
            [
                TOK_EXCLUSIVE,
                TOK_EXCLUSIVE | TOK_INCR,
                TOK_EXCLUSIVE | 2 * TOK_INCR,
                TOK_EXCLUSIVE | TOK_INCR,
                TOK_EXCLUSIVE,
                0,
            ],
        ),
        (["acquire_shared", "acquire_shared", "release", "release"], [4, 8, 4, 0]),
    ],
)
def test_one_cpu_takes_the_word_through_its_transitions(steps, words):
    def program(m, seen):
        token = m.token("t")
        for step in steps:
            getattr(token, step)()
            seen.append(token.t_count.peek())

    assert words == alone(program)


def test_t_ref_is_the_ref_of_the_outermost_exclusive_hold():
    def program(m, seen):
        token = m.token("t")
        token.acquire()
        outer = m.curcpu.td.td_toks_array[0]
        token.acquire()
        seen.append(token.t_ref.peek() is outer)
        token.release()
        seen.append(token.t_ref.peek() is outer)
        token.release()
        seen.append(token.t_ref.peek())

    assert [True, True, None] == alone(program)


@pytest.mark.parametrize(
    ("how", "request_bit"), [("acquire", TOK_EXCLREQ), ("acquire_shared", 0), ("try_acquire", 0)]
)
def test_only_a_waiting_exclusive_request_publishes_exclreq(how, request_bit):
    seen = []

    def program(m):
        token = m.token("t")

        def asks():
            if getattr(token, how)() is not False:
                token.release()

        token.acquire()
        m.spawn(asks)
        m.yield_()
        seen.append(token.t_count.peek())
        token.release()
        m.join()
        seen.append(token.t_count.peek())

    once(program)
    assert [TOK_EXCLUSIVE | request_bit, 0] == seen


def readers_behind_a_request(m, more_tokens):
    """What a new reader gets while another one holds the token and a writer has asked for it."""
    token, other, go = m.token("t"), m.token("other"), m.atomic(0)
    got = []

    def holder():
        token.acquire_shared()
        while not go.load():
            m.pause()
        token.release()

    def writer():
        token.acquire()
        got.append("writer")
        token.release()

    def reader():
        if more_tokens:
            other.acquire()
        token.acquire_shared()
        got.append("reader")
        token.release()
        if more_tokens:
            other.release()

    for fn in (holder, writer, reader):
        m.spawn(fn)
        m.yield_()
    before = list(got)
    go.store(1)
    m.join()
    return before


@pytest.mark.parametrize(("more_tokens", "before"), [(False, []), (True, ["reader"])])
def test_a_request_holds_off_only_readers_with_no_other_token(more_tokens, before):
    seen = []
    once(lambda m: seen.append(readers_behind_a_request(m, more_tokens)))
    assert [before] == seen


def test_an_exclusive_grant_clears_exclreq():
    """TK-10: left set it would keep out readers with no other token for ever."""
    seen = []

    def program(m):
        token = m.token("t")

        def writer():
            token.acquire()
            seen.append(token.t_count.peek())
            token.release()

        token.acquire()
        m.spawn(writer)
        m.yield_()
        token.release()
        m.join()

    once(program)
    assert [TOK_EXCLUSIVE] == seen


def test_collisions_are_counted():
    seen = []

    def program(m):
        token = m.token("t")

        def waiter():
            with token:
                pass

        with token:
            m.spawn(waiter)
            m.yield_()
        m.join()
        seen.append(token.t_collisions)

    once(program)
    assert [1] == seen
