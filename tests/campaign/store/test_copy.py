"""A store that is read is as it was, and so is its folder."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from vmsmp.campaign.store import copy
from vmsmp.campaign.store.copy import copied
from vmsmp.campaign.store.merge import merge
from vmsmp.campaign.store.read import read_store
from vmsmp.campaign.store.write import Store

#: Makes a store, and is killed with the last writes in its log.
KILLED = """
import os, signal, sys
from pathlib import Path
from vmsmp.campaign.store.write import Store
store = Store(Path(sys.argv[1]), "code")
store.begin(version="1", python="3", workers=2, arguments=(), profile="killed")
os.kill(os.getpid(), signal.SIGKILL)
"""


def begin(store):
    store.begin(version="1", python="3", workers=2, arguments=(), profile="mine")


@pytest.fixture
def store(tmp_path):
    """A store alone in its folder."""
    (tmp_path / "folder").mkdir()
    with Store(tmp_path / "made", "code") as store:
        begin(store)
    return Path(shutil.copy(tmp_path / "made", tmp_path / "folder" / "s"))


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The folder of a store whose writer was killed."""
    folder = tmp_path_factory.mktemp("killed")
    env = {**os.environ, "PYTHONPATH": str(Path(copy.__file__).resolve().parents[3])}
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder / "s")], env=env, check=False)
    assert -signal.SIGKILL == done.returncode
    return folder


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def profiles(path):
    return [run.profile for run in read_store(path).runs]


def test_nothing_is_left_beside_a_store_that_is_read(store):
    before = files(store.parent)
    assert (["mine"], before) == (profiles(store), files(store.parent))


def test_nothing_is_left_beside_a_store_that_is_merged(store, tmp_path):
    before = files(store.parent)
    merge(tmp_path / "m", [store])
    assert (["mine"], before) == (profiles(tmp_path / "m"), files(store.parent))


@pytest.mark.parametrize("names", [("s", "s-wal", "s-shm"), ("s", "s-wal")], ids=["both", "log"])
def test_what_a_writer_left_who_was_killed_is_read_and_stays(killed, tmp_path, names):
    (tmp_path / "folder").mkdir()
    for name in names:
        shutil.copy(killed / name, tmp_path / "folder" / name)
    assert ["killed"] == profiles(tmp_path / "folder" / "s")
    assert {*names} == {*files(tmp_path / "folder")}
    assert (killed / "s-wal").read_bytes() == files(tmp_path / "folder")["s-wal"]


#: Reads a store as somebody who may write nowhere near it: root becomes somebody else for that.
POWERLESS = """
import os, sys, urllib.parse
from pathlib import Path
from vmsmp.campaign.store.copy import copied
if os.geteuid() == 0:
    os.setegid(65534)
    os.seteuid(65534)
assert not os.access(Path(sys.argv[1]).parent, os.W_OK, effective_ids=True)
print(copied(Path(sys.argv[1]), 1.0).execute("SELECT profile FROM runs").fetchone()[0])
"""


@pytest.mark.parametrize("names", [("s",), ("s", "s-wal", "s-shm")], ids=["ended", "killed"])
def test_a_store_in_a_folder_that_cannot_be_written_to_is_read(store, killed, names):
    source = store.parent if len(names) == 1 else killed
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "readonly")
        home.mkdir()
        for name in names:
            shutil.copy(source / name, home / name)
            (home / name).chmod(0o444)
        home.chmod(0o555)
        Path(folder).chmod(0o755)
        env = {**os.environ, "PYTHONPATH": str(Path(copy.__file__).resolve().parents[3])}
        words = [sys.executable, "-c", POWERLESS, str(home / "s")]
        done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
        home.chmod(0o755)
    assert ("", "mine" if len(names) == 1 else "killed") == (done.stderr, done.stdout.strip())


def test_a_store_that_changes_while_it_is_copied_is_copied_again(store, monkeypatch):
    tries = []

    def fill(base, name, busy_s):
        tries.append(name)
        if len(tries) == 1:
            with Store(store, "code") as other:
                begin(other)
        real(base, name, busy_s)

    real = copy._fill
    monkeypatch.setattr(copy, "_fill", fill)
    with closing(copied(store, 1.0)) as base:
        assert (2,) == base.execute("SELECT count(*) FROM runs").fetchone()
    assert 2 == len(tries)


def test_a_store_that_never_stands_still_is_no_endless_wait(store, monkeypatch):
    looks = iter(range(1_000))
    monkeypatch.setattr(copy, "_looks", lambda _path: next(looks))
    with pytest.raises(sqlite3.OperationalError, match="somebody writes to it all the time"):
        copied(store, 1.0)


def test_an_older_store_is_read_as_one_of_this_version_and_stays_as_it_is(store, monkeypatch):
    from vmsmp.campaign.store import schema

    before = store.read_bytes()
    newest = (*schema.MIGRATIONS, "UPDATE runs SET profile = 'newer'")
    monkeypatch.setattr(schema, "MIGRATIONS", newest)
    monkeypatch.setattr(schema, "VERSION", len(newest))
    assert (["newer"], before) == (profiles(store), store.read_bytes())
