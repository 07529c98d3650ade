"""The words of the exact token, step by step."""

import pytest

import vmsmp
from lock_runs import alone, once
from vmsmp.machine import Machine
from vmsmp.sync.atomic import Atomic
from vmsmp.sync.token import TOK_EXCLREQ, TOK_EXCLUSIVE, TOK_INCR


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
        m.yield_()
    before = list(got)
    go.store(1)
    m.join()
    return before


@pytest.mark.parametrize(
    ("more_tokens", "drawn", "before"),
    [(False, 1, []), (False, 0, ["reader"]), (True, 1, ["reader"])],
    ids=["waits", "in its window", "with another token"],
)
def test_a_request_holds_off_readers_with_no_other_token_outside_their_window(
    more_tokens, drawn, before, monkeypatch
):
    monkeypatch.setattr(Machine, "choose", lambda machine, n: drawn)
    seen = []
    once(lambda m: seen.append(readers_behind_a_request(m, more_tokens)))
    assert [before] == seen


def test_the_window_is_drawn_by_the_search():
    """Only who finds EXCLREQ and no owner draws: both answers are tried."""
    before = set()

    def program(m):
        seen = readers_behind_a_request(m, more_tokens=False)
        before.add(tuple(seen))

    vmsmp.explore(program, sched="random", schedules=60, locks="exact")
    assert {(), ("reader",)} <= before


def strong_steps(body, monkeypatch, schedules=300):
    """What each run of `body` did to the words of tokens: CPU, operation, word and old value."""
    runs = []
    for name in ("fetchadd", "fcmpset", "setbits", "clearbits", "store", "load"):
        monkeypatch.setattr(Atomic, name, _told(getattr(Atomic, name), name, runs))

    def program(m):
        runs.append([])
        body(m)
        m.join()

    assert [] == vmsmp.explore(program, sched="random", schedules=schedules, locks="exact").failures
    return runs


def _told(operation, name, runs):
    def step(word, *args):
        result = operation(word, *args)
        if runs:
            runs[-1].append((word._engine.current.index, name, word.name, result))
        return result

    return step


def two_writers(m):
    token = m.token("t")

    def writer():
        token.acquire()
        token.release()

    m.spawn(writer)
    m.spawn(writer)


def test_exclreq_is_set_even_in_a_token_that_is_free_by_then(monkeypatch):
    runs = strong_steps(two_writers, monkeypatch)
    assert {0, TOK_EXCLUSIVE} <= {old for run in runs for _, name, _, old in run if name == "setbits"}


def test_a_reader_that_backs_off_goes_on_with_what_its_fetchadd_found(monkeypatch):
    def body(m):
        token = m.token("t")

        def user(take):
            take()
            token.release()

        m.spawn(user, token.acquire)
        m.spawn(user, token.acquire_shared)

    after = set()
    for run in strong_steps(body, monkeypatch):
        mine = [step for step in run if step[0] == 2 and step[2] == "t.t_count"]
        for one, two, three in zip(mine, mine[1:], mine[2:], strict=False):
            if one[1] == two[1] == "fetchadd" and one[3] & TOK_EXCLUSIVE and not two[3] & TOK_EXCLUSIVE:
                after.add(three[1])
    assert {"fetchadd"} == after


def test_the_last_ref_is_spun_for_while_the_others_are_held(monkeypatch):
    def body(m):
        a, b = m.token("a"), m.token("b")

        def both():
            with a, b:
                pass

        def only_b():
            with b:
                m.yield_()
                m.yield_()

        m.spawn(both)
        m.spawn(only_b)

    tries = set()
    for run in strong_steps(body, monkeypatch):
        mine = [(name, word) for cpu, name, word, _ in run if cpu == 1 and name in ("load", "clearbits")]
        words = "".join(word[0] for name, word in mine if word.endswith("t_count"))
        tries.update(words.split("a"))
    assert "bb" in tries


def test_a_pass_that_fails_gives_back_the_latest_first(monkeypatch):
    def body(m):
        a, b, c = m.token("a"), m.token("b"), m.token("c")

        def all_three():
            with a, b, c:
                pass

        m.spawn(all_three)
        with c:
            m.yield_()
            m.yield_()

    orders = set()
    for run in strong_steps(body, monkeypatch):
        mine = [word[0] for cpu, name, word, _ in run if cpu == 1 and name == "clearbits"]
        orders.add("".join(mine))
    assert {"cba", "bacba"} <= orders


@pytest.mark.parametrize(
    ("how", "any_held", "owned"),
    [(None, False, False), ("acquire", True, True), ("acquire_shared", True, False)],
)
def test_the_kernel_s_assertions_see_the_own_hold(how, any_held, owned):
    def program(m, seen):
        token = m.token("t")
        if how:
            getattr(token, how)()
        seen.append((token.held_any(), token.held_excl()))
        if how:
            token.release()

    assert [(any_held, owned)] == alone(program) == alone(program, "atomic")


@pytest.mark.parametrize(("how", "seen"), [("acquire_shared", (True, False)), ("acquire", (False, False))])
@pytest.mark.parametrize("locks", ["atomic", "exact"])
def test_a_stranger_s_shared_hold_satisfies_the_assertion_of_any_hold(how, seen, locks):
    found = []

    def program(m):
        token = m.token("t")
        getattr(token, how)()
        m.spawn(lambda: found.append((token.held_any(), token.held_excl()))).join()
        token.release()

    once(program, locks)
    assert [seen] == found


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


def test_every_spin_that_failed_and_every_failed_try_is_a_collision():
    seen = []

    def program(m):
        token = m.token("t")

        def waiter():
            token.try_acquire()
            seen.append(token.t_collisions)
            token.acquire()
            token.release()

        with token:
            m.spawn(waiter)
            m.yield_()
            m.yield_()
            m.yield_()
        m.join()
        seen.append(token.t_collisions)

    once(program)
    assert [1, 3] == seen
