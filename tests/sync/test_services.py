"""What the primitives need of their machine."""

import pytest

import vmsmp
from lock_runs import DEPTHS, alone
from vmsmp.sync.atomic import Atomic, FreeAtomic


@pytest.mark.parametrize(("engine", "kind"), [("controlled", Atomic), ("free", FreeAtomic)])
def test_a_word_is_of_the_engine_s_kind(engine, kind):
    seen = []
    assert None is vmsmp.run(lambda m: seen.append(type(m.atomic(0))), engine=engine).failure
    assert [kind] == seen


def test_a_word_may_have_an_identity_that_was_reserved_for_it():
    def program(m, seen):
        first = m.reserve(1, lambda n: "the word")
        seen.append(first == m.atomic(0, ident=first).ident)

    assert [True] == alone(program)


@DEPTHS
def test_the_depth_is_that_of_the_options(locks):
    assert [locks == "exact"] == alone(lambda m, seen: seen.append(m.exact), locks)


def test_the_tokens_of_a_machine_have_one_gate():
    assert [True] == alone(lambda m, seen: seen.append(m.token_gate is m.token_gate), "atomic")
