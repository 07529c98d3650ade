"""Plain cells: one visible operation an access, nothing to order them."""

import pytest

import vmsmp

ENGINES = ("controlled", "free")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_load_returns_what_was_stored_last(engine):
    seen = []

    def program(m):
        cell = m.cell("a")
        seen.append(cell.load())
        cell.store("b")
        seen.append(cell.load())

    assert None is vmsmp.run(program, engine=engine).failure
    assert ["a", "b"] == seen


def test_a_load_and_a_store_are_one_visible_operation_each():
    def empty(m):
        m.cell(0)

    def twice(m):
        cell = m.cell(0)
        cell.store(cell.load())

    steps = [vmsmp.explore(program, schedules=1).steps for program in (empty, twice)]
    assert 2 == steps[1] - steps[0]


def test_another_cpu_may_come_between_a_load_and_the_store_after_it():
    totals = set()

    def program(m):
        cell = m.cell(0)

        def adder():
            cell.store(cell.load() + 1)

        m.spawn(adder)
        m.spawn(adder)
        m.join()
        totals.add(cell.load())

    assert vmsmp.explore(program, sched="dfs", schedules=1000).exhausted
    assert {1, 2} == totals


def test_peek_and_state_show_the_value_without_a_visible_operation():
    seen = []

    def quiet(m):
        cell = m.cell([1], name="list")
        seen.append((cell.peek(), cell.state(), repr(cell)))

    def empty(m):
        m.cell([1])

    assert vmsmp.explore(empty, schedules=1).steps == vmsmp.explore(quiet, schedules=1).steps
    assert ([1], "[1]", "list") == seen[0]


def test_an_unnamed_cell_is_named_by_who_made_it_and_when():
    names = []

    def program(m):
        m.cell(0)
        names.append(m.cell(0).name)
        m.spawn(lambda: names.append(m.cell(0).name))
        m.join()

    vmsmp.explore(program, schedules=1)
    assert ["cell 0.2", "cell 1.1"] == names


def test_a_sloppy_cell_keeps_its_reason():
    reasons = []
    vmsmp.explore(lambda m: reasons.append(m.cell(0, sloppy="looked at twice").sloppy), schedules=1)
    assert ["looked at twice"] == reasons


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_sloppy_cell_without_a_reason_is_refused(reason):
    with pytest.raises(vmsmp.UsageError, match="needs the reason why it may race"):
        vmsmp.explore(lambda m: m.cell(0, sloppy=reason), schedules=1)
