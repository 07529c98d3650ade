"""A failure as text: headline, table, how every CPU stood, how to see it again."""

from __future__ import annotations

import os
import re
from dataclasses import replace

import pytest

import vmsmp
from vmsmp.campaign.outcome import History
from vmsmp.library import find_scenario
from vmsmp.report.text import HEAD_ROWS, TAIL_ROWS, failure_text, scene_lines, story_lines


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


# -- the whole ------------------------------------------------------------------------------------


def test_the_headline_is_kind_and_message(lost):
    assert "check: both increments are counted" == lost.report().splitlines()[0]


def test_the_second_line_says_of_which_program_and_where(failure):
    assert "  program mine, on cpu2" == failure_text(failure()).splitlines()[1]


def test_the_second_line_says_which_execution_found_it(failure):
    assert "  program mine, execution 17, on cpu2" == failure_text(failure(execution=17)).splitlines()[1]


def test_facts_follow_the_headline(failure):
    assert ["  cpu1 holds it", "  cpu2 wants it"] == (
        failure_text(failure(facts=("cpu1 holds it", "cpu2 wants it"))).splitlines()[2:4]
    )


def test_the_end_is_the_command_that_replays_it(lost):
    assert [
        f"replay: vmsmp.replay(lost_update, '{lost.line}')",
        f"digest: {lost.digest}",
    ] == lost.report().splitlines()[-2:]


def test_a_free_failure_says_that_it_cannot_be_replayed(failure):
    assert [
        "a free run cannot be replayed; look for it under control:",
        "  vmsmp run mine --schedules 10000",
    ] == failure_text(failure(engine="free", schedule="")).splitlines()[-2:]


def test_a_free_failure_tells_its_history(failure):
    text = failure_text(
        failure(
            engine="free",
            schedule="",
            history=History((), (("cpu0", ("store word", "load word")), ("cpu1", ()))),
        )
    )
    assert (
        "\n\nhow every CPU stood:\nthe last operations of every CPU:\n"
        "  cpu0: store word, load word\n  cpu1: none\n\n"
    ) in text


def test_the_report_of_a_lost_update_is_this_text(lost):
    shown = re.sub(r"\S*test_text\.py:\d+", "FILE:N", lost.report())
    assert (
        f"""\
check: both increments are counted
  program lost_update, on cpu0

 step | cpu0         | cpu1 one      | cpu2 other         |
------+--------------+---------------+--------------------+
    0 | spawn one    |               |                    |  FILE:N lost_update
    1 | spawn other  |               |                    |  FILE:N lost_update
      |              |               |                    |   switch: cpu0 waits: join one
    2 |              | start one     |                    |
    3 |              | load word  0  |                    |  FILE:N incrementer
      |              |               |                    |   switch: cpu1 one preempted
    4 |              |               | start other        |
    5 |              |               | load word  0       |  FILE:N incrementer
    6 |              |               | store word  0 -> 1 |  FILE:N incrementer
      |              |               |                    |   switch: cpu2 other ended
    7 |              | store word  1 |                    |  FILE:N incrementer
      |              |               |                    |   switch: cpu1 one ended
    8 | join all     |               |                    |  FILE:N lost_update
    9 | load word  1 |               |                    |  FILE:N lost_update
------+--------------+---------------+--------------------+

how every CPU stood:
  cpu0        holds nothing; wants nothing; before: load word
              at FILE:N in lost_update
  cpu1 one    done
  cpu2 other  done

replay: vmsmp.replay(lost_update, 'v1:lost_update:0:1.2>2:{lost.digest}')
digest: {lost.digest}"""
        == shown
    )


@pytest.mark.parametrize(
    ("name", "mutant"),
    [("spin_writers_queue", "SP-05"), ("refcount_drains", "RC-03"), ("tokens_in_any_order", "TK-11")],
)
def test_a_failure_gives_the_same_text_twice(name, mutant):
    one, other = (
        vmsmp.explore(find_scenario(name), schedules=3000, seed=4, mutants=[mutant]).failure.report()
        for _ in range(2)
    )
    assert one == other


@pytest.mark.parametrize(
    ("name", "mutant"),
    [("spin_writers_queue", "SP-05"), ("refcount_drains", "RC-03"), ("tokens_in_any_order", "TK-11")],
)
def test_no_report_names_a_path_of_this_machine(name, mutant):
    report = vmsmp.explore(find_scenario(name), schedules=3000, mutants=[mutant]).failure.report()
    assert [] == [word for word in report.split() if word.startswith("/") or os.getcwd() in word]


def test_no_report_names_an_object_by_its_address(lost):
    assert [] == re.findall(r"0x[0-9a-f]{6,}", lost.report())


def test_no_line_of_a_report_ends_in_blanks(lost):
    assert [] == [line for line in lost.report().splitlines() if line != line.rstrip()]


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
    assert re.search(r"\|  spin_lock spinlock\.py:\d+ < test_text\.py:\d+$", row)


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


# -- how every CPU stood --------------------------------------------------------------------------


def test_a_cpu_that_is_done_is_done(stand):
    assert ["how every CPU stood:", "  cpu1       done"] == scene_lines((stand(1, done=True),))


def test_a_cpu_that_is_done_and_still_holds_something_says_so(stand):
    assert "done, still holds spinlock 'l'" in scene_lines((stand(done=True, holds=("spinlock 'l'",)),))[1]


def test_a_cpu_says_what_it_holds_and_wants(stand):
    (line,) = scene_lines((stand(holds=("a", "b"), wants="c"),))[1:]
    assert "holds a, b; wants c; before: load word" in line


def test_a_cpu_without_anything_says_nothing(stand):
    assert "holds nothing; wants nothing; before: load word" in scene_lines((stand(),))[1]


def test_a_cpu_shows_three_frames_at_most(stand):
    lines = scene_lines((stand(frames=("a", "b", "c", "d")),))
    assert ["at a", "at b", "at c"] == [line.strip() for line in lines[2:]]


def test_a_cpu_with_a_name_shows_both(stand):
    assert scene_lines((stand(1, "writer"),))[1].startswith("  cpu1 writer")


def test_no_cpu_is_no_error():
    assert ["how every CPU stood:"] == scene_lines(())


def test_a_scenario_is_replayed_by_a_command_and_a_program_of_one_s_own_by_a_call(lost):
    assert f"vmsmp.replay(lost_update, '{lost.line}')" in lost.report()
    assert f"vmsmp replay '{lost.line}'" in replace(lost, listed=True).report()
