"""What asks for pages and who makes them, on a machine just booted."""

from __future__ import annotations

import pytest

WORDS = ("vm_pages_needed", "vm_pages_waiting", "vm_pageout_pages_needed", "vm_pageout_deficit")


@pytest.mark.parametrize("word", WORDS)
def test_nobody_waits_for_pages_at_boot(alone, word):
    assert 0 == alone(lambda vm: getattr(vm.pageout, word).peek())


@pytest.mark.parametrize("word", [*WORDS, "pageout_stop"])
def test_a_word_is_called_by_its_kernel_name(alone, word):
    assert word == alone(lambda vm: getattr(vm.pageout, word).name)


@pytest.mark.parametrize("role", ["pagethread", "emergpager"])
def test_nobody_is_a_pager_at_boot(alone, role):
    assert None is alone(lambda vm: getattr(vm.pageout, role))


def test_the_daemon_is_not_told_to_stop_at_boot(alone):
    assert False is alone(lambda vm: vm.pageout.pageout_stop.peek())


def test_vm_token_is_nobody_s_at_boot(alone):
    assert [] == alone(lambda vm: [*vm.pageout.vm_token.holders])


def test_a_scan_yields_as_often_as_the_machine_was_booted_to(alone):
    assert 7 == alone(lambda vm: vm.pageout.scan_yield, scan_yield=7)
