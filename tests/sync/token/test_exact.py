"""The words of the exact token, step by step."""

import pytest

from lock_runs import alone, once
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
