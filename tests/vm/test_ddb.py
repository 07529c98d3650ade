"""The debugger's commands together: they only look, and make nothing."""

from __future__ import annotations

from vmsmp.vm.ddb import COMMANDS
from vmsmp.vm.vm_object import show_object
from vmsmp.vm.vm_page import show_page, show_pageq


def look_at_everything(vm):
    for number in (None, *range(len(vm.page.vm_page_array))):
        show_page(vm, number)
    for kind in (None, "free", "hold"):
        show_pageq(vm, kind)
    show_object(vm)


def test_looking_at_everything_is_no_step_of_the_run(steps, page_on):
    def prepare(vm):
        page_on(vm, "active")
        return (vm,)

    assert [] == steps(prepare, look_at_everything, pages=64, l2_size=4)


def test_looking_at_everything_breaks_no_rule_and_makes_no_lock(alone, page_on):
    def program(vm):
        page_on(vm, "active")
        before = [lock.name for pool in vm.pools for lock in pool.spinlocks()]
        look_at_everything(vm)
        return before, [lock.name for pool in vm.pools for lock in pool.spinlocks()]

    before, after = alone(program, check=True)
    assert before == after


def test_no_two_commands_have_one_name():
    names = [command.name for command in COMMANDS]
    assert sorted(set(names)) == sorted(names)


def test_every_call_in_a_command_s_help_begins_with_its_name():
    calls = [(command.name, call) for command in COMMANDS for call, _ in command.help]
    assert [] == [(name, call) for name, call in calls if call.split()[:2] != ["show", name]]


def test_every_command_shows_something_when_called_without_an_argument(alone):
    assert "" not in alone(lambda vm: [command.show(vm, None) for command in COMMANDS])
