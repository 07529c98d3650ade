"""A failure as text: headline, table, how every CPU stood, how to see it again."""

from __future__ import annotations

import os
import re
from dataclasses import replace

import pytest

import vmsmp
from vmsmp.campaign.outcome import History
from vmsmp.library import find_scenario
from vmsmp.report.text import clean_text, failure_text, scene_lines, steps_that_matter


def lost_update(m):
    word = m.cell(0, name="word")

    def incrementer():
        word.store(word.load() + 1)

    m.spawn(incrementer, name="one")
    m.spawn(incrementer, name="other")
    m.join()
    m.check(word.load() == 2, "both increments are counted")


@pytest.fixture
def lost(tell):
    return tell(lost_update, "1.2>2").failure


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
@pytest.mark.ci
def test_no_report_names_a_path_of_this_machine(name, mutant):
    report = vmsmp.explore(find_scenario(name), schedules=3000, mutants=[mutant]).failure.report()
    assert [] == [word for word in report.split() if word.startswith("/") or os.getcwd() in word]


def test_no_report_names_an_object_by_its_address(lost):
    assert [] == re.findall(r"0x[0-9a-f]{6,}", lost.report())


def test_no_line_of_a_report_ends_in_blanks(lost):
    assert [] == [line for line in lost.report().splitlines() if line != line.rstrip()]


# -- what matters ---------------------------------------------------------------------------------


def test_a_step_that_a_fact_names_matters(story, failure):
    assert {7} <= steps_that_matter(
        failure(story=story(*[(0, "load a")] * 9), facts=("cpu1 took it at step 7",))
    )


def test_the_last_step_of_every_cpu_matters(story, failure):
    steps = [(0, "load a"), (1, "load b"), (0, "load c"), (0, "load d")]
    assert {1, 3} == steps_that_matter(failure(story=story(*steps)))


def test_the_last_change_of_what_the_message_names_matters(story, failure):
    told = story(*[(0, "store lk.lk_count", str(n), str(n + 1)) for n in range(5)], (0, "load x"))
    rows = tuple(replace(row, thing=row.text.split()[1]) for row in told.rows)
    shown = failure(story=replace(told, rows=rows), message="state word of lockmgr 'lk': bad")
    assert {4, 5} == steps_that_matter(shown)


def test_what_is_not_named_does_not_matter(story, failure):
    told = story((0, "store x", "0", "1"), (0, "load y"))
    rows = tuple(replace(row, thing=row.text.split()[1]) for row in told.rows)
    assert {1} == steps_that_matter(failure(story=replace(told, rows=rows), message="lk is bad"))


def test_without_a_story_nothing_matters(failure):
    assert set() == steps_that_matter(failure(facts=("at step 7",)))


# -- a clean run ----------------------------------------------------------------------------------


def test_a_clean_run_is_told_from_headline_to_digest(tell):
    def program(m):
        m.cell(0, name="word").load()

    told = tell(program)
    lines = clean_text(told).splitlines()
    assert ("clean: program, 1 steps; nothing fails on this schedule", f"digest: {told.digest}") == (
        lines[0],
        lines[-1],
    )
    assert any("load word  0" in line for line in lines)


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


def test_a_program_in_a_file_is_replayed_by_a_command_that_names_the_file(lost):
    assert f"vmsmp replay '{lost.line}' lost.py" in replace(lost, place="lost.py").report()
