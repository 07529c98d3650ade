"""Memory that is allocated and freed: what is used too late, freed twice or forgotten."""

import pytest

import vmsmp
from lock_runs import alone, failure_of
from verdicts import found, silent


def spots(failure):
    """What the facts say, without steps, files and lines."""
    return [fact.partition(": ")[2].partition(" at ")[0] for fact in failure.facts]


def early_free(m, *, counted=False):
    """Two users of one thing; the one that is last by the count frees it, or whoever is done first."""
    thing = m.allocate("thing", value=1, ref=m.atomic(2, "thing.ref"))

    def user():
        thing.value.load()
        last = thing.ref.fetchadd(-1) == 1
        if last or not counted:
            thing.free()

    m.spawn(user)
    m.spawn(user)
    m.join()


@pytest.mark.parametrize("sched", ["random", "pct:3", "dfs:2", "dpor"])
def test_what_is_freed_by_the_last_user_is_used_by_nobody_too_late(sched):
    silent(lambda m: early_free(m, counted=True), sched=sched, races=True)


def test_a_use_after_the_free_says_who_allocated_freed_and_used_it():
    def program(m):
        thing = m.allocate("thing", key=1)
        m.spawn(thing.free, name="killer")
        m.spawn(thing.key.load, name="reader")
        m.join()

    failure = found(program, "use-after-free", "thing.key used after it was freed")
    assert ["cpu0 allocated it", "cpu1 killer frees it", "cpu2 reader uses it"] == spots(failure)


@pytest.mark.parametrize("sched", ["dfs", "dpor"])
def test_a_systematic_search_finds_it_whichever_field_is_used(sched):
    def program(m):
        thing = m.allocate("thing", a=1, b=2, c=3)
        m.spawn(thing.free)
        m.spawn(thing.b.store, 5)
        m.join()

    failure = failure_of(program, "atomic", sched=sched, schedules=1000)
    assert "use-after-free: thing.b used after it was freed" == failure.signature


def test_a_cpu_that_stands_before_its_access_when_the_memory_goes_is_too_late():
    def program(m):
        thing = m.allocate("thing", value=1, ref=m.atomic(2, "thing.ref"))

        def user():
            last = thing.ref.fetchadd(-1) == 1
            thing.value.load()
            if last:
                thing.free()

        m.spawn(user)
        m.spawn(user)
        m.join()

    found(program, "use-after-free", "thing.value used after it was freed")


def test_a_place_in_the_program_is_named():
    def program(m):
        thing = m.allocate("thing", key=1)
        thing.free()
        thing.key.load()

    facts = failure_of(program, "atomic").facts
    assert [True] * 3 == [fact.endswith("in program") for fact in facts]


def test_an_atomic_field_is_watched_as_well():
    def program(m):
        thing = m.allocate("thing", word=m.atomic(1, "word"))
        thing.free()
        thing.word.fetchadd(1)

    assert "use-after-free: word used after it was freed" == failure_of(program, "atomic").signature


def test_a_second_free_is_found_with_both():
    failure = found(early_free, "use-after-free", "thing freed twice", whole=False, schedules=500, seed=3)
    assert "cpu0 allocated it" == spots(failure)[0]


def test_two_frees_are_two_even_where_nothing_else_happens():
    def program(m):
        thing = m.allocate("thing", a=1, b=2)
        m.spawn(thing.free)
        m.spawn(thing.free)
        m.join()

    failure = failure_of(program, "atomic", sched="dpor")
    assert "use-after-free: thing freed twice" == failure.signature
    assert ["cpu0 allocated it", "cpu1 frees it", "cpu2 frees it"] == sorted(spots(failure))


def test_it_is_found_with_no_checker_on():
    def program(m):
        thing = m.allocate("thing", key=1)
        thing.free()
        thing.key.load()

    assert "use-after-free" == failure_of(program, "atomic", check=False).kind


def test_what_nobody_frees_is_a_leak_that_says_who_allocated_it():
    failure = found(lambda m: m.allocate("thing", key=1), "leak", "thing never freed")
    assert ["cpu0 allocated it"] == spots(failure)


def test_the_free_engine_finds_them_too():
    def program(m):
        thing = m.allocate("thing", key=1)
        m.spawn(thing.free).join()
        thing.key.load()

    failure = vmsmp.run(program, engine="free").failure
    assert "use-after-free: thing.key used after it was freed" == failure.signature


def test_the_free_engine_finds_leaks_too():
    failure = vmsmp.run(lambda m: m.allocate("thing", key=1), engine="free").failure
    assert "leak: thing never freed" == failure.signature


def test_a_free_that_nothing_orders_with_a_use_is_a_race_as_well():
    def program(m):
        thing = m.allocate("thing", key=1)
        m.spawn(thing.free)
        m.spawn(thing.key.load)
        m.join()

    failure = failure_of(program, "atomic", races=True)
    assert "data-race: thing.key: load and store, with nothing to order them" == failure.signature


def test_fields_are_cells():
    def program(m, seen):
        thing = m.allocate("thing", key=1, next=None)
        thing.next.store(thing.key.load() + 1)
        seen += [thing.next.load(), thing.key.name, repr(thing), thing.state()]
        thing.free()
        seen.append(thing.state())

    assert [2, "thing.key", "thing", "allocated", "freed"] == alone(program)


@pytest.mark.parametrize("fields", [{}, {"free": 1}, {"history": 1}])
def test_a_record_of_nothing_or_with_a_name_that_is_taken_is_refused(fields):
    def program(m, seen):
        with pytest.raises(ValueError, match="give at least one field"):
            m.allocate(None, **fields)
        seen.append(True)

    assert [True] == alone(program)


def test_a_field_that_is_not_there_is_no_field():
    def program(m, seen):
        thing = m.allocate("thing", key=1)
        with pytest.raises(AttributeError, match="thing has no field 'value'"):
            thing.value  # noqa: B018 - the look is what fails
        thing.free()
        seen.append(True)

    assert [True] == alone(program)


def test_a_field_cannot_be_replaced_by_a_value():
    def program(m):
        thing = m.allocate("thing", value=1)
        with pytest.raises(AttributeError, match=r"thing: use \.value\.store\(\.\.\.\) to change the field"):
            thing.value = 2
        thing.free()

    silent(program)
