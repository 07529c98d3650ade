"""Programs that record what they do, under control and in the free engine."""

from itertools import pairwise

import pytest

import vmsmp
from vmsmp.check.linearize import History
from vmsmp.check.specs import Queue, Register

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])


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
    line = vmsmp.explore(queueing(), **options).options
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
