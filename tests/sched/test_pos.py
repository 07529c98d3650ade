"""POS: orders of dependent operations, whatever else a CPU does."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sampling import orders, racers
from vmsmp.engine import ops
from vmsmp.sched.pos import Pos

X, Y = (ops.identity(0, n) for n in (1, 2))


def test_pos_leaves_the_priority_of_an_operation_that_nothing_depends_on():
    """A long CPU of its own does not push a short one's single operation to the front."""
    counts = orders("pos", racers((1, 12), shared=False), 2_000)
    last = sum(n for order, n in counts.items() if order.index("0") == 12)
    assert last > 2_000 / 30  # a random walk gives 1 in 4,096


def standing_before(*pending):
    """POS in a run whose CPUs stand before these operations (kind, object), with priorities drawn."""
    machine = SimpleNamespace(engine=SimpleNamespace(log=[], current=None), cpus=[])
    pos = Pos(1)
    for index, (kind, obj) in enumerate(pending):
        cpu = SimpleNamespace(index=index, pending=ops.op(obj, kind), machine=machine, started=True)
        machine.cpus.append(cpu)
        machine.engine.current = machine.cpus[0]
        pos.spawned(cpu)
    pos.pick(machine.cpus[0], machine.cpus)
    return pos, machine


def kept_after(kind, obj, *pending):
    """Which CPUs keep their priority when CPU 0 performs that operation."""
    pos, machine = standing_before((kind, obj), *pending)
    machine.engine.log.append(ops.op(obj, kind))
    before = dict(pos._priority)
    pos._catch_up(machine.cpus[0])
    assert pos._priority.items() <= before.items()
    return sorted(pos._priority)


def test_every_runnable_cpu_gets_a_priority():
    pos, _ = standing_before((ops.LOAD, X), (ops.LOAD, Y), (ops.STORE, X))
    assert [0, 1, 2] == sorted(pos._priority)


def test_the_highest_priority_runs():
    pos, machine = standing_before((ops.LOAD, X), (ops.LOAD, Y), (ops.STORE, X))
    pos._priority = {0: 0.2, 1: 0.9, 2: 0.5}
    assert machine.cpus[1] is pos.pick(machine.cpus[0], machine.cpus)


@pytest.mark.parametrize(
    ("mine", "theirs", "kept"),
    [
        ((ops.STORE, X), (ops.LOAD, X), []),
        ((ops.LOAD, X), (ops.STORE, X), []),
        ((ops.LOAD, X), (ops.LOAD, X), [1]),
        ((ops.STORE, X), (ops.STORE, Y), [1]),
    ],
)
def test_the_operation_performed_and_those_that_depend_on_it_lose_their_priority(mine, theirs, kept):
    assert kept == kept_after(*mine, theirs)


def test_a_cpu_that_yields_comes_after_all_others():
    pos, machine = standing_before((ops.YIELD, 0), (ops.LOAD, X))
    for _ in range(20):
        pos.yielded(machine.cpus[0])
        assert machine.cpus[1] is pos.pick(machine.cpus[0], machine.cpus)
