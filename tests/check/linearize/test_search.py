"""The search for an order: textbook histories, brute force, parts, budgets and commit points."""

from collections import Counter
from itertools import permutations
from random import Random

import pytest

from textbook_histories import ILLEGAL, LEGAL, crowd, history
from vmsmp.check.linearize import ANY, Operation, check, check_commits
from vmsmp.check.specs import Allocator, PageQueue, Queue, Register


@pytest.mark.parametrize("name", LEGAL)
def test_a_legal_history_is_legal(name):
    spec, operations = LEGAL[name]
    assert "ok" == check(operations, spec).verdict


@pytest.mark.parametrize("name", ILLEGAL)
def test_an_illegal_history_is_illegal(name):
    spec, operations = ILLEGAL[name]
    assert "illegal" == check(operations, spec).verdict


def test_the_order_found_is_one_the_specification_allows():
    _, operations = LEGAL["two puts that overlap come out either way"]
    order = check(operations, Queue()).order
    assert ["cpu2 put(2)", "cpu1 put(1)", "cpu2 get() "] == [str(op)[:11] for op in order]
    assert None is check_commits(order, Queue())


def test_the_longest_order_is_told_even_when_the_search_ends_elsewhere():
    operations = history(
        (1, "put", (1,), None, 0, 9),
        (2, "put", (2,), None, 1, 8),
        (3, "get", (), 1, 10, 11),
        (3, "get", (), 1, 12, 13),
    )
    verdict = check(operations, Queue())
    assert (3, ["cpu3 get() -> 1"]) == (len(verdict.order), [str(op) for op in verdict.refused])


def test_of_several_longest_orders_the_first_is_told():
    assert ["cpu0 put(0)", "cpu1 put(1)", "cpu2 put(2)"] == [
        str(op)[:11] for op in check(crowd(3), Queue()).order
    ]


@pytest.mark.parametrize("result", [None, 1])
def test_a_pending_put_may_have_taken_effect_or_not(result):
    operations = history((1, "put", (1,), None, 0, None), (2, "get", (), result, 1, 2))
    assert "ok" == check(operations, Queue()).verdict


def test_a_pending_operation_may_give_anything():
    operations = history(
        (1, "put", (1,), None, 0, 1), (2, "get", (), None, 2, None), (3, "get", (), None, 3, 4)
    )
    assert "ok" == check(operations, Queue()).verdict


def test_a_pending_operation_takes_effect_once():
    operations = history((1, "put", (1,), None, 0, None), (2, "get", (), 1, 1, 2), (2, "get", (), 1, 3, 4))
    assert "illegal" == check(operations, Queue()).verdict


def test_a_pending_operation_takes_no_effect_before_its_call():
    operations = history((2, "get", (), 1, 0, 1), (1, "put", (1,), None, 2, None))
    assert "illegal" == check(operations, Queue()).verdict


def random_history(rng, names, size, cpus=3):
    """CPUs that each do one operation after another, with results that may be right."""
    operations, stamp = [], 0
    busy = {}
    while len(operations) < size or busy:
        cpu = rng.randrange(cpus)
        stamp += 1
        if cpu in busy:
            name, args, result, call = busy.pop(cpu)
            ret = None if rng.random() < 0.1 else stamp
            operations.append(Operation(cpu, name, args, result, call, ret))
        elif len(operations) + len(busy) < size:
            busy[cpu] = (*names(rng), stamp)
    return operations


def queue_names(rng):
    if rng.random() < 0.5:
        return "put", (rng.randrange(2),), None
    return "get", (), rng.choice((None, 0, 1))


def register_names(rng):
    name = rng.choice(("load", "store", "cmpset", "fetchadd"))
    if name == "load":
        return name, (), rng.randrange(2)
    if name == "store":
        return name, (rng.randrange(2),), None
    if name == "cmpset":
        return name, (rng.randrange(2), rng.randrange(2)), rng.random() < 0.5
    return name, (1,), rng.randrange(2)


def allocator_names(rng):
    if rng.random() < 0.7:
        return "alloc", (), rng.choice((None, "p", "q", "q"))
    return "free", (rng.choice("pq"),), None


def page_queue_names(rng):
    queue, page = rng.randrange(2), rng.randrange(2)
    name = rng.choice(("insert_tail", "insert_head", "remove", "take_first"))
    if name == "take_first":
        return name, (queue,), rng.choice((None, 0, 1))
    return name, (queue, page), None


def brute_force(operations, spec):
    """Whether any order of the operations, without some of the pending ones, is explained."""

    def explained(order, states):
        for op in order:
            result = ANY if op.ret is None else op.result
            states = {s for state in states for s in spec.step(state, op.name, op.args, result)}
        return bool(states)

    def kept_in_time(order):
        return not any(
            b.ret is not None and b.ret < a.call for at, a in enumerate(order) for b in order[at + 1 :]
        )

    pending = [op for op in operations if op.ret is None]
    for mask in range(1 << len(pending)):
        left_out = [op for n, op in enumerate(pending) if mask >> n & 1]
        members = [op for op in operations if op not in left_out]
        if any(kept_in_time(order) and explained(order, {spec.initial()}) for order in permutations(members)):
            return "ok"
    return "illegal"


@pytest.mark.parametrize(
    ("names", "spec"),
    [
        (queue_names, Queue()),
        (register_names, Register()),
        (allocator_names, Allocator("pq")),
        (allocator_names, Allocator("pq", may_fail=True)),
    ],
)
def test_the_search_agrees_with_brute_force(names, spec):
    verdicts = Counter()
    for seed in range(150):
        operations = random_history(Random(seed), names, 5)
        verdict = check(operations, spec).verdict
        assert brute_force(operations, spec) == verdict, (seed, operations)
        verdicts[verdict] += 1
    assert min(verdicts["ok"], verdicts["illegal"]) > 5


class Whole:
    """All parts of a specification as one state, so that nothing is split."""

    def __init__(self, spec, keys):
        self.spec = spec
        self.keys = keys

    def initial(self):
        return tuple(self.spec.initial() for _ in self.keys)

    def step(self, state, name, args, result):
        at = self.keys.index(self.spec.key(name, args))
        after = self.spec.step(state[at], name, args, result)
        return [(*state[:at], one, *state[at + 1 :]) for one in after]

    def key(self, name, args):
        return None


def test_the_parts_have_the_verdict_of_the_whole():
    whole = Whole(PageQueue(), [(0,), (1,)])
    verdicts = Counter()
    for seed in range(400):
        operations = random_history(Random(seed), page_queue_names, 8, cpus=4)
        verdict = check(operations, PageQueue())
        assert check(operations, whole).verdict == verdict.verdict
        if verdict.ok:  # the parts' orders fit together
            assert None is check_commits(verdict.order, whole)
        verdicts[verdict.verdict] += 1
    assert min(verdicts["ok"], verdicts["illegal"]) > 5


def test_the_same_history_has_the_same_verdict_whatever_comes_first_in_it():
    for seed in range(100):
        rng = Random(seed)
        operations = random_history(rng, queue_names, 7, cpus=4)
        shuffled = rng.sample(operations, len(operations))
        assert check(operations, Queue()).verdict == check(shuffled, Queue()).verdict


def test_a_specification_may_leave_a_choice():
    """Both pages were free; which one went first is known from the second answer only."""
    operations = history(
        (1, "alloc", (), None, 0, None), (2, "alloc", (), "p", 1, 2), (2, "alloc", (), None, 3, 4)
    )
    verdict = check(operations, Allocator("pq"))
    assert "ok" == verdict.verdict
    assert "illegal" == check(operations[1:], Allocator("pq")).verdict


def test_orders_that_leave_different_choices_open_are_told_apart():
    """Both leave 3 open, but only the second leaves 4, too."""

    steps = {(0, "a"): (1,), (1, "b"): (3,), (0, "b"): (2,), (2, "a"): (3, 4), (4, "c"): (5,)}

    class Choosy:
        def initial(self):
            return 0

        def step(self, state, name, args, result):
            return steps.get((state, name), ())

        def key(self, name, args):
            return None

    operations = history((1, "a", (), None, 0, 1), (2, "b", (), None, 0, 1), (3, "c", (), None, 2, 3))
    assert ["b", "a", "c"] == [op.name for op in check(operations, Choosy()).order]


def test_a_search_beyond_its_budget_is_unknown():
    verdict = check(crowd(8), Queue(), budget=1000)
    assert ("unknown", 1000) == (verdict.verdict, verdict.steps)
    assert "unknown after 1000 steps: 8 of 9 operations in order so far" == verdict.explain()[0]
    assert () == verdict.refused


def test_no_budget_is_never_a_yes():
    operations = LEGAL["one after another"][1]
    assert ["unknown", "unknown", "unknown", "ok"] == [
        check(operations, Queue(), budget=n).verdict for n in range(4)
    ]


def test_all_parts_share_one_budget():
    operations = [Operation(1, "insert_tail", (queue, 1), None, 0, 1) for queue in "abc"]
    assert ["unknown", "ok"] == [check(operations, PageQueue(), budget=n).verdict for n in (2, 3)]


def test_a_part_that_eats_the_budget_does_not_hide_a_short_illegal_one():
    long = [Operation(k, "insert_tail", ("a", k), None, 0, 1) for k in range(8)]
    long.append(Operation(0, "take_first", ("a",), -1, 2, 3))
    short = Operation(9, "take_first", ("b",), 1, 4, 5)
    assert "illegal" == check([*long, short], PageQueue(), budget=100).verdict


def test_the_cache_makes_many_equal_orders_one():
    """Twelve overlapping increments of one value commute: 4096 sets of them, not 12! orders."""
    operations = [Operation(k, "store", (1,), None, 0, 1) for k in range(12)]
    verdict = check([*operations, Operation(0, "load", (), 2, 2, 3)], Register())
    assert "illegal" == verdict.verdict
    assert verdict.steps < 12 * 4096


def test_a_commit_order_that_explains_all_is_accepted():
    first, second, third = LEGAL["two puts that overlap come out either way"][1]
    assert None is check_commits([second, first, third], Queue())


def test_a_commit_order_that_does_not_names_the_operation():
    first, second, third = LEGAL["two puts that overlap come out either way"][1]
    assert third is check_commits([first, second, third], Queue())


def test_a_commit_order_against_time_names_the_operation():
    operations = history((1, "load", (), 0, 4, 5), (2, "load", (), 0, 0, 1))
    assert operations[1] is check_commits(operations, Register())


def test_a_commit_order_is_replayed_by_parts():
    operations = history(
        (1, "insert_tail", ("a", 1), None, 0, 9),
        (2, "insert_tail", ("b", 1), None, 0, 9),
        (3, "take_first", ("a",), 1, 0, 9),
        (4, "take_first", ("b",), 1, 0, 9),
    )
    assert None is check_commits(operations, PageQueue())
