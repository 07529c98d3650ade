"""`vmsmp textbook`: chapters, what is printed of one, its picture, and what is refused."""

from __future__ import annotations

import subprocess
import sys

import pytest

from vmsmp.report.textbook import CHAPTERS

NAMES = [chapter.name for chapter in CHAPTERS]
PICTURED = [chapter.name for chapter in CHAPTERS if chapter.picture]


def test_without_a_chapter_they_are_listed_with_the_code_that_computes_them(vmsmp):
    ended = vmsmp("textbook")
    rows = [line.split("  ") for line in ended.out.splitlines()[2:]]
    assert (0, "", NAMES) == (ended.code, ended.err, [row[0] for row in rows])
    for chapter, line in zip(CHAPTERS, ended.out.splitlines()[2:], strict=True):
        assert all(name.rpartition(".")[2] in line for name in chapter.code)
        assert chapter.title in line


def test_the_list_as_json_has_whole_names_of_modules(vmsmp):
    assert [(one.name, one.title, list(one.code), one.picture or None) for one in CHAPTERS] == [
        (c["chapter"], c["title"], c["code"], c["picture"]) for c in vmsmp("textbook", "--json").json
    ]


def test_a_chapter_has_its_title_its_tables_and_its_code(vmsmp):
    ended = vmsmp("textbook", "tlb")
    lines = ended.out.splitlines()
    chapter = CHAPTERS[NAMES.index("tlb")]
    assert (0, "") == (ended.code, ended.err)
    assert f"tlb: {chapter.title}" == lines[0]
    assert chapter.write().lines() == lines[1:-2]
    assert "computed by vmsmp.mmu.textbook.tlb" == lines[-1]


def test_a_chapter_as_json_has_its_rows_by_column(vmsmp):
    page = vmsmp("textbook", "segmentation", "--json").json
    translations = next(part for part in page["parts"] if part.get("table") == "Translations")
    assert {
        "address": "0x00001030",
        "access": "r",
        "segment": "0",
        "offset": "0x001030",
        "result": "0x4f001030",
    } == translations["rows"][0]
    assert ("segmentation", None) == (page["chapter"], page["plot"])


@pytest.mark.parametrize("name", ["nothing", "", "TLB", "x" * 5000])
def test_an_unknown_chapter_is_one_line_and_bad_usage(vmsmp, name):
    assert (2, "", 1) == vmsmp("textbook", name).complaint


def test_a_slip_of_the_pen_is_told_what_was_meant(vmsmp):
    assert "vmsmp: unknown chapter 'tlbs': did you mean tlb?\n" == vmsmp("textbook", "tlbs").err
    assert f"there are {', '.join(NAMES)}" in vmsmp("textbook", "zzz").err


# -- pictures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PICTURED)
def test_a_picture_is_written_and_named(vmsmp, tmp_path, name):
    path = tmp_path / "picture.svg"
    ended = vmsmp("textbook", name, "--plot", path)
    assert (0, "", f"plot: {path}") == (ended.code, ended.err, ended.out.splitlines()[-1])
    content = path.read_bytes()
    plot = CHAPTERS[NAMES.index(name)].write().plot
    assert b"Written by `vmsmp textbook`" in content[:200]
    assert [] == [
        word
        for word in (plot.title, *plot.curves)
        if word.replace("'", "&#39;").encode() not in content and word.encode() not in content
    ]


def test_a_picture_is_written_beside_json_and_can_be_written_again(vmsmp, tmp_path):
    path = tmp_path / "picture.svg"
    for _ in range(2):
        page = vmsmp("textbook", "replacement", "--plot", path, "--json").json
        assert {"FIFO", "LRU", "OPT", "CLOCK"} == {*page["plot"]["curves"]}
        assert b"<svg" in path.read_bytes()


def test_a_file_of_somebody_else_s_is_overwritten_only_by_force(vmsmp, tmp_path):
    path = tmp_path / "mine.svg"
    path.write_text("mine")
    assert (2, "", 1) == vmsmp("textbook", "replacement", "--plot", path).complaint
    assert "mine" == path.read_text()
    assert 0 == vmsmp("textbook", "replacement", "--plot", path, "--force").code


@pytest.mark.parametrize("words", [[], ["tlb"]])
def test_what_has_no_picture_says_which_chapters_have(vmsmp, tmp_path, words):
    ended = vmsmp("textbook", *words, "--plot", tmp_path / "picture.svg")
    assert (2, "", 1) == ended.complaint
    assert ", ".join(PICTURED) in ended.err


@pytest.fixture
def unwritten(monkeypatch):
    """Fail if a chapter is computed."""

    def computed():
        raise AssertionError("it is computed in vain")

    monkeypatch.setattr(type(CHAPTERS[0]), "write", property(lambda _: computed), raising=False)


def test_a_picture_that_cannot_be_written_is_refused_before_anything_is_computed(vmsmp, tmp_path, unwritten):
    assert (2, "", 1) == vmsmp("textbook", "buddy", "--plot", tmp_path / "none" / "picture.svg").complaint


def test_without_pygal_a_picture_is_refused_before_anything_is_computed(
    vmsmp, tmp_path, unwritten, monkeypatch
):
    monkeypatch.setitem(sys.modules, "pygal", None)
    ended = vmsmp("textbook", "buddy", "--plot", tmp_path / "picture.svg")
    assert (2, "", 1) == ended.complaint
    assert "vmsmp: --plot needs pygal: pip install 'vmsmp[report]'\n" == ended.err


def test_without_a_picture_pygal_is_not_needed(vmsmp, monkeypatch):
    monkeypatch.setitem(sys.modules, "pygal", None)
    assert 0 == vmsmp("textbook", "replacement").code


def test_the_models_are_loaded_by_this_command_alone():
    asked = "import sys, vmsmp.cli.command_line; print([n for n in sys.modules if 'report.textbook' in n])"
    done = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, timeout=60, check=True
    )
    assert "[]\n" == done.stdout
