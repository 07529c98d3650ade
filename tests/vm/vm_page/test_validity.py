"""Which pieces of a page are valid, and which dirty."""

from __future__ import annotations

import pytest

import vmsmp
from page_layer import busied
from vmsmp.vm import vm_page as p
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_hold


@pytest.mark.parametrize(
    ("base", "size", "bits"),
    [
        (0, 0, 0x00),
        (0, 512, 0x01),
        (0, 513, 0x03),
        (511, 1, 0x01),
        (511, 2, 0x03),
        (512, 512, 0x02),
        (1024, 1024, 0x0C),
        (3584, 512, 0x80),
        (0, 4096, 0xFF),
    ],
)
def test_a_range_s_bits_are_those_of_the_pieces_it_touches(base, size, bits):
    assert bits == p.vm_page_bits(base, size)


@pytest.mark.parametrize(
    ("act", "piece", "valid", "dirty"),
    [
        ("vm_page_set_valid", (512, 512), 0x0F, 0x05),
        ("vm_page_set_valid", (2048, 1024), 0x3F, 0x05),
        ("vm_page_set_valid", (), 0xFF, 0x05),
        ("vm_page_set_validclean", (0, 512), 0x0F, 0x04),
        ("vm_page_set_validclean", (2048, 512), 0x1F, 0x05),
        ("vm_page_set_validdirty", (2048, 512), 0x1F, 0x15),
        ("vm_page_clear_dirty", (0, 512), 0x0F, 0x04),
        ("vm_page_clear_dirty_end_nonincl", (0, 512), 0x0F, 0x04),
        ("vm_page_clear_dirty_end_nonincl", (0, 1535), 0x0F, 0x04),
        ("vm_page_clear_dirty_end_nonincl", (1, 1535), 0x0F, 0x00),
        ("vm_page_clear_dirty_end_nonincl", (0, 511), 0x0F, 0x05),
        ("vm_page_clear_dirty_beg_nonincl", (0, 1), 0x0F, 0x04),
        ("vm_page_clear_dirty_beg_nonincl", (1, 1024), 0x0F, 0x01),
        ("vm_page_clear_dirty_beg_nonincl", (1, 511), 0x0F, 0x05),
        ("vm_page_set_invalid", (0, 1024), 0x0C, 0x04),
        ("vm_page_zero_invalid", (), 0xFF, 0x05),
    ],
)
def test_valid_and_dirty_bits_change_in_the_range_and_nowhere_else(alone, act, piece, valid, dirty):
    def program(vm):
        obj, m = vm_object_allocate(vm, 8), busied(vm)
        vm_object_hold(obj)
        p.vm_page_insert(m, obj, 0)
        m.valid, m.dirty = 0x0F, 0x05
        getattr(p, act)(m, *piece)
        return m.valid, m.dirty

    assert (valid, dirty) == alone(program)


@pytest.mark.parametrize(
    "act", ["set_valid", "set_validclean", "set_validdirty", "clear_dirty", "set_invalid", "is_valid"]
)
def test_a_range_that_ends_beyond_the_page_panics(panic, act):
    message = panic(lambda vm: getattr(p, f"vm_page_{act}")(busied(vm), 512, 3585))
    assert "vm_page_bits: illegal base/size 512/3585" == message


@pytest.mark.parametrize("act", ["vm_page_set_validclean", "vm_page_clear_dirty"])
@pytest.mark.parametrize(("size", "left"), [(4096, 0), (3584, p.PG_NOSYNC)])
def test_a_page_that_is_all_clean_is_synced_again(alone, act, size, left):
    def program(vm):
        m = busied(vm)
        m.flags.setbits(p.PG_NOSYNC)
        getattr(p, act)(m, 0, size)
        return m.flags.peek()

    assert left == alone(program)


def test_an_invalidation_is_a_generation_of_the_page_s_object(alone, page_on):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        m = page_on(vm, "active", obj, 3)
        before = obj.generation.peek()
        p.vm_page_busy_try(m, False)
        p.vm_page_set_invalid(m, 0, 512)
        return obj.generation.peek() - before

    assert 1 == alone(program)


def test_zeroing_what_is_invalid_need_not_make_it_valid(alone):
    def program(vm):
        m = busied(vm)
        m.valid = 0x0F
        p.vm_page_zero_invalid(m, False)
        return m.valid

    assert 0x0F == alone(program)


@pytest.mark.parametrize(
    ("valid", "base", "size", "expected"),
    [
        (0x0F, 0, 2048, True),
        (0x0F, 0, 2049, False),
        (0x0F, 2048, 512, False),
        (0x0F, 1024, 0, True),  # nothing of it is missing
        (0x00, 0, 0, False),  # a page without content is valid nowhere
        (0xFF, 0, 4096, True),
    ],
)
def test_a_page_is_valid_in_a_range_if_all_of_its_pieces_are(alone, valid, base, size, expected):
    def program(vm):
        m = busied(vm)
        m.valid = valid
        return p.vm_page_is_valid(m, base, size)

    assert expected is alone(program)


@pytest.mark.parametrize("act", ["vm_page_clear_dirty_end_nonincl", "vm_page_clear_dirty_beg_nonincl"])
@pytest.mark.parametrize(("size", "left"), [(4096, 0), (3584, p.PG_NOSYNC)])
def test_a_page_that_is_all_clean_block_by_block_is_synced_again(alone, act, size, left):
    def program(vm):
        m = busied(vm)
        m.flags.setbits(p.PG_NOSYNC)
        getattr(p, act)(m, 0, size)
        return m.flags.peek() & p.PG_NOSYNC

    assert left == alone(program)


def test_clearing_dirty_bits_is_a_read_and_a_store(steps):
    rows = steps(lambda vm: [busied(vm)], lambda m: p.vm_page_clear_dirty(m, 0, 512))
    assert ["load pg[7].dirty", "store pg[7].dirty"] == rows


@pytest.mark.parametrize("locks", ["atomic", "exact"])
def test_what_a_process_dirties_while_the_bits_are_cleared_may_be_lost(locks):
    kept = set()

    def program(m):
        vm = m.boot(pages=2, l2_size=1)
        page = busied(vm)
        cleaner = m.spawn(p.vm_page_clear_dirty, page, 0, 512)
        page.publish("dirty", p.VM_PAGE_BITS_ALL)
        cleaner.join()
        kept.add(page.dirty)

    vmsmp.explore(program, sched="dfs", locks=locks, check=False, stop="never")
    assert {0xFF, 0xFE, 0x00} == kept


def test_a_page_copied_onto_is_all_valid_and_dirty(alone):
    def program(vm):
        source, target = busied(vm), busied(vm)
        p.vm_page_copy(source, target)
        return source.valid, source.dirty, target.valid, target.dirty

    assert (0, 0, 0xFF, 0xFF) == alone(program)


def test_a_page_zeroed_keeps_its_bits(alone):
    def program(vm):
        m = busied(vm)
        m.valid, m.dirty = 0x0F, 0x05
        return p.vm_page_zero_fill(m), m.valid, m.dirty

    assert (True, 0x0F, 0x05) == alone(program)
