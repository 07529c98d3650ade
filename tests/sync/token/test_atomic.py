"""The token of the atomic depth: each get or release is one step."""

import pytest

import vmsmp
from lock_runs import alone, delay, once


@pytest.mark.parametrize(
    "words",
    [
        ["acquire", "release"],
        ["acquire_shared", "release"],
        ["try_acquire", "release"],
        ["acquire", "acquire", "release", "release"],
    ],
)
def test_a_get_or_release_that_need_not_wait_is_one_step(words):
    def idle(m):
        m.token("t")

    def program(m):
        token = m.token("t")
        for word in words:
            getattr(token, word)()

    steps = [vmsmp.explore(fn, schedules=1, locks="atomic").steps for fn in (idle, program)]
    assert len(words) == steps[1] - steps[0]


@pytest.mark.parametrize("tokens", [1, 2, 5])
def test_all_tokens_come_back_in_one_step(tokens):
    def program(m):
        for n in range(tokens):
            m.token(f"t[{n}]").acquire()
        m.tsleep("x", timo=1)

    def bare(m):
        m.tsleep("x", timo=1)

    steps = [vmsmp.explore(fn, schedules=1, locks="atomic", check=False).steps for fn in (bare, program)]
    taken, dropped, regained = tokens, tokens, 1
    assert taken + dropped + regained == steps[1] - steps[0]


def test_a_token_that_is_lost_is_free_for_another_cpu():
    seen = []

    def program(m):
        token = m.token("t")
        with token:
            m.spawn(lambda: seen.append(token.try_acquire()) or token.release())
            delay(m, 1)
        m.join()

    once(program, "atomic")
    assert [True] == seen


def test_the_state_names_the_holders():
    def program(m, seen):
        token = m.token("t")
        with token:
            seen.append(token.state())

    assert ["exclusive cpu0"] == alone(program, "atomic")
