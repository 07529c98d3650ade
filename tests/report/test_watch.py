"""Watching one object of a run: its operations, and who changed it last."""

import pytest

import vmsmp
from vmsmp.errors import UsageError
from vmsmp.report.watch import watch_lines


def two_words(m):
    word, other = m.cell(0, name="word"), m.cell(0, name="other")

    def writer():
        word.store(word.load() + 1)

    m.spawn(writer)
    other.load()
    m.join()
    word.load()


@pytest.fixture(scope="module")
def story():
    return vmsmp.replay(two_words, "v1:two_words:0:").story


def test_an_object_s_rows_are_all_there_and_no_others(story):
    lines = watch_lines(story, ["word"])
    assert ["load", "store", "load"] == [line.split()[2] for line in lines[3:6]]


def test_the_last_change_names_its_cpu_its_step_and_its_place(story):
    last = watch_lines(story, ["word"])[-1]
    assert last.startswith("last changed by cpu1 at step ")
    assert "test_watch.py" in last


def test_an_object_that_is_only_read_has_never_changed(story):
    assert "never changed" == watch_lines(story, ["other"])[-1]


def test_several_objects_are_told_one_after_the_other(story):
    assert ["word:", "other:"] == [
        line for line in watch_lines(story, ["word", "other"]) if line.endswith(":")
    ]


def test_an_unknown_object_is_refused_with_those_that_are_close(story):
    with pytest.raises(UsageError, match="there are word"):
        watch_lines(story, ["wort"])


def test_no_name_is_no_line(story):
    assert [] == watch_lines(story, [])


def test_every_operation_gives_back_its_object(story):
    assert {"cpu1", "word", "other"} == {row.thing for row in story.rows if row.text != "join all"}
