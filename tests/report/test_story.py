"""A run as text: a table or blocks, folded, with gaps that hide nothing that matters."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from vmsmp.report.story import (
    HEAD_ROWS,
    LONGEST_CIRCLE,
    PLAIN_WIDTH,
    TAIL_ROWS,
    output_width,
    story_lines,
)


def lost_update(m):
    word = m.cell(0, name="word")

    def incrementer():
        word.store(word.load() + 1)

    m.spawn(incrementer, name="one")
    m.spawn(incrementer, name="other")
    m.join()
    m.check(word.load() == 2, "both increments are counted")


def spinning(m):
    flag = m.atomic(0, name="flag")

    def waiter():
        while not flag.load():
            m.pause()

    m.spawn(waiter)
    m.join()


@pytest.fixture
def lost(tell):
    return tell(lost_update, "1.2>2").failure


def table(lines):
    """The rows between the two rules."""
    rules = [n for n, line in enumerate(lines) if line.startswith("------")]
    return lines[rules[0] + 1 : rules[1]]


def distinct(count, cpu=1):
    return [(cpu, f"load word{n}") for n in range(count)]


# -- the table ------------------------------------------------------------------------------------


def test_a_table_has_one_column_a_cpu(lost):
    head = story_lines(lost.story)[0]
    assert ["step", "cpu0", "cpu1 one", "cpu2 other", ""] == [cell.strip() for cell in head.split("|")]


def test_a_step_stands_in_its_cpu_s_column(story):
    lines = table(story_lines(story((0, "spawn cpu1"), (1, "load word"))))
    assert [["0", "spawn cpu1", ""], ["1", "", "load word"]] == [
        [cell.strip() for cell in line.split("|")[:3]] for line in lines
    ]


def test_a_cpu_that_did_nothing_has_no_column(story):
    head = story_lines(story((0, "a"), (2, "b"), cpus=("cpu0", "cpu1", "cpu2")))[0]
    assert ["step", "cpu0", "cpu2", ""] == [cell.strip() for cell in head.split("|")]


def test_all_columns_are_as_wide_as_their_widest_cell(lost):
    lines = story_lines(lost.story)
    bars = {tuple(n for n, c in enumerate(line) if c in "|+") for line in lines}
    assert 1 == len(bars)


def test_a_change_is_shown_from_old_to_new(story):
    assert "store word  0 -> 1" in table(story_lines(story((0, "store word", "0", "1"))))[0]


def test_a_value_that_stays_is_shown_once(story):
    (line,) = table(story_lines(story((0, "load word", "7", "7"))))
    assert ["0", "load word  7"] == [cell.strip() for cell in line.split("|")[:2]]


def test_a_row_shows_its_place(story):
    assert table(story_lines(story((0, "load word"))))[0].endswith("|  program.py:0 work")


def test_a_row_inside_a_primitive_shows_who_called_it(tell):
    def program(m):
        lock = m.spinlock("l")

        def worker():
            with lock:
                pass

        m.spawn(worker)

    row = next(
        line
        for line in story_lines(tell(program, options="+exact").story)
        if "fetchadd l.lock  0 -> 1" in line
    )
    assert re.search(r"\|  spin_lock spinlock\.py:\d+ < test_story\.py:\d+$", row)


def test_a_switch_stands_in_a_row_of_its_own_with_its_reason(lost):
    assert [
        "switch: cpu0 waits: join one",
        "switch: cpu1 one preempted",
        "switch: cpu2 other ended",
        "switch: cpu1 one ended",
    ] == [line.rpartition("|   ")[2] for line in story_lines(lost.story) if "switch:" in line]


def test_what_happens_inside_a_lock_is_indented(tell):
    def program(m):
        lock, word = m.spinlock("l"), m.cell(0, name="word")

        def worker():
            with lock:
                word.load()

        m.spawn(worker)
        m.join()

    row = next(line for line in story_lines(tell(program).story) if "load word" in line)
    assert "|   load word  0" in row


# -- folding --------------------------------------------------------------------------------------


def test_a_step_repeated_is_shown_once_with_its_times(story):
    lines = table(story_lines(story(*[(0, "load flag", "0", "0")] * 9)))
    assert (1, True) == (len(lines), "load flag  0  (x9)" in lines[0])


def test_a_step_repeated_twice_is_shown_twice(story):
    assert 2 == len(table(story_lines(story(*[(0, "load flag", "0", "0")] * 2))))


def test_a_circle_of_steps_is_shown_once_with_its_times(story):
    circle = [(0, "load flag"), (0, "pause")]
    assert ["load flag  (x5)", "pause  (x5)"] == [
        line.split("|")[1].strip() for line in table(story_lines(story(*circle * 5)))
    ]


def test_steps_with_other_values_are_not_folded(story):
    assert 5 == len(table(story_lines(story(*[(0, "store n", str(n), str(n + 1)) for n in range(5)]))))


def test_steps_of_other_cpus_are_not_folded(story):
    steps = [(n % 2, "load flag", "0", "0") for n in range(2)]
    assert 2 == len(table(story_lines(story(*steps))))


def test_the_number_after_a_fold_is_the_step_s_own(story):
    lines = table(story_lines(story(*[(0, "load flag")] * 9, (0, "store flag"))))
    assert ["0", "9"] == [line.split()[0] for line in lines]


def test_a_livelock_is_folded_to_a_few_rows(tell):
    told = tell(spinning, options="+steps=500")
    assert len(story_lines(told.story)) < 20


# -- long runs ------------------------------------------------------------------------------------


def test_a_long_run_says_how_many_rows_are_left_out(story):
    lines = story_lines(story(*distinct(200)))
    assert f"  ... {200 - HEAD_ROWS - TAIL_ROWS} rows left out; `vmsmp replay --all` shows them" in lines


def test_a_long_run_shows_its_beginning_and_its_end(story):
    shown = [int(line.split()[0]) for line in table(story_lines(story(*distinct(200)))) if " | " in line]
    assert [*range(HEAD_ROWS), *range(200 - TAIL_ROWS, 200)] == shown


def test_the_gap_stands_where_rows_are_missing(story):
    lines = table(story_lines(story(*distinct(200))))
    assert "  ... " == lines[HEAD_ROWS][:6]


def test_everything_leaves_no_row_out(story):
    lines = story_lines(story(*distinct(200)), everything=True)
    assert list(range(200)) == [int(line.split()[0]) for line in table(lines)]


def test_a_run_a_little_too_long_is_shown_whole(story):
    count = HEAD_ROWS + TAIL_ROWS + 10
    assert count == len(table(story_lines(story(*distinct(count)))))


def test_everything_is_handed_on_by_a_failure(story, failure):
    failed = failure(story=story(*distinct(200)))
    assert (True, False) == ("left out" in failed.report(), "left out" in failed.report(everything=True))


def test_a_long_circle_of_several_cpus_is_shown_once(story):
    circle = [(n % 2, f"load word{n}") for n in range(LONGEST_CIRCLE)]
    lines = table(story_lines(story(*circle * 4)))
    assert (LONGEST_CIRCLE, 1) == (len(lines), sum("(x4, these 64 in turn)" in line for line in lines[-1:]))


def test_a_circle_that_is_too_long_is_shown_whole(story):
    circle = [(n % 2, f"load word{n}") for n in range(LONGEST_CIRCLE + 1)]
    assert 3 * len(circle) == len(table(story_lines(story(*circle * 3), everything=True)))


def test_a_step_that_matters_is_never_left_out(story):
    lines = table(story_lines(story(*distinct(300)), keep={100}))
    shown = [int(line.split()[0]) for line in lines if " | " in line]
    assert [98, 99, 100, 101, 102] == [step for step in shown if HEAD_ROWS <= step < 300 - TAIL_ROWS]


def test_around_a_step_that_matters_there_are_two_gaps(story):
    lines = story_lines(story(*distinct(300)), keep={100})
    assert ["58", "117"] == [line.split()[1] for line in lines if "left out" in line]


def test_a_step_that_matters_may_be_in_a_folded_row(story):
    steps = [*distinct(100), *[(1, "load flag")] * 50, *distinct(100)]
    assert any("load flag  (x50)" in line for line in story_lines(story(*steps), keep={120}))


def test_a_note_stands_behind_its_step(story):
    told = story((0, "wakeup bed"))
    noted = replace(told, rows=(replace(told.rows[0], note="wakes cpu1"),))
    assert "wakeup bed  [wakes cpu1]" in table(story_lines(noted))[0]


# -- too wide -------------------------------------------------------------------------------------


@pytest.fixture
def narrow(lost):
    """A lost update for a terminal of 40 columns."""
    return story_lines(lost.story, width=40)


def test_a_table_that_is_too_wide_becomes_blocks(narrow):
    assert [] == [line for line in narrow if "|" in line]


def test_a_block_begins_with_its_cpu_and_why_it_runs(narrow):
    assert ["cpu0", "cpu1 one (cpu0 waits: join one)"] == [line for line in narrow if line[0] != " "][:2]


def test_no_line_of_a_block_is_too_wide(narrow):
    assert 40 >= max(map(len, narrow))


def test_blocks_have_every_step(narrow):
    assert list(range(10)) == [int(line[:6]) for line in narrow if line[:6].strip().isdigit()]


def test_a_place_that_does_not_fit_goes_below(narrow):
    at = next(n for n, line in enumerate(narrow) if "store word  0 -> 1" in line)
    assert re.fullmatch(r" {12}test_story\.py:\d+ incrementer", narrow[at + 1])


def test_steps_of_cpus_that_run_in_turn_name_their_cpu(story):
    lines = story_lines(story((0, "load a"), (1, "load b"), (0, "load c")), width=30)
    assert ["cpu0", "     0  load a", "     1  cpu1: load b", "     2  load c"] == [
        line for line in lines if "program.py" not in line
    ]


def test_after_a_gap_a_block_begins_anew(story):
    lines = story_lines(story(*distinct(200)), width=30)
    at = next(n for n, line in enumerate(lines) if "left out" in line)
    assert "cpu1" == lines[at + 1]


def test_blocks_say_what_is_left_out(story):
    lines = story_lines(story(*distinct(200)), width=30)
    assert f"  ... {200 - HEAD_ROWS - TAIL_ROWS} rows left out; `vmsmp replay --all` shows them" in lines


def test_lines_are_as_wide_as_the_terminal(monkeypatch):
    monkeypatch.setattr("sys.stdout", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setenv("COLUMNS", "77")
    assert 77 == output_width()


def test_without_a_terminal_lines_have_a_width_of_their_own(monkeypatch):
    monkeypatch.setattr("sys.stdout", SimpleNamespace(isatty=lambda: False))
    monkeypatch.setenv("COLUMNS", "77")
    assert PLAIN_WIDTH == output_width()
