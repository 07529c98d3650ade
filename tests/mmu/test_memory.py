"""Physical memory: contents by piece, tables by word, and owners; what nobody wrote costs nothing."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.engine.limits import MOST_PAGES
from vmsmp.mmu.entry import ENTRIES
from vmsmp.mmu.memory import offset_of
from vmsmp.records.pool import record_of


def test_a_frame_has_a_value_for_each_device_block(alone):
    def program(m, mmu):
        for piece in range(8):
            mmu.memory.store(2, 512 * piece + piece, piece + 1)
        return [mmu.memory.load(2, 512 * piece + 511) for piece in range(8)], mmu.memory.load(3)

    assert ([1, 2, 3, 4, 5, 6, 7, 8], 0) == alone(program)


def test_an_access_is_one_operation_on_the_frame(steps):
    def act(memory):
        memory.store(3, 0, 1)
        memory.load(3, 0)
        memory.zero(3)
        memory.assign(3, "P")

    told = steps(lambda m, mmu: [mmu.memory], act)
    assert ["store frame[3]", "load frame[3]", "store frame[3]", "store frame[3]"] == told


def test_a_zeroed_frame_reads_as_zero_everywhere(alone):
    def program(m, mmu):
        mmu.memory.store(1, 0, "x")
        mmu.memory.store(1, 4095, "y")
        mmu.memory.zero(1)
        return mmu.memory.load(1, 0), mmu.memory.load(1, 4095), mmu.memory.contents

    assert (0, 0, {}) == alone(program)


@pytest.mark.parametrize("frame", [16, -1, 1 << 40])
@pytest.mark.parametrize("touch", ["load", "word"])
def test_there_is_no_memory_beyond_its_last_frame(failing, frame, touch):
    def program(m, mmu):
        mmu.memory.load(frame) if touch == "load" else mmu.memory.word(frame, 0)

    assert f"panic: frame {frame} is not in memory, which has 16" == failing(program).message


def test_words_of_tables_are_words_like_any_other(steps):
    def act(memory):
        memory.word(5, 511).store(1)
        memory.word(5, 511).cmpset(1, 2)

    assert ["store table[5][511]", "cmpset table[5][511]"] == steps(lambda m, mmu: [mmu.memory], act)


def test_a_word_is_made_once(alone):
    assert alone(lambda m, mmu: mmu.memory.word(0, 1) is mmu.memory.word(0, 1))


def test_identities_of_words_and_frames_all_differ_and_are_no_records(alone):
    def program(m, mmu):
        words = [mmu.memory.word(f, i).ident for f in (0, 1, 15) for i in (0, 1, 31, 32, ENTRIES - 1)]
        frames = [mmu.memory.code(frame) >> 6 for frame in range(16)]
        tlbs = [unit.ident for unit in mmu.units]
        every = words + frames + tlbs
        return (
            len(every) - len(set(every)),
            [record_of(m, one) for one in every],
            [m.find(one).name for one in every],
        )

    doubles, records, names = alone(program)
    assert (0, {None}) == (doubles, {*records})
    assert "table[0][0]" == names[0]
    assert ["frame[0]", "frame[15]", "cpu0.tlb"] == [names[15], names[30], names[31]]


def test_identities_do_not_depend_on_who_comes_first(alone):
    def ident(m, mmu, *before):
        for index in before:
            mmu.memory.word(1, index)
        return mmu.memory.word(1, 7).ident

    assert alone(ident) == alone(lambda m, mmu: ident(m, mmu, 3, 9, 2))


def test_taking_gives_the_lowest_free_frame(alone):
    def program(m, mmu):
        memory = mmu.memory
        first = [memory.take("P") for _ in range(4)]
        memory.give(2)
        memory.give(0)
        return first, memory.free, [memory.take("Q") for _ in range(3)], memory.owners, memory.free

    first, free, second, owners, left = alone(program)
    assert ([0, 1, 2, 3], 14, [0, 2, 4], 11) == (first, free, second, left)
    assert {0: "Q", 1: "P", 2: "Q", 3: "P", 4: "Q"} == owners


def test_memory_runs_out(failing):
    def program(m, mmu):
        for _ in range(3):
            mmu.memory.take("P")

    assert "panic: no frame is free" == failing(program, frames=2).message


def test_two_cpus_are_never_given_the_same_frame():
    def program(m):
        mmu = m.mmu(frames=4)
        taken = []

        def worker():
            taken.append(mmu.memory.take("P"))
            mmu.memory.give(taken[-1])
            taken.append(mmu.memory.take("P"))

        m.spawn(worker)
        m.spawn(worker)
        m.join()
        m.check(len(mmu.memory.owners) == 2, "each has one frame")

    assert None is vmsmp.explore(program, sched="random", schedules=100).failure


def test_a_report_shows_whose_a_frame_is_and_what_is_in_it(alone):
    def program(m, mmu):
        mmu.memory.assign(1, "P")
        for piece in range(6):
            mmu.memory.store(1, 512 * piece, piece)
        return [m.find(mmu.memory.code(frame) >> 6).state() for frame in (0, 1)], mmu.memory.state()

    (nobody, somebody), memory = alone(program)
    assert "nobody's {}" == nobody
    assert "P's {0x0: 0, 0x200: 1, 0x400: 2, 0x600: 3}" == somebody
    assert "16 frames free" == memory


def test_a_large_memory_costs_nothing_until_it_is_used(alone):
    def program(m, mmu):
        mmu.memory.store(MOST_PAGES - 1, 0, 1)
        mmu.memory.word(MOST_PAGES - 1, ENTRIES - 1).store(1)
        return len(mmu.memory.contents), len(mmu.memory._tables)

    assert (1, 1) == alone(program, frames=MOST_PAGES)


def test_entries_that_are_not_0_are_shown_unseen(alone):
    def program(m, mmu):
        for frame, index, value in ((2, 5, 7), (1, 511, 9), (3, 0, 0)):
            mmu.memory.word(frame, index).store(value)
        return list(mmu.memory.entries())

    assert [(2, 5, 7), (1, 511, 9)] == alone(program)


def test_an_offset_is_what_a_page_leaves_of_an_address():
    assert (0, 4095) == (offset_of(0x7000), offset_of(0x7FFF))


def test_a_copy_of_a_frame_is_one_operation_and_has_all_of_it(alone, steps):
    def program(m, mmu):
        mmu.memory.store(1, 512, "x")
        mmu.memory.store(2, 0, "old")
        mmu.memory.copy(1, 2)
        mmu.memory.store(1, 512, "y")
        return mmu.memory.load(2, 0), mmu.memory.load(2, 512)

    assert (0, "x") == alone(program)
    assert 1 == len(steps(lambda m, mmu: [mmu.memory], lambda memory: memory.copy(1, 2)))
