"""Concurrent programs as values: what they do, how they read, how they are read back."""

from __future__ import annotations

import re
import sys

import pytest

import vmsmp
from concurrent_counter import Counter, Locked, Named
from vmsmp.check.specs import Sequential
from vmsmp.errors import UsageError
from vmsmp.hypothesis_support import ConcurrentProgram, ConcurrentStateMachine, Operation, at_end, operation

TEXTS = [
    "Named()",
    "Named(cpu2=[add(1), look()], cpu3=[add(3)])",
    """Named(cpu1=[keep("it's; (a) \\\\ line\\n", [1, -2])])""",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_program_reads_back_from_how_it_reads(text):
    program = Named.program(text)
    assert (program, 3) == (Named.program(repr(program)), program.cpus)


def test_a_program_read_back_does_what_it_says():
    failure = vmsmp.replay(
        Counter.program("Counter(cpu1=[add(1)], cpu2=[add(1)])"), "v1:Counter:0:1.2>2"
    ).failure
    assert "linearizability" == failure.kind


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Counter", "'Counter' is not of the form Counter(cpu1=[OPERATION(...), ...], ...)"),
        ("Counter(", "'Counter(' is not of the form"),
        ("Other(cpu1=[])", "'Other(cpu1=[])' is not of the form"),
        ("Counter([])", "'Counter([])' is not of the form"),
        ("Counter(cpu1=look())", "'Counter(cpu1=look())' is not of the form"),
        ("Counter(cpu3=[])", "'cpu3' of 'Counter(cpu3=[])' is none of cpu1 to cpu2"),
        ("Counter(cpu0=[])", "'cpu0' of 'Counter(cpu0=[])' is none of cpu1 to cpu2"),
        ("Counter(**x)", "'Counter(**x)' is not of the form"),
        (
            "Counter(cpu1=[sub(1)])",
            "'sub(1)' of 'Counter(cpu1=[sub(1)])' is no operation: there are look, add",
        ),
        ("Counter(cpu1=[add(exit())])", "'add(exit())' of 'Counter(cpu1=[add(exit())])' is no operation"),
        ("Counter(cpu1=[add(n=1)])", "'add(n=1)' of 'Counter(cpu1=[add(n=1)])' is no operation"),
        ("Counter(cpu1=[3])", "'3' of 'Counter(cpu1=[3])' is no operation"),
        ("(" * 5000, "is not of the form"),
    ],
)
def test_what_is_no_program_is_refused_in_one_sentence(text, words):
    with pytest.raises(UsageError, match=re.escape(words)) as caught:
        Counter.program(text)
    assert 0 == str(caught.value).count("\n")


def test_operations_are_those_of_the_bases_first_and_the_class_s_own_where_it_has_one():
    assert [Locked.look, Locked.add] == [form[0] for form in Locked.operations()]
    assert ["look", "add", "keep", "hide"] == [form[0].__name__ for form in Named.operations()]


def test_a_program_is_found_in_the_file_of_its_class():
    place = Counter.program("Counter(cpu2=[look()])").place
    assert place.endswith("concurrent_counter.py::Counter(cpu2=[look()])")


def test_a_program_with_a_value_that_cannot_be_written_has_no_place():
    hide = next(form[0] for form in Named.operations() if form[0].__name__ == "hide")
    assert "" == ConcurrentProgram(Named, ((Operation(hide, (object(),)),), (), ()), Named.finish).place


def test_a_class_that_is_not_at_the_top_of_a_file_has_no_place():
    class Inner(Counter):
        pass

    assert "" == Inner.program("Inner()").place


def test_a_program_of_functions_has_no_place():
    assert "" == ConcurrentProgram(lambda m: None, ()).place


class Once(Sequential):
    """What is taken is taken once."""

    operations = ("take",)

    def initial(self):
        return False

    def take(self, state):
        yield True, not state


class Taken(ConcurrentStateMachine):
    """Everybody may take, once each."""

    specification = Once()

    def setup(self):
        self.m.cell(0, "unused")
        self.ended = []

    @operation()
    def take(self):
        return True

    @at_end
    def first(self):
        self.ended.append("first")

    @at_end
    def second(self):
        self.m.check(self.ended == ["first"], "in the order in which they are written")


def test_the_history_is_judged_by_the_specification_after_what_holds_in_the_end():
    once, twice = (Taken.program(f"Taken(cpu1=[{calls}])") for calls in ("take()", "take(), take()"))
    assert vmsmp.replay(once, "v1:Taken:0:").ok
    assert "linearizability" == vmsmp.replay(twice, "v1:Taken:0:").failure.kind


def test_a_class_without_a_specification_has_no_order_to_explain(monkeypatch):
    monkeypatch.setattr(Taken, "specification", None)
    assert vmsmp.replay(Taken.program("Taken(cpu1=[take(), take()])"), "v1:Taken:0:").ok


# -- on the command line --------------------------------------------------------------------------


def test_this_module_imports_no_hypothesis_itself():
    source = sys.modules["vmsmp.concurrent"].__file__
    with open(source, encoding="utf-8") as file:
        assert not re.search(r"^\s*(from|import) hypothesis", file.read(), re.MULTILINE)
