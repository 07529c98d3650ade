"""The numbers of the pageout by name."""

from __future__ import annotations

import pytest

from vmsmp.errors import UsageError


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("vm.max_launder", "vm_max_launder"),
        ("vm.anonmem_decline", "vm_anonmem_decline"),
        ("vm.filemem_decline", "vm_filemem_decline"),
        ("vm.pageout_allow_active", "pageout_allow_active"),
        ("vm.pageout_memuse_mode", "memuse_mode"),
        ("vm.defer_swapspace_pageouts", "defer_swap_pageouts"),
        ("vm.disable_swapspace_pageouts", "disable_swap_pageouts"),
    ],
)
def test_a_number_is_read_and_changed_by_name(alone, name, attribute):
    def program(vm):
        before = vm.sysctl[name]
        vm.sysctl[name] = before + 3
        return getattr(vm.pageout, attribute) - before

    assert 3 == alone(program)


def test_as_a_machine_boots_it_writes_a_page_of_256_and_some_more(alone):
    assert 16 + 2 == alone(lambda vm: vm.sysctl["vm.max_launder"], pages=512)


def test_what_was_missed_is_shown_only(alone):
    def program(vm):
        vm.pageout.pageout_lock_miss = 2
        with pytest.raises(UsageError, match="read-only"):
            vm.sysctl["vm.pageout_lock_miss"] = 0
        return vm.sysctl["vm.pageout_lock_miss"]

    assert 2 == alone(program)
