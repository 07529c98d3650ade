"""Both engines offer all that the protocol says."""

from __future__ import annotations

import inspect

import pytest

from vmsmp.engine.controlled import ControlledExecution
from vmsmp.engine.free import FreeExecution
from vmsmp.engine.protocol import Engine

OFFERED = [
    name
    for name, what in vars(Engine).items()
    if not name.startswith("_") and (inspect.isfunction(what) or isinstance(what, property))
]


@pytest.fixture(params=["controlled", "free"])
def engine(request):
    """Run a program once under either engine; gives the machine."""
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("execution", [ControlledExecution, FreeExecution])
@pytest.mark.parametrize("name", OFFERED)
def test_an_execution_has_its_own_of_everything(execution, name):
    assert getattr(Engine, name) is not getattr(execution, name)


@pytest.mark.parametrize("execution", [ControlledExecution, FreeExecution])
def test_an_execution_has_slots_only(execution):
    assert not hasattr(execution.__new__(execution), "__dict__")


def test_a_cpu_knows_its_place_in_the_run(engine):
    seen = []

    def program(m):
        before = m.engine.position(m.curcpu)
        m.yield_()
        seen.append(m.engine.position(m.curcpu) - before)

    engine(program)
    assert [1] == seen


def test_a_report_counts_steps_from_0_under_control(controlled):
    seen = []

    def program(m):
        m.yield_()
        m.yield_()
        seen.append(m.engine.step_at(m.engine.position(m.curcpu)))

    controlled(program)
    assert [1] == seen


def test_only_free_cpus_run_at_the_same_time(controlled, free):
    assert (False, True) == (
        controlled(lambda m: None).engine.parallel,
        free(lambda m: None).engine.parallel,
    )


def test_a_host_lock_can_be_held_by_who_holds_it(engine):
    def program(m):
        lock = m.engine.host_lock()
        with lock, lock:
            pass

    assert None is engine(program).violation


def test_a_running_cpu_can_run(engine):
    seen = []
    engine(lambda m: seen.append(m.engine.can_run(m.curcpu)))
    assert [True] == seen


def test_a_closed_machine_s_execution_lets_go_of_it(engine):
    machine = engine(lambda m: None)
    machine.close()
    assert not hasattr(machine.engine, "machine")


def test_what_is_written_down_outlives_the_machine(controlled):
    machine = controlled(lambda m: m.yield_())
    before = list(machine.engine.log)
    machine.close()
    assert before == machine.engine.log
