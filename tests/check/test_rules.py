"""Rules: when each is asked, of a structure that no checker knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from things import OWNER, Home, Thing
from vmsmp.check.ledger import Ledger
from vmsmp.check.records import Records
from vmsmp.check.rules import NOTHING, Broken, Judged, Rules, SystemRules
from vmsmp.engine import ops
from vmsmp.engine.controlled import ControlledEngine
from vmsmp.engine.hooks import Hooks
from vmsmp.engine.workers import WorkerPool, current_core
from vmsmp.machine import Machine
from vmsmp.records.pool import RecordPool
from vmsmp.sched.random_walk import RandomWalk

BROKEN = Broken("INV-X9", "it is broken")


def said(program, *rules, system=(), judges=()):
    """(kind, message) of what the rules say of `program(machine, pool of things)`, or None."""
    ledger = Ledger()
    observers = ledger, Records(ledger, rules, system, *judges)

    def booted(m):
        m.vm = home = Home(m)
        things = RecordPool(home, Thing)
        things.guard()
        home.pools = [things]
        program(m, things)

    with WorkerPool(current_core()) as pool:
        execution = ControlledEngine(pool, max_steps=10_000).prepare(RandomWalk(0))
        machine = Machine(execution, hooks=Hooks(observers))
        pool.drive(lambda: execution.execute(machine, booted))
    found = machine.violation
    return found and (found.kind, found.message)


def always(_thing, _books):
    return BROKEN


def never(_thing, _books):
    return None


ACCUSED = ("accounting", "INV-X9: thing: it is broken")


# -- written --------------------------------------------------------------------------------------


def count_up(m, things):
    things.make(label="a").count.fetchadd(1)
    m.choose(1)


def publish(m, things):
    things.make(label="a").publish("both", 1)
    m.choose(1)


def unlock(m, things):
    thing = things.make(label="a")
    thing.spin.acquire()
    thing.spin.release()
    m.choose(1)


def look(m, things):
    things.make(label="a").hint("both")
    m.choose(1)


@pytest.mark.parametrize(
    ("program", "field", "expected"),
    [
        (count_up, "count", ACCUSED),
        (count_up, "both", None),
        (publish, "both", ACCUSED),
        (publish, "count", None),
        (unlock, "", ACCUSED),
        (unlock, "both", None),
        (look, "both", None),
    ],
)
def test_a_rule_is_asked_after_a_step_that_wrote_its_field_and_after_no_other(program, field, expected):
    assert expected == said(program, Rules(Thing, written={field: (always,)}))


def test_of_two_rules_about_a_field_the_first_that_is_broken_is_told():
    other = Broken("INV-X8", "it is broken otherwise")
    rules = Rules(Thing, written={"count": (never, always, lambda _thing, _books: other)})
    assert ACCUSED == said(count_up, rules)


def test_a_broken_rule_may_say_how_its_text_is_joined_to_the_record():
    rules = Rules(Thing, written={"count": (lambda _t, _b: Broken("INV-X9", "is broken", " "),)})
    assert ("accounting", "INV-X9: thing is broken") == said(count_up, rules)


def test_a_broken_rule_about_a_queue_is_a_failure_of_its_own_kind():
    rules = Rules(Thing, written={"count": (lambda _t, _b: Broken("INV-Q9", "it is broken"),)})
    assert ("queue", "INV-Q9: thing: it is broken") == said(count_up, rules)


def test_a_rule_may_ask_the_books_which_shares_are_out():
    def program(m, things):
        thing = things.make(label="a")
        thing.count.fetchadd(1)
        thing.took(OWNER)
        m.choose(1)
        thing.gave(OWNER)

    seen = []
    said(program, Rules(Thing, written={"count": (lambda t, books: seen.append(dict(books.counts(t))),)}))
    assert [{OWNER: 1}] == seen


# -- at rest --------------------------------------------------------------------------------------


def test_a_rule_at_rest_is_asked_of_every_record_touched_or_not():
    seen = []
    rules = Rules(Thing, at_rest=(lambda thing, _books: seen.append(thing.label),))
    said(lambda _m, things: [things.make(label=label) for label in "ab"], rules)
    assert {"a", "b"} == set(seen)


def test_the_first_rule_at_rest_is_asked_of_all_records_before_the_second_of_any():
    seen = []
    first, second = (lambda thing, _books, n=n: seen.append((n, thing.label)) for n in (1, 2))
    said(
        lambda _m, things: [things.make(label=label) for label in "ab"], Rules(Thing, at_rest=(first, second))
    )
    assert [(1, "a"), (1, "b"), (2, "a"), (2, "b")] == seen[:4]


def test_a_rule_at_rest_that_is_broken_fails_the_run():
    assert ACCUSED == said(lambda _m, things: things.make(label="a"), Rules(Thing, at_rest=(always,)))


# -- single accesses ------------------------------------------------------------------------------


def write(name):
    def program(_m, things):
        setattr(things.make(label="a"), name, 1)

    return program


@pytest.mark.parametrize(("name", "expected"), [("both", ACCUSED), ("either", None)])
def test_a_guarded_field_s_rule_is_asked_when_it_is_about_to_be_written(name, expected):
    rules = Rules(Thing, guarded={"both": lambda _cpu, _thing, _field, _books: BROKEN})
    assert expected == said(write(name), rules)


def test_a_guarded_field_s_rule_is_not_asked_when_it_is_read():
    rules = Rules(Thing, guarded={"both": lambda _cpu, _thing, _field, _books: BROKEN})
    assert None is said(lambda _m, things: things.make(label="a").both, rules)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (True, None),
        (
            False,
            (
                "accounting",
                "INV-PB7: thing: an atomic word is stored to, and what others changed meanwhile is lost",
            ),
        ),
    ],
)
def test_a_word_that_others_change_may_not_be_stored_to(stored, expected):
    def program(m, things):
        things.make(label="a").count.store(1)
        m.choose(1)

    assert expected == said(program, Rules(Thing, stored=stored))


def test_the_rule_about_freeing_is_asked_when_a_record_goes_back_to_its_allocator():
    def program(m, things):
        thing = things.make(label="a")
        for hook in m.hooks.freed:
            hook(m.curcpu, thing)

    assert ACCUSED == said(program, Rules(Thing, freed=always))


# -- a whole subsystem ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Painted:
    """An event of a subsystem that no checker knows."""

    thing: Any


def test_a_rule_about_an_event_is_asked_when_that_is_about_to_happen():
    def program(m, things):
        for hook in m.hooks.event:
            hook(m.curcpu, Painted(things.make(label="a")))

    system = SystemRules(events={Painted: lambda _cpu, event: (event.thing, BROKEN)})
    assert ACCUSED == said(program, system=[system])


def test_an_event_that_no_rule_is_about_is_let_pass():
    def program(m, _things):
        for hook in m.hooks.event:
            hook(m.curcpu, object())

    assert None is said(program, system=[SystemRules(events={Painted: lambda _cpu, _event: 1 / 0})])


def first_thing(vm):
    return next(iter(vm.pools[0]))


def test_what_is_left_when_all_is_over_is_a_leak():
    system = SystemRules(leaks=(lambda vm: [(first_thing(vm), BROKEN)],))
    assert ("leak", "INV-X9: thing: it is broken") == said(
        lambda _m, things: things.make(label="a"), system=[system]
    )


def test_a_sum_that_is_wrong_when_all_is_over_fails_the_run():
    system = SystemRules(sums=(lambda vm: (first_thing(vm), BROKEN),))
    assert ACCUSED == said(lambda _m, things: things.make(label="a"), system=[system])


def test_a_sum_that_is_right_says_nothing():
    assert None is said(
        lambda _m, things: things.make(label="a"), system=[SystemRules(sums=(lambda _vm: None,))]
    )


# -- declaring ------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", [count_up, publish, unlock, look])
def test_rules_that_say_nothing_ask_nothing(program):
    assert None is said(program, Rules(Thing), system=[SystemRules()])


def test_a_rule_cannot_guard_a_field_whose_accesses_it_would_not_see():
    with pytest.raises(TypeError, match=r"a rule guards Thing\.free, so it must be declared with watch=True"):
        Rules(Thing, guarded={"free": lambda _cpu, _thing, _field, _books: None})


# -- judges beside the rules ----------------------------------------------------------------------


class Seer:
    """Judges additions, to records and to what is none; keeps what it is shown of them."""

    def __init__(self, answer=None):
        self.answer = answer
        self.before = []
        self.after = []

    def judged(self, machine, record, code):
        if ops.kind_of(code) != ops.FETCHADD:
            return NOTHING
        return Judged((self.rule,), lambda cpu, code: self.before.append(ops.kind_of(code)), about="a word")

    def rule(self, thing, _books):
        self.after.append(thing if isinstance(thing, str) else thing.label)
        return self.answer


def add_alone(m, things):
    m.atomic(0).fetchadd(1)
    m.choose(1)


def test_a_judge_sees_an_operation_before_it_happens_and_its_record_after_it():
    seer = Seer()
    assert said(count_up, judges=[seer]) is None
    assert ([ops.FETCHADD], ["a"]) == (seer.before, seer.after)


def test_a_judge_says_what_an_operation_on_no_record_is_about():
    seer = Seer()
    assert said(add_alone, judges=[seer]) is None
    assert ["a word"] == seer.after


def test_two_judges_of_one_operation_are_both_asked():
    one, other = Seer(), Seer()
    assert said(count_up, judges=[one, other]) is None
    assert ([ops.FETCHADD], [ops.FETCHADD], ["a"], ["a"]) == (
        one.before,
        other.before,
        one.after,
        other.after,
    )


def test_what_a_judge_finds_of_a_record_is_told_like_a_broken_rule():
    assert ACCUSED == said(count_up, judges=[Seer(BROKEN)])
