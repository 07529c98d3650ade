"""What GitHub's runner is told, and that no message tells it anything else."""

from __future__ import annotations

from boards import DIGEST, LINE, NASTY, SIGNATURE, board, signature
from vmsmp.report.dashboard.github import SUMMARY_BYTES, annotation_lines, silenced, summary
from vmsmp.report.dashboard.retold import retell


def lines(*bugs):
    shown = board(*bugs)
    return [*annotation_lines(shown, retell(shown, 0))]


def unescaped(text):
    """As the runner reads a message."""
    return text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")


def test_a_new_bug_is_an_annotation_at_its_place_with_the_command():
    (line,) = lines(signature())
    head, _, message = line.removeprefix("::").partition("::")
    assert head.startswith("error file=scenarios/sync/sleeping.py,line=")
    assert head.endswith(",title=vmsmp%3A new in refcount_drains")
    shown = unescaped(message).splitlines()
    assert [SIGNATURE, f"replay: vmsmp replay '{LINE}:{DIGEST}'"] == shown[:2]


def test_bugs_that_nobody_has_to_look_at_are_not_annotated():
    bugs = [signature(status=status) for status in ("new", "unsteady", "known", "fixed")]
    assert ["new", "unsteady"] == [line.partition("%3A ")[2].split()[0] for line in lines(*bugs)]


def test_whatever_a_message_holds_an_annotation_is_one_line_and_one_command():
    (line,) = lines(signature(signature=f"check: {NASTY}\n::error::x\r", scenario="a,b:c\n::x"))
    assert 1 == len(line.splitlines())
    assert unescaped(line.split("::", 2)[2]).startswith("check: <b")
    assert "title=vmsmp%3A new in a%2Cb%3Ac%0A%3A%3Ax::" in line


def test_a_text_is_silenced_by_a_word_that_it_does_not_hold():
    text = "\n::error::gotcha"
    first, *inside, last = silenced(text).splitlines()
    token = first.removeprefix("::stop-commands::")
    assert (f"::{token}::", text) == (last, "\n".join(inside))
    assert token.isalnum()
    assert token not in text


def test_other_texts_have_other_words():
    assert silenced("a").splitlines()[0] != silenced("b").splitlines()[0]


# -- the summary ----------------------------------------------------------------------------------


def cells(text):
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "|" in line
    ]


def test_the_summary_has_a_row_for_each_bug_under_its_status():
    text = summary(board(signature(), signature(status="fixed", scenario="b")))
    assert ["### new", "### fixed"] == [
        line.partition(":")[0] for line in text.splitlines() if line.startswith("###")
    ]
    assert [["lost-wakeup: pip: pip is N", "refcount&#95;drains", "3"]] == [
        row[:3] for row in cells(text) if "refcount&#95;drains" == row[1]
    ]


def test_the_summary_says_how_to_see_a_bug_again():
    assert f"<code>vmsmp replay &#x27;{LINE.replace('_', '&#95;').replace('>', '&gt;')}" in summary(
        board(signature())
    )


def test_the_summary_of_nothing_says_so():
    assert "no bugs" in summary(board())


def test_whatever_a_message_holds_its_row_has_six_cells():
    text = summary(board(signature(signature=NASTY + "\n|x|`y`", scenario="a|b")))
    assert {6} == {len(row) for row in cells(text)}
    assert "<b" not in text


def test_a_summary_fits():
    bugs = [signature(scenario=f"s{n}", signature="check: " + "é" * 2000) for n in range(300)]
    text = summary(board(*bugs))
    assert len(text.encode()) <= SUMMARY_BYTES + 100
    assert text.endswith("\nThe rest does not fit here: see the report.\n")
