"""Atomic words: each operation one step, old values returned."""

import pytest

import vmsmp

ENGINES = ("controlled", "free")

#: name -> (start value, operation, what it returns, value after)
OPERATIONS = {
    "load": (5, lambda w: w.load(), 5, 5),
    "store": (5, lambda w: w.store(9), None, 9),
    "fetchadd": (5, lambda w: w.fetchadd(3), 5, 8),
    "fetchadd of a negative number": (5, lambda w: w.fetchadd(-7), 5, -2),
    "swap": (5, lambda w: w.swap(9), 5, 9),
    "cmpset that succeeds": (5, lambda w: w.cmpset(5, 9), True, 9),
    "cmpset that fails": (5, lambda w: w.cmpset(4, 9), False, 5),
    "fcmpset that succeeds": (5, lambda w: w.fcmpset(5, 9), (True, 5), 9),
    "fcmpset that fails": (5, lambda w: w.fcmpset(4, 9), (False, 5), 5),
    "setbits": (0b0101, lambda w: w.setbits(0b0110), 0b0101, 0b0111),
    "clearbits": (0b0101, lambda w: w.clearbits(0b0110), 0b0101, 0b0001),
    "rmw": (5, lambda w: w.rmw(lambda old: old * old), 5, 25),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_returns_the_old_value_and_leaves_the_new(name, engine):
    start, operation, returned, after = OPERATIONS[name]
    seen = []

    def program(m):
        word = m.atomic(start)
        seen.append((operation(word), word.peek()))

    assert None is vmsmp.run(program, engine=engine).failure
    assert [(returned, after)] == seen


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_one_visible_step(name):
    start, operation, _, _ = OPERATIONS[name]
    empty = vmsmp.explore(lambda m: m.atomic(start), schedules=1).steps
    assert 1 == vmsmp.explore(lambda m: operation(m.atomic(start)), schedules=1).steps - empty


#: Ways to add one that lose nothing.
def _cmpset_loop(word):
    old = word.load()
    while not word.cmpset(old, old + 1):
        old = word.load()


def _fcmpset_loop(word):
    done, old = False, word.load()
    while not done:
        done, old = word.fcmpset(old, old + 1)


ADDERS = {
    "fetchadd": lambda w: w.fetchadd(1),
    "rmw": lambda w: w.rmw(lambda old: old + 1),
    "cmpset": _cmpset_loop,
    "fcmpset": _fcmpset_loop,
}


@pytest.mark.parametrize("how", ADDERS)
def test_no_increment_is_lost_in_any_schedule(how):
    def program(m):
        word = m.atomic(0)
        for _ in range(2):
            m.spawn(ADDERS[how], word)
        m.join()
        m.check(word.load() == 2)

    result = vmsmp.explore(program, sched="dfs", schedules=5000)
    assert ([], True) == (result.failures, result.exhausted)


@pytest.mark.parametrize("how", ADDERS)
def test_no_increment_is_lost_between_parallel_cpus(how):
    def program(m):
        word = m.atomic(0)

        def adder():
            for _ in range(300):
                ADDERS[how](word)

        for _ in range(3):
            m.spawn(adder)
        m.join()
        m.check(word.load() == 900, f"{word.peek()} of 900")

    assert None is vmsmp.run(program, engine="free").failure


def test_bits_of_parallel_cpus_do_not_overwrite_each_other():
    def program(m):
        word = m.atomic(0)

        def flipper(bit):
            for _ in range(200):
                m.check(not word.setbits(bit) & bit, "nobody else sets my bit")
                m.check(word.clearbits(bit) & bit, "nobody else clears my bit")

        for n in range(3):
            m.spawn(flipper, 1 << n)
        m.join()

    assert None is vmsmp.run(program, engine="free").failure


def test_one_of_two_swaps_gets_the_first_value_and_the_other_one_the_others():
    seen = set()

    def program(m):
        word = m.atomic("start")
        got = {}
        for me in ("a", "b"):
            m.spawn(lambda me=me: got.update({me: word.swap(me)}))
        m.join()
        seen.add((got["a"], got["b"], word.load()))

    assert vmsmp.explore(program, sched="dfs", schedules=1000).exhausted
    assert {("start", "a", "b"), ("b", "start", "a")} == seen


def test_the_form_puts_the_value_into_words():
    seen = []
    vmsmp.explore(lambda m: seen.append(m.atomic(5, "w", format=bin).state()), schedules=1)
    assert ["0b101"] == seen


def test_a_spin_on_a_failing_cmpset_does_not_count_as_progress():
    """It only reads, so the spinner leaves the runnable CPUs and a standstill is found at once."""

    def program(m):
        word = m.atomic(1, "word")
        while not word.cmpset(0, 1):
            m.pause()

    result = vmsmp.explore(program, schedules=1)
    assert "livelock" == result.failure.kind
    assert result.steps < 1000
