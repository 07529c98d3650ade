"""Files that commands write: nothing of the user's is lost."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from commands import FAILING
from vmsmp.cli.files import output_file, same_file
from vmsmp.errors import UsageError

OPTIONS = ("--trace", "--pytest")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(name, data=b"new", *, force=False):
    output_file(name, force=force).write(data)


def refusal(name, *, force=False):
    with pytest.raises(UsageError) as caught:
        output_file(name, force=force)
    return str(caught.value)


# -- what is there --------------------------------------------------------------------------------


def test_a_new_file_is_alone_in_its_folder(here):
    written("new")
    assert [("new", b"new")] == [(path.name, path.read_bytes()) for path in here.iterdir()]


@pytest.mark.parametrize("option", OPTIONS)
def test_a_file_of_the_user_s_is_left_alone(vmsmp, here, option):
    (here / "mine").write_text("mine")
    ended = vmsmp("replay", FAILING, option, "mine")
    assert ((2, "", 1), "mine") == (ended.complaint, (here / "mine").read_text())
    assert "--force" in ended.err


@pytest.mark.parametrize("option", OPTIONS)
def test_force_overwrites_it(vmsmp, here, option):
    (here / "mine").write_text("mine")
    ended = vmsmp("replay", FAILING, option, "mine", "--force")
    assert (1, False) == (ended.code, (here / "mine").read_text() == "mine")


@pytest.mark.parametrize("option", OPTIONS)
def test_a_file_that_a_command_wrote_is_replaced(vmsmp, here, option):
    first = vmsmp("replay", FAILING, option, "run")
    before = (here / "run").stat().st_ino
    assert first == vmsmp("replay", FAILING, option, "run")
    assert before != (here / "run").stat().st_ino


def test_an_empty_file_is_replaced(here):
    (here / "empty").touch()
    written("empty")
    assert b"new" == (here / "empty").read_bytes()


def test_a_file_that_is_replaced_keeps_its_mode(here):
    (here / "old").touch()
    (here / "old").chmod(0o640)
    written("old")
    assert 0o640 == (here / "old").stat().st_mode & 0o777


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "Is a directory"),
        (".", "Is a directory"),
        ("none/file", "No such file or directory"),
        ("file/file", "Not a directory"),
        ("/dev/null", "it is no file"),
        ("pipe", "it is no file"),
        ("a\0b", "embedded null"),
        ("x" * 300, "File name too long"),
    ],
)
def test_what_cannot_be_a_file_is_refused_even_by_force(here, name, why):
    (here / "file").write_bytes(b"vmsmp.trace/1")
    os.mkfifo("pipe")
    assert why in refusal(name, force=True)


# -- links ----------------------------------------------------------------------------------------


def test_a_link_out_of_the_folder_is_refused_even_by_force(here):
    (here / "elsewhere").mkdir()
    (here / "link").symlink_to("elsewhere/file")
    assert "it is a link out of its folder" in refusal("link", force=True)
    (here / "elsewhere" / "file").touch()
    assert "it is a link out of its folder" in refusal("link", force=True)


def test_a_link_within_the_folder_is_followed(here):
    (here / "link").symlink_to("file")
    written("link")
    assert (True, b"new") == ((here / "link").is_symlink(), (here / "file").read_bytes())


def test_a_link_to_itself_is_refused(here):
    (here / "link").symlink_to("link")
    assert "Too many levels of symbolic links" in refusal("link")


def test_a_folder_may_be_a_link(here):
    (here / "folder").mkdir()
    (here / "short").symlink_to("folder")
    written("short/file")
    assert b"new" == (here / "folder" / "file").read_bytes()


@pytest.mark.parametrize(
    ("one", "other"), [("a", "./a"), ("a", "folder/../a"), ("a", "soft"), ("old", "hard")]
)
def test_two_names_of_one_file_are_one_file(vmsmp, here, one, other):
    (here / "folder").mkdir()
    (here / "soft").symlink_to("a")
    (here / "old").touch()
    (here / "hard").hardlink_to("old")
    assert same_file(output_file(one, force=True), output_file(other, force=True))
    assert (2, "", 1) == vmsmp("replay", FAILING, "--trace", one, "--pytest", other).complaint


# -- a disk that is full --------------------------------------------------------------------------


def test_a_full_disk_keeps_the_old_file(here, environment):
    words = [sys.executable, "-m", "vmsmp", "replay", FAILING, "--trace", "run", "--force"]
    (here / "run").write_text("old")
    ended = subprocess.run(
        words,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment(PYTHONDONTWRITEBYTECODE="1"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
    )
    assert (2, "vmsmp: cannot write 'run': File too large\n") == (ended.returncode, ended.stderr)
    assert [("run", "old")] == [(path.name, path.read_text()) for path in here.iterdir()]


def test_ctrl_c_while_a_file_is_written_keeps_the_old_one(here, monkeypatch):
    def pressed(_number):
        raise KeyboardInterrupt

    (here / "old").write_bytes(b"old")
    monkeypatch.setattr("os.fsync", pressed)
    with pytest.raises(KeyboardInterrupt):
        written("old", force=True)
    assert [("old", b"old")] == [(path.name, path.read_bytes()) for path in here.iterdir()]
