"""Linearizability: textbook histories, the search against brute force, and programs that record."""

from collections import Counter
from itertools import pairwise, permutations
from random import Random

import pytest

import vmsmp
from vmsmp.check.linearize import ANY, History, Operation, Verdict, check, check_commits, show
from vmsmp.check.specs import Allocator, PageQueue, Queue, Register
from vmsmp.engine.schedule import Schedule
from vmsmp.errors import UsageError

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])


def history(*lines):
    """Operations from (cpu, name, args, result, call, ret)."""
    return [Operation(*line) for line in lines]


# -- textbook histories -----------------------------------------------------------------------------

LEGAL = {
    "nothing": (Queue(), []),
    "one after another": (
        Queue(),
        history((1, "put", (1,), None, 0, 1), (1, "put", (2,), None, 2, 3), (2, "get", (), 1, 4, 5)),
    ),
    "two puts that overlap come out either way": (
        Queue(),
        history((1, "put", (1,), None, 0, 9), (2, "put", (2,), None, 1, 3), (2, "get", (), 2, 4, 5)),
    ),
    "a get that overlaps a put may come before it": (
        Queue(),
        history((1, "put", (1,), None, 0, 3), (2, "get", (), None, 1, 2), (2, "get", (), 1, 4, 5)),
    ),
    "a store seen before it returns": (
        Register(),
        history((1, "store", (1,), None, 0, 9), (2, "load", (), 1, 1, 2), (3, "load", (), 1, 3, 4)),
    ),
    "equal stamps overlap": (
        Register(),
        history((1, "load", (), 1, 0, 1), (2, "store", (1,), None, 1, 2)),
    ),
}
ILLEGAL = {
    "a queue that is last in, first out": (
        Queue(),
        history((1, "put", (1,), None, 0, 1), (1, "put", (2,), None, 2, 3), (2, "get", (), 2, 4, 5)),
    ),
    "a value that comes out twice": (
        Queue(),
        history((1, "put", (1,), None, 0, 1), (1, "get", (), 1, 2, 5), (2, "get", (), 1, 3, 4)),
    ),
    "a value that is lost": (
        Queue(),
        history((1, "put", (1,), None, 0, 1), (2, "get", (), None, 2, 3)),
    ),
    "a load of what was before a store that is over": (
        Register(),
        history((1, "store", (1,), None, 0, 1), (2, "load", (), 0, 2, 3)),
    ),
    "new and then old during one store": (
        Register(),
        history((1, "store", (1,), None, 0, 9), (2, "load", (), 1, 1, 2), (3, "load", (), 0, 3, 4)),
    ),
    "two that both win one cmpset": (
        Register(),
        history((1, "cmpset", (0, 1), True, 0, 2), (2, "cmpset", (0, 2), True, 1, 3)),
    ),
}


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


def test_an_operation_returns_after_its_call():
    with pytest.raises(UsageError, match=r"cpu1 put\(1\) -> None returns before it is called"):
        Operation(1, "put", (1,), None, 5, 3)


# -- what it says -------------------------------------------------------------------------------------


def test_an_illegal_verdict_tells_the_longest_order_and_what_could_not_come_next():
    verdict = check(ILLEGAL["a queue that is last in, first out"][1], Queue())
    assert [
        "not linearizable: at most 2 of 3 operations can be put in order",
        "  cpu1 put(1) -> None  [0..1]",
        "  cpu1 put(2) -> None  [2..3]",
        "state then: (1, 2); none of these can be next:",
        "  cpu2 get() -> 2  [4..5]: it would give 1",
    ] == verdict.explain()


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


def test_a_long_order_is_cut_to_its_end():
    puts = [Operation(1, "put", (n,), None, 2 * n, 2 * n + 1) for n in range(20)]
    lines = check([*puts, Operation(2, "get", (), 7, 50, 51)], Queue()).explain()
    assert "  ... 8 before these" == lines[1]
    assert "  cpu1 put(8) -> None  [16..17]" == lines[2]


def test_an_operation_that_cannot_be_done_at_all_is_called_so():
    verdict = check(history((1, "free", ("p",), None, 0, 1)), Allocator("pq"))
    assert ("not possible at all",) == verdict.reasons


def test_a_specification_that_does_not_tell_gives_no_reason():
    class Never:
        def initial(self):
            return 0

        def step(self, state, name, args, result):
            return ()

        def key(self, name, args):
            return None

    assert ("not possible",) == check(history((1, "x", (), None, 0, 1)), Never()).reasons


def test_the_part_of_an_illegal_history_is_named():
    operations = history(
        (1, "insert_tail", ("a", 1), None, 0, 1),
        (1, "insert_tail", ("b", 2), None, 2, 3),
        (2, "take_first", ("b",), None, 4, 5),
    )
    verdict = check(operations, PageQueue())
    assert ("b",) == verdict.key
    assert "not linearizable: at most 1 of 2 operations of ('b',) can be put in order" == verdict.explain()[0]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (frozenset("cab"), "{'a', 'b', 'c'}"),
        ((frozenset("ba"), 1), "({'a', 'b'}, 1)"),
        ((1,), "(1,)"),
        (object(), "<object object>"),
        ("x" * 100, "'" + "x" * 76 + "..."),
    ],
)
def test_values_are_shown_the_same_in_every_process(value, words):
    assert words == show(value)


# -- pending operations -------------------------------------------------------------------------------


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


# -- the search ---------------------------------------------------------------------------------------


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


def crowd(n):
    """`n` puts at once, then one get that nobody's put explains."""
    puts = [Operation(k, "put", (k,), None, 0, 1) for k in range(n)]
    return [*puts, Operation(0, "get", (), -1, 2, 3)]


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


# -- commit points ------------------------------------------------------------------------------------


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


# -- programs -----------------------------------------------------------------------------------------


class ListQueue:
    """A queue in one plain cell; `guarded` names the operations that take its lock."""

    def __init__(self, m, guarded=("put", "get")):
        self.items = m.cell((), "items")
        self.lock = m.spinlock("queue lock")
        self.guarded = guarded

    def put(self, value):
        self._change("put", lambda items: (None, (*items, value)))

    def get(self):
        return self._change("get", lambda items: (items[0], items[1:]) if items else (None, items))

    def _change(self, name, change):
        if name in self.guarded:
            self.lock.acquire()
        result, items = change(self.items.load())
        self.items.store(items)
        if name in self.guarded:
            self.lock.release()
        return result


def queueing(guarded=("put", "get"), *, recorded=True, judged=None):
    """Two putters and a getter; `judged` collects the verdicts."""

    def program(m):
        queue = ListQueue(m, guarded)
        told = History(m) if recorded else None

        def operate(name, *args):
            operation = getattr(queue, name)
            if told is None:
                operation(*args)
            else:
                with told.operation(name, *args) as op:
                    op.result = operation(*args)

        def putter(value):
            operate("put", value)

        def getter():
            operate("get")
            operate("get")

        m.spawn(putter, 1)
        m.spawn(putter, 2)
        m.spawn(getter)
        m.join()
        if told is not None:
            verdict = told.judge(Queue())
            if judged is not None:
                judged.append(verdict)

    return program


@DEPTHS
def test_a_guarded_queue_is_linearizable(locks):
    judged = []
    result = vmsmp.explore(queueing(judged=judged), sched="random", schedules=100, locks=locks)
    assert [] == [(f.signature, f.facts) for f in result.failures]
    assert {"ok"} == {verdict.verdict for verdict in judged}


@pytest.mark.parametrize("guarded", [("put",), ("get",), ()])
def test_a_queue_with_a_dropped_lock_is_found_and_comes_back(guarded):
    program = queueing(guarded)
    failure = vmsmp.explore(program, sched="random", schedules=300).failure
    assert "linearizability: Queue: no order of the operations explains their results" == failure.signature
    again = vmsmp.replay(program, failure.schedule).failure
    assert (failure.signature, failure.facts, failure.digest) == (again.signature, again.facts, again.digest)


def test_the_story_names_the_steps_of_each_operation():
    """Steps as the report counts them, in which switches are none."""

    def program(m):
        word, told = m.atomic(0), History(m)

        def storing():
            with told.operation("store", 1):
                m.yield_()
                word.store(1)

        def loading():
            with told.operation("load") as op:
                op.result = word.load() + 6
            with told.operation("fetchadd", 0) as op:
                op.result = 1

        m.spawn(storing)
        m.join()
        m.spawn(loading)
        m.join()
        told.judge(Register())

    failure = vmsmp.replay(program, "v1:program:0:").failure
    assert (
        "not linearizable: at most 1 of 3 operations can be put in order",
        "  cpu1 store(1) -> None  [step 2..3]",
        "state then: 1; none of these can be next:",
        "  cpu2 load() -> 7  [step 7]: it would give 1",
    ) == failure.facts
    (row,) = [line for line in failure.report().splitlines() if "load atomic" in line]
    assert "7" == row.split("|")[0].strip()


@DEPTHS
@pytest.mark.parametrize("sched", ["random", "pct:3"])
def test_recording_leaves_the_run_as_it_was(locks, sched):
    options = {"sched": sched, "schedules": 1, "locks": locks, "seed": 3}
    found = vmsmp.explore(queueing(), **options)
    line = Schedule(found.program, found.seed, (), found.options)
    bare, recorded = (vmsmp.replay(queueing(recorded=told), line) for told in (False, True))
    assert (bare.digest, bare.steps) == (recorded.digest, recorded.steps)


def test_recording_leaves_a_whole_search_as_it_was():
    bare, recorded = (
        vmsmp.explore(queueing(recorded=told), sched="random", schedules=50, locks="exact")
        for told in (False, True)
    )
    assert (bare.steps, bare.longest) == (recorded.steps, recorded.longest)


def test_an_unknown_verdict_does_not_fail_the_run():
    told = []

    def program(m):
        operations = History(m)
        with operations.operation("get") as op:
            op.result = 7
        told.append(operations.judge(Queue(), budget=0).verdict)

    assert None is vmsmp.explore(program, schedules=1).failure
    assert {"unknown"} == set(told)


def record(program):
    """What one run of `program(m, history)` recorded."""
    kept = []

    def recording(m):
        operations = History(m)
        program(m, operations)
        m.join()
        kept.append(operations)

    assert None is vmsmp.explore(recording, schedules=1).failure
    return kept[0]


def test_operations_of_one_cpu_with_nothing_visible_between_them_keep_their_order():
    def program(m, operations):
        for value in range(3):
            with operations.operation("store", value):
                pass

    kept = record(program).operations
    assert sorted(kept, key=lambda op: op.call) == list(kept)
    assert all(a.ret < b.call for a, b in pairwise(kept))


def test_stamps_are_places_in_the_log():
    def program(m, operations):
        word = m.atomic(0)
        word.store(1)
        with operations.operation("load") as op:
            op.result = word.load()

    (operation,) = record(program).operations
    assert (0, 1, 2) == (operation.cpu, operation.call, operation.ret)


def test_an_operation_left_by_an_exception_is_pending():
    def program(m, operations):
        with pytest.raises(KeyError), operations.operation("put", 1):
            raise KeyError

    (operation,) = record(program).operations
    assert ("cpu0 put(1) -> ?", None) == (str(operation), operation.ret)


class CountingRegister(Register):
    """A register that counts the steps asked of it."""

    steps = 0

    def step(self, state, name, args, result):
        self.steps += 1
        return super().step(state, name, args, result)


def committing(*, late=False):
    """Judge two increments that commit with their fetchadd, or `late`: verdicts, and steps taken."""
    judged = []

    def program(m):
        word, told, spec = m.atomic(0), History(m), CountingRegister()

        def increment():
            with told.operation("fetchadd", 1) as op:
                op.result = word.fetchadd(1)
                if late:
                    m.yield_()
                told.commit(op)

        m.spawn(increment)
        m.spawn(increment)
        m.join()
        judged.append((told.judge(spec).verdict, spec.steps))

    result = vmsmp.explore(program, sched="dfs", schedules=500)
    assert [] == [f.facts for f in result.failures]
    return judged


def test_a_history_with_commit_points_is_judged_in_as_many_steps_as_operations():
    assert {("ok", 2)} == set(committing())


def test_wrong_commit_points_cost_a_search_and_no_verdict():
    """Two steps of a replay; where that fails, two or three of a search on top of them."""
    assert {("ok", 2), ("ok", 3), ("ok", 4)} >= set(committing(late=True)) > {("ok", 2)}


def test_the_free_engine_records_too():
    assert None is vmsmp.run(queueing(), engine="free", seed=1, time_s=5).failure


def test_an_illegal_free_run_fails_too():
    def program(m):
        told = History(m)
        with told.operation("get") as op:
            op.result = 7
        told.judge(Queue())

    assert "linearizability" == vmsmp.run(program, engine="free", seed=1, time_s=5).failure.kind


def test_two_machines_have_histories_of_their_own():
    kept = [record(lambda m, operations: operations.operation("load").__enter__()) for _ in range(2)]
    assert [1, 1] == [len(operations.operations) for operations in kept]


def test_a_verdict_is_a_value():
    operations = LEGAL["one after another"][1]
    assert check(operations, Queue()) == check(operations, Queue())
    assert isinstance(check(operations, Queue()), Verdict)
