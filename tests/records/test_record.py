"""Shared records: fields that name their locks, hints, words, ghost shares, and identities."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.engine import ops
from vmsmp.engine.controlled import ControlledEngine
from vmsmp.engine.hooks import Hooks
from vmsmp.engine.observer import Observer
from vmsmp.engine.workers import WorkerPool, current_core
from vmsmp.machine import Machine
from vmsmp.records.field import field, plain, word
from vmsmp.records.letters import Letter
from vmsmp.records.record import FIRST_FIELD, SPIN, STRIDE, Record, record
from vmsmp.records.share import Share
from vmsmp.sched.random_walk import RandomWalk
from vmsmp.sync.lock import EXCLUSIVE

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])

OWNER = Share("owner", owned=True, invariant="INV-X1")
READER = Share("reader", owned=True, invariant="INV-X2")
WIRING = Share("wiring", owned=False, invariant="INV-X3")

LEGEND = {
    "S": Letter("thing.spin", lambda cpu, thing: cpu.holds(thing.spin, EXCLUSIVE)),
    "O": Letter("its own share", lambda cpu, thing: cpu.holds(thing, OWNER)),
    "Z": Letter("a zero", lambda _cpu, thing: thing.peek("free") == 0),
}


@record(legend=LEGEND)
class Thing(Record):
    """One of each sort of field."""

    kind = "thing"

    count = word(format=hex, default=7)
    both = field("S", "S+O", format=lambda value: f"<{value}>")
    either = field("S|O")
    free = field("")
    seen = field("", "S")
    items = field("S", factory=dict)
    label = plain()

    @property
    def name(self):
        return f"thing[{self.label}]"


class Home:
    """What records hang off, without a kernel around it."""

    def __init__(self, m):
        self.machine = m
        self.engine = m.engine
        self.hooks = m.hooks
        self.point = m.point
        self.making = m.making
        self.booted = True


def run(program, *observers):
    """Run `program(machine, home)` under the controlled engine and give back what it returned."""
    told = []
    with WorkerPool(current_core()) as pool:
        execution = ControlledEngine(pool, max_steps=10_000).prepare(RandomWalk(0))
        machine = Machine(execution, hooks=Hooks(observers))
        pool.drive(lambda: execution.execute(machine, lambda m: told.append(program(m, Home(m)))))
    assert None is machine.violation
    return told[0]


def operations(program):
    """The visible operations of `act()` of `act = program(machine, home)`."""

    def measured(m, home):
        act = program(m, home)
        before = len(m.engine.log)
        act()
        return [m.describe(code) for code in m.engine.log[before:]]

    return run(measured)


# -- fields ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [Thing, Thing.checked], ids=["plain", "checked"])
def test_a_plain_field_is_a_slot_and_no_visible_operation(made):
    def program(_m, home):
        thing = made(home, label="a")

        def act():
            thing.both = 3
            assert 3 == thing.both

        return act

    assert [] == operations(program)


@pytest.mark.parametrize("made", [Thing, Thing.checked], ids=["plain", "checked"])
def test_a_record_has_no_room_for_what_it_did_not_declare(made):
    def program(_m, home):
        with pytest.raises(AttributeError):
            made(home, label="a").undeclared = 1
        return True

    assert True is run(program)


def test_a_field_s_letters_for_writing_are_those_for_reading_if_not_given():
    assert [("S", "S+O"), ("S|O", "S|O"), ("", ""), ("", "S")] == [
        (Thing.fields[name].read, Thing.fields[name].write) for name in ("both", "either", "free", "seen")
    ]


def test_fields_know_their_names_and_no_two_share_an_offset():
    names = ["count", "both", "either", "free", "seen", "items"]
    assert names == [declared.name for declared in Thing.fields.values()]
    assert [*range(FIRST_FIELD, FIRST_FIELD + 6)] == [f.offset for f in Thing.fields.values()]


def test_a_hint_reads_the_field_in_one_visible_operation():
    def program(_m, home):
        thing = Thing(home, label="a")
        thing.both = 5

        def act():
            assert 5 == thing.hint("both")

        return act

    assert ["load thing[a].both"] == operations(program)


def test_publishing_stores_the_field_in_one_visible_operation():
    def program(_m, home):
        thing = Thing(home, label="a")

        def act():
            thing.publish("both", 9)
            assert 9 == thing.both

        return act

    assert ["store thing[a].both"] == operations(program)


def test_a_peek_sees_fields_and_words_and_nobody_sees_it():
    def program(_m, home):
        thing = Thing.checked(home, label="a")

        def act():
            assert [0, 7] == [thing.peek("both"), thing.peek("count")]

        return act

    assert [] == operations(program)


# -- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "expected", "left"),
    [
        (lambda w: w.load(), 7, 7),
        (lambda w: w.store(2), None, 2),
        (lambda w: w.fetchadd(3), 7, 10),
        (lambda w: w.swap(1), 7, 1),
        (lambda w: w.cmpset(7, 8), True, 8),
        (lambda w: w.cmpset(6, 8), False, 7),
        (lambda w: w.fcmpset(7, 8), (True, 7), 8),
        (lambda w: w.fcmpset(6, 8), (False, 7), 7),
        (lambda w: w.setbits(8), 7, 15),
        (lambda w: w.clearbits(3), 7, 4),
        (lambda w: w.rmw(lambda old: -old), 7, -7),
    ],
)
@pytest.mark.parametrize("engine", ["controlled", "free"])
def test_a_word_does_what_an_atomic_does(act, expected, left, engine):
    seen = []

    def program(m):
        thing = Thing(Home(m), label="a")
        seen.append((act(thing.count), thing.count.peek()))

    outcome = vmsmp.run(program, engine=engine, check=False)
    assert (None, [(expected, left)]) == (outcome.failure, seen)


def test_every_operation_on_a_word_is_one_visible_operation_on_its_own_identity():
    def program(_m, home):
        thing = Thing(home, label="a")

        def act():
            thing.count.fetchadd(1)
            thing.count.cmpset(99, 0)
            thing.count.load()

        return act

    expected = ["fetchadd thing[a].count", "cmpset failed thing[a].count", "load thing[a].count"]
    assert expected == operations(program)


def test_a_word_shows_its_value_in_the_form_it_was_declared_with():
    def program(_m, home):
        thing = Thing(home, label="a")
        return thing.count.state(), thing.count.name, repr(thing.count)

    assert ("0x7", "thing[a].count", "thing[a].count") == run(program)


def test_words_of_two_records_are_two_words():
    def program(_m, home):
        one, other = Thing(home, label="a"), Thing(home, label="b")
        one.count.fetchadd(1)
        return one.count.peek(), other.count.peek()

    assert (8, 7) == run(program)


@DEPTHS
def test_no_increment_of_a_word_is_lost_between_parallel_cpus(locks):
    seen = []

    def program(m):
        thing = Thing(Home(m), label="a")

        def adder():
            for _ in range(200):
                thing.count.fetchadd(1)

        for _ in range(3):
            m.spawn(adder)
        m.join()
        seen.append(thing.count.peek())

    outcome = vmsmp.run(program, engine="free", seed=1, time_s=5, locks=locks, check=False)
    assert (None, [607]) == (outcome.failure, seen)


# -- who is told ----------------------------------------------------------------------------------


class Accesses(Observer):
    """Writes down every access that it is told of."""

    def __init__(self):
        self.seen = []

    def access(self, cpu, thing, field, write):
        self.seen.append((thing.label, field.name, write))


def test_a_checked_record_tells_of_each_read_and_write_of_a_field_with_letters():
    told = Accesses()

    def program(_m, home):
        thing = Thing(home, label="a")  # made as it is at boot: nobody's business yet
        thing.__class__ = Thing.checked
        thing.both = 1
        _ = thing.either
        thing.free = 2
        _ = thing.free

    run(program, told)
    assert [("a", "both", True), ("a", "either", False)] == told.seen


def test_a_record_that_is_not_checked_tells_nobody():
    told = Accesses()

    def program(_m, home):
        thing = Thing(home, label="a")
        thing.both = thing.either

    run(program, told)
    assert [] == told.seen


def test_a_container_about_to_be_changed_in_place_is_told_of_as_a_write():
    told = Accesses()

    def program(_m, home):
        thing = Thing(home, label="a")
        thing.changing("items")[3] = 4
        return thing.peek("items")

    assert ({3: 4}, [("a", "items", True)]) == (run(program, told), told.seen)


def test_a_hint_needs_no_lock_and_is_not_told_of_and_a_publication_is_a_write():
    told = Accesses()

    def program(_m, home):
        thing = Thing(home, label="a")
        thing.__class__ = Thing.checked
        thing.publish("both", thing.hint("either"))

    run(program, told)
    assert [("a", "both", True)] == told.seen


def letters_of(act, kept=(), names=""):
    """What the field-lock checker says of `act(thing)` by a CPU that holds what `kept` says."""

    def program(m):
        from vmsmp.check.field_locks import FieldLocks

        home = Home(m)
        thing = Thing(home, label="a")
        thing.__class__ = Thing.checked
        checker = FieldLocks()
        m.hooks.access = (checker.access,)
        thing.free = 0 if "zero" in kept else 1

        def worker():
            if "spin" in kept:
                thing.spin.acquire()
            if "owner" in kept:
                thing.took(OWNER)
            act(thing)

        checker.spawned(m.curcpu, m.spawn(worker))
        m.join()

    failure = vmsmp.explore(program, sched="dfs:0", schedules=1, check=False).failure
    return failure and (failure.kind, failure.message)


def write_both(thing):
    thing.both = 1


def write_either(thing):
    thing.either = 1


BOTH = "thing.both written without thing.spin and its own share"
EITHER = "thing.either written without thing.spin, or its own share"


@pytest.mark.parametrize(
    ("act", "kept", "message"),
    [
        (write_both, (), BOTH),
        (write_both, ("spin",), BOTH),
        (write_both, ("owner",), BOTH),
        (write_both, ("spin", "owner"), None),
        (lambda thing: thing.both, (), "thing.both read without thing.spin"),
        (lambda thing: thing.both, ("owner",), "thing.both read without thing.spin"),
        (lambda thing: thing.both, ("spin",), None),
        (write_either, (), EITHER),
        (write_either, ("spin",), None),
        (write_either, ("owner",), None),
        (lambda thing: thing.free, (), None),
        (lambda thing: thing.seen, (), None),
        (lambda thing: setattr(thing, "seen", 1), (), "thing.seen written without thing.spin"),
        (lambda thing: thing.changing("items"), (), "thing.items written without thing.spin"),
    ],
)
def test_plus_means_both_bar_means_either_and_no_letter_means_anybody(act, kept, message):
    assert (message and ("field-lock", message)) == letters_of(act, kept)


# -- shares ---------------------------------------------------------------------------------------


def test_a_share_of_one_s_own_is_in_the_hands_of_the_cpu_that_took_it():
    def program(_m, home):
        thing = Thing(home, label="a")
        thing.took(OWNER)
        taken = [(cpu.index, share) for cpu, share in thing.holders]
        thing.gave(OWNER)
        return taken, thing.holders

    assert ([(0, OWNER)], []) == run(program)


def test_a_share_that_is_merely_counted_is_in_nobody_s_hands():
    def program(m, home):
        thing = Thing(home, label="a")
        thing.took(WIRING)
        return thing.holders, m.curcpu.held

    assert ([], []) == run(program)


def test_of_two_shares_of_one_kind_one_is_given_back_at_a_time():
    def program(_m, home):
        thing, other = Thing(home, label="a"), Thing(home, label="b")
        for taken in (thing, thing, other):
            taken.took(READER)
        thing.gave(READER)
        return len(thing.holders), len(other.holders)

    assert (1, 1) == run(program)


def test_a_share_given_back_leaves_those_of_other_kinds():
    def program(_m, home):
        thing = Thing(home, label="a")
        thing.took(OWNER)
        thing.took(READER)
        thing.gave(OWNER)
        return [share for _, share in thing.holders]

    assert [READER] == run(program)


class Shares(Observer):
    """Writes down every share that it is told of."""

    def __init__(self):
        self.seen = []

    def took(self, cpu, thing, share):
        self.seen.append(("took", cpu.index, thing.label, share))

    def gave(self, cpu, thing, share):
        self.seen.append(("gave", cpu.index, thing.label, share))


def test_who_watches_hears_of_every_share_taken_and_given():
    told = Shares()

    def program(_m, home):
        thing = Thing(home, label="a")
        thing.took(OWNER)
        thing.took(WIRING)
        thing.gave(WIRING)
        thing.gave(OWNER)

    run(program, told)
    expected = [("took", OWNER), ("took", WIRING), ("gave", WIRING), ("gave", OWNER)]
    assert expected == [(what, share) for what, _, _, share in told.seen]


# -- identities and spinlocks ---------------------------------------------------------------------


def test_a_record_finds_its_fields_its_word_and_its_spinlock_by_identity():
    def program(m, home):
        thing = Thing(home, label="a")

        def at(offset):
            return m.find(thing.ident + (offset << ops.CPU_BITS))

        assert thing is at(0)
        assert thing.spin is at(SPIN)
        assert thing.count is at(Thing.fields["count"].offset)
        return at(Thing.fields["both"].offset).name, at(Thing.fields["both"].offset).state()

    assert ("thing[a].both", "<0>") == run(program)


def test_two_records_have_no_identity_in_common():
    def program(_m, home):
        one, other = Thing(home, label="a"), Thing(home, label="b")
        return (other.ident - one.ident) >> ops.CPU_BITS

    assert STRIDE == run(program)


def test_a_record_s_spinlock_is_made_once_and_named_after_it():
    def program(_m, home):
        thing = Thing(home, label="a")
        return thing.spin is thing.spin, thing.spin.name

    assert (True, "thing[a].spin") == run(program)


@DEPTHS
def test_a_spinlock_s_identity_does_not_depend_on_who_wants_it_first(locks):
    def seen_by(first):
        told = []

        def program(m):
            things = [Thing(Home(m), label=n) for n in range(3)]

            def worker(order):
                for n in order:
                    with things[n].spin:
                        pass

            m.spawn(worker, first)
            m.join()
            told.append([thing.spin.ident - thing.ident for thing in things])

        assert None is vmsmp.explore(program, sched="dfs:0", schedules=1, locks=locks, check=False).failure
        return told[0]

    assert [SPIN << ops.CPU_BITS] * 3 == seen_by([0, 1, 2]) == seen_by([2, 1, 0])


@DEPTHS
def test_two_cpus_that_want_a_spinlock_first_get_the_same_one(locks):
    def program(m):
        thing = Thing(Home(m), label="a")
        inside = m.atomic(0)

        def worker():
            with thing.spin:
                m.check(inside.fetchadd(1) == 0, "one spinlock, one holder")
                inside.fetchadd(-1)

        m.spawn(worker)
        m.spawn(worker)
        m.join()

    result = vmsmp.explore(program, sched="dfs:2", schedules=200, locks=locks, check=False)
    assert [] == [f.report() for f in result.failures]


@DEPTHS
def test_parallel_cpus_that_want_a_spinlock_first_get_the_same_one(locks):
    seen = []

    def program(m):
        things = [Thing(Home(m), label=n) for n in range(50)]
        locked = [set() for _ in range(3)]

        def worker(mine):
            for thing in things:
                with thing.spin:
                    mine.add((thing.label, id(thing.spin)))

        for mine in locked:
            m.spawn(worker, mine)
        m.join()
        seen.append(len(set.union(*locked)))

    outcome = vmsmp.run(program, engine="free", seed=1, time_s=5, locks=locks, check=False)
    assert (None, [50]) == (outcome.failure, seen)


def test_a_record_s_class_name_is_its_name_without_the_number():
    def program(_m, home):
        return Thing(home, label="17").klass

    assert "thing" == run(program)
