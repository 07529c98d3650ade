"""The hooks by which checkers see records."""

from __future__ import annotations

from things import OWNER, WIRING, Thing, run
from vmsmp.engine.observer import Observer
from vmsmp.records.observer import RecordObserver
from vmsmp.records.record import has


class Accesses(Observer):
    """Writes down every access without its locks that it is told of."""

    def __init__(self):
        self.seen = []

    def unlocked(self, cpu, thing, field, write):
        self.seen.append((thing.label, field.name, write))


def test_a_checked_record_tells_of_each_read_and_write_of_a_field_without_its_locks():
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


def test_a_checked_record_does_not_tell_of_an_access_under_the_field_s_locks():
    told = Accesses()

    def program(_m, home):
        thing = Thing(home, label="a")
        thing.__class__ = Thing.checked
        with thing.spin:
            thing.took(OWNER)
            thing.both = thing.either
            thing.gave(OWNER)

    run(program, told)
    assert [] == told.seen


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


class Handovers(RecordObserver):
    """Writes down each hand-over of a share, and who has it then."""

    def __init__(self):
        self.seen = []

    def handed(self, cpu, record, share):
        self.seen.append(("handed", str(share), has(cpu, record, share)))

    def taken_over(self, cpu, record, share):
        self.seen.append(("taken over", str(share), has(cpu, record, share)))


def test_a_hand_over_is_told_of_on_both_sides_while_a_cpu_has_the_share():
    told = Handovers()

    def program(_m, home):
        thing = Thing(home, label="a")
        thing.took(OWNER)
        thing.handed(OWNER)
        thing.taken_over(OWNER)
        thing.taken_over(OWNER)

    run(program, told)
    assert [("handed", "owner", True), ("taken over", "owner", True)] == told.seen
