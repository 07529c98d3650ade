"""Sysctls by name: read, written where that is allowed, refused otherwise."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.vm.sysctl import Sysctl, SysctlTree

TREE = (
    Sysctl("vm.b", "a number", lambda vm: vm["b"], lambda vm, value: vm.__setitem__("b", value)),
    Sysctl("vm.a", "another", lambda vm: vm["a"]),
)


@pytest.fixture
def tree():
    return SysctlTree({"a": 1, "b": 2}, TREE)


def test_a_sysctl_is_read_by_its_name(tree):
    assert (1, 2) == (tree["vm.a"], tree["vm.b"])


def test_a_sysctl_that_may_be_written_is(tree):
    tree["vm.b"] = 7
    assert 7 == tree["vm.b"]


def test_they_come_in_order_of_name(tree):
    assert [("vm.a", 1), ("vm.b", 2)] == [*tree.items()]


def test_there_are_as_many_as_were_declared(tree):
    assert 2 == len(tree)


def test_a_name_that_there_is_not_is_not_there(tree):
    assert ("vm.a" in tree, "vm.c" in tree) == (True, False)


@pytest.mark.parametrize(
    ("deed", "words"),
    [
        (lambda tree: tree["vm.c"], r"unknown sysctl 'vm.c': there are vm.a, vm.b"),
        (lambda tree: tree.__setitem__("vm.a", 3), "sysctl vm.a is read-only"),
        (lambda tree: tree.__delitem__("vm.b"), "sysctl vm.b cannot be deleted"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(tree, deed, words):
    with pytest.raises(vmsmp.UsageError, match=words):
        deed(tree)


def test_every_sysctl_of_a_machine_can_be_read(alone):
    numbers = alone(lambda vm: [*vm.sysctl.values()])
    assert len(numbers) == sum(isinstance(number, int) for number in numbers) > 10


def test_every_sysctl_of_a_machine_says_what_it_is(alone):
    assert [] == alone(lambda vm: [name for name in vm.sysctl if not vm.sysctl.declared(name).help])
