"""Advice on ranges: which entries it changes, which pages it reaches, and what is refused."""

from __future__ import annotations

import pytest

from maps import at, entry_at, floored, layout, over, put, touch
from vmsmp.scenarios._kit import mappings
from vmsmp.sync.errno import EINVAL
from vmsmp.vm import vm_map as v
from vmsmp.vm.vm_kern import kmem_suballoc
from vmsmp.vm.vm_map import (
    MADV_AUTOSYNC,
    MADV_CORE,
    MADV_DONTNEED,
    MADV_FREE,
    MADV_INVAL,
    MADV_NOCORE,
    MADV_NORMAL,
    MADV_NOSYNC,
    MADV_RANDOM,
    MADV_SEQUENTIAL,
    MADV_SETMAP,
    MADV_WILLNEED,
    MAP_ENTRY_BEHAV_RANDOM,
    MAP_ENTRY_BEHAV_SEQUENTIAL,
    MAP_ENTRY_NOCOREDUMP,
    MAP_ENTRY_NOSYNC,
)


def advised(vm, *advice):
    """The flags of page 3 after such advice on it, and the first pages of all entries."""
    map = floored(vm)
    put(map, 2, 4)
    answers = [over(v.vm_map_madvise, map, 3, 2, behav) for behav in advice]
    return answers, entry_at(map, 3).peek("eflags"), [page for page, *_ in layout(map)]


@pytest.mark.parametrize(
    ("advice", "eflags"),
    [
        ((MADV_RANDOM,), MAP_ENTRY_BEHAV_RANDOM),
        ((MADV_RANDOM, MADV_SEQUENTIAL), MAP_ENTRY_BEHAV_SEQUENTIAL),
        ((MADV_NOSYNC, MADV_NOCORE), MAP_ENTRY_NOSYNC | MAP_ENTRY_NOCOREDUMP),
        ((MADV_NOSYNC, MADV_NOCORE, MADV_AUTOSYNC), MAP_ENTRY_NOCOREDUMP),
    ],
)
def test_advice_on_entries_cuts_the_range_out_and_sets_its_flags(alone, advice, eflags):
    answers, found, pages = alone(lambda vm: advised(vm, *advice))
    assert ({0}, eflags, [2, 3, 5]) == (set(answers), found, pages)


@pytest.mark.parametrize(
    "advice",
    [(MADV_RANDOM, MADV_NORMAL), (MADV_NOSYNC, MADV_AUTOSYNC), (MADV_NOCORE, MADV_CORE)],
)
def test_what_is_taken_back_joins_the_entries_again(alone, advice):
    _answers, found, pages = alone(lambda vm: advised(vm, *advice))
    assert (0, [2]) == (found, pages)


def test_page_tables_of_users_are_refused_after_the_range_is_cut(alone):
    assert ([EINVAL], 0, [2]) == alone(lambda vm: advised(vm, MADV_SETMAP))


@pytest.mark.parametrize("behav", [12, -1, 99])
def test_what_is_no_advice_is_refused_before_the_map_is_locked(steps, behav):
    def prepare(vm):
        return [floored(vm)]

    rows = steps(prepare, lambda map: over(v.vm_map_madvise, map, 0, 1, behav))
    assert not [row for row in rows if "maplk" in row]


@pytest.mark.parametrize("behav", [MADV_RANDOM, MADV_WILLNEED])
def test_holes_are_passed_over(alone, behav):
    def program(vm):
        map = floored(vm)
        put(map, 3, 1)
        put(map, 6, 1)
        return over(v.vm_map_madvise, map, 1, 20, behav), len(layout(map))

    assert (0, 2) == alone(program)


def test_a_submap_takes_no_advice(alone):
    def program(vm):
        submap = kmem_suballoc(vm.map.kernel_map, 0x2000)
        kernel_map = vm.map.kernel_map
        v.vm_map_madvise(kernel_map, submap.min_addr, submap.max_addr, MADV_RANDOM)
        return kernel_map.peek("rb_root").first().peek("eflags")

    assert 0 == alone(program)


def test_an_invalidated_range_loses_its_mappings_and_no_others(alone):
    def program(vm):
        map = floored(vm)
        put(map, 2, 4)
        pages = [touch(map, page) for page in range(2, 6)]
        answer = over(v.vm_map_madvise, map, 3, 2, MADV_INVAL)
        return answer, [bool(mappings(m)) for m in pages], len(layout(map))

    assert (0, [True, False, False, True], 1) == alone(program, pages=16)


def test_an_invalidation_outside_of_user_addresses_panics(panic):
    def program(vm):
        kernel_map = vm.map.kernel_map
        _rv, addr = v.vm_map_find(kernel_map, kernel_map.min_addr, 4096, 4096, True, v.Mapping(prot=3, max=7))
        v.vm_map_madvise(kernel_map, addr, addr + 4096, MADV_INVAL)

    assert "vm_map_madvise: invalidation outside of user addresses" == panic(program)


@pytest.mark.parametrize("behav", [MADV_WILLNEED, MADV_DONTNEED, MADV_FREE])
def test_advice_on_pages_reaches_those_of_the_range_in_the_first_object(alone, monkeypatch, behav):
    def program(vm):
        map = floored(vm)
        put(map, 2, 4)
        touch(map, 2)
        told = []
        monkeypatch.setattr("vmsmp.vm.vm_map.madvise.vm_object_madvise", lambda *what: told.append(what))
        over(v.vm_map_madvise, map, 3, 20, behav)
        obj = entry_at(map, 2).ba.peek("object")
        return [(what[0] is obj, *what[1:]) for what in told]

    assert [(True, 1, 3, behav)] == alone(program, pages=16)


@pytest.mark.parametrize(("behav", "mode"), [(MADV_RANDOM, "exclusive"), (MADV_DONTNEED, "shared")])
def test_advice_on_pages_locks_the_map_shared(alone, monkeypatch, behav, mode):
    def program(vm):
        map = floored(vm)
        put(map, 2, 1)
        modes = []
        real = v.vm_map_unlock

        def unlock(map):
            modes.append(str(map.lock.holders[0][1]))
            real(map)

        monkeypatch.setattr("vmsmp.vm.vm_map.madvise.vm_map_unlock", unlock)
        over(v.vm_map_madvise, map, 2, 1, behav)
        return modes

    assert [mode] == alone(program)


def test_the_range_is_cut_to_the_map(alone):
    def program(vm):
        map = floored(vm)
        return v.vm_map_madvise(map, 0, at(1000), MADV_NORMAL)

    assert 0 == alone(program)
