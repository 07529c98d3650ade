"""Folders that a command fills: which ones it may, and what becomes of what was there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from vmsmp.cli.folders import LIST, output_folder
from vmsmp.errors import UsageError


def filled(path, *names, force=False):
    return output_folder(str(path), force=force).fill((name, name.encode()) for name in names)


def inside(path):
    return sorted(str(one.relative_to(path)) for one in path.rglob("*") if one.is_file())


def refused(path, why):
    with pytest.raises(UsageError, match=f"^cannot fill the folder '[^']*': {why}") as error:
        output_folder(str(path), force=False)
    assert 1 == len(str(error.value).splitlines())


def test_a_new_folder_is_made_and_filled(tmp_path):
    assert 2 == filled(tmp_path / "site", "a.html", "bug/b.html")
    assert ["a.html", "bug/b.html", LIST] == inside(tmp_path / "site")
    assert "bug/b.html" == (tmp_path / "site/bug/b.html").read_text()


def test_an_empty_folder_is_filled(tmp_path):
    filled(tmp_path, "a.html")
    assert ["a.html", LIST] == inside(tmp_path)


def test_what_is_not_written_again_goes_and_what_is_the_user_s_stays(tmp_path):
    filled(tmp_path, "a.html", "bug/b.html")
    (tmp_path / "mine.txt").write_text("mine")
    filled(tmp_path, "a.html", "bug/c.html")
    assert ["a.html", "bug/c.html", "mine.txt", LIST] == inside(tmp_path)


def test_a_folder_of_somebody_else_s_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    refused(tmp_path, "it holds files that vmsmp did not write")
    assert ["mine.txt"] == inside(tmp_path)


def test_a_list_of_somebody_else_s_makes_no_folder_ours(tmp_path):
    (tmp_path / LIST).write_text("mine\n")
    refused(tmp_path, "it holds files that vmsmp did not write")


def test_by_force_files_are_written_beside_others(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    filled(tmp_path, "a.html", force=True)
    assert ["a.html", "mine.txt", LIST] == inside(tmp_path)


@pytest.mark.parametrize("name", ["../out.txt", "/out.txt", "a/b/out.txt", ""])
def test_a_list_removes_nothing_outside_of_the_folder(tmp_path, name):
    site = tmp_path / "site"
    filled(site, "a.html")
    with (site / LIST).open("a") as listing:
        listing.write(f"{name}\n")
    (tmp_path / "out.txt").write_text("mine")
    (site / "a/b").mkdir(parents=True)
    (site / "a/b/out.txt").write_text("mine")
    filled(site, "c.html")
    assert ["a/b/out.txt", "c.html", LIST] == inside(site)
    assert (tmp_path / "out.txt").exists()


def test_what_is_interrupted_is_listed_and_goes_the_next_time(tmp_path):
    def files():
        yield "a.html", b"a"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        output_folder(str(tmp_path), force=False).fill(files())
    assert ["a.html", LIST] == inside(tmp_path)
    filled(tmp_path, "b.html")
    assert ["b.html", LIST] == inside(tmp_path)


def test_a_disk_that_is_full_is_one_line_and_leaves_no_half_of_a_file(tmp_path, monkeypatch):
    whole = Path.write_bytes

    def full(path, data):
        whole(path, data[:1])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    filled(tmp_path, "a.html")
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UsageError, match=r"^cannot fill the folder '[^']*': No space left on device$"):
        filled(tmp_path, "b.html")
    assert ["a.html", LIST] == inside(tmp_path)
    monkeypatch.undo()
    filled(tmp_path, "c.html")
    assert ["c.html", LIST] == inside(tmp_path)


def test_a_link_in_the_folder_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    site = tmp_path / "site"
    filled(site, "a.html")
    (site / "bug").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="'bug' in it is a link"):
        filled(site, "bug/b.html")
    assert [] == inside(tmp_path / "elsewhere")


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("mine")
    refused(tmp_path / "file", "it is no folder")


def test_a_folder_whose_own_is_not_there_is_refused(tmp_path):
    refused(tmp_path / "none/site", "No such file or directory")


def test_a_name_that_cannot_be_is_refused(tmp_path):
    refused(f"{tmp_path}/a\0b", ".*embedded null")


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_that_may_not_be_written_to_is_refused(tmp_path, monkeypatch, there):
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    refused(tmp_path if there else tmp_path / "site", "it may not be written to")
