"""What may become a store, and what is refused in one line and left as it is."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from vmsmp.campaign.store import schema
from vmsmp.campaign.store.merge import merge
from vmsmp.campaign.store.read import read_store
from vmsmp.campaign.store.schema import APPLICATION, VERSION, connect
from vmsmp.campaign.store.write import Store
from vmsmp.errors import UsageError


@pytest.fixture
def store(tmp_path):
    """A store of nothing."""
    with Store(tmp_path / "s", "code"):
        pass
    return tmp_path / "s"


def value(base, name):
    return base.execute(f"PRAGMA {name}").fetchone()[0]


def test_a_new_store_says_what_it_is(store):
    with closing(sqlite3.connect(store)) as base:
        assert (APPLICATION, VERSION, "wal") == (
            value(base, "application_id"),
            value(base, "user_version"),
            value(base, "journal_mode"),
        )


def test_an_empty_file_may_become_a_store(tmp_path):
    (tmp_path / "s").touch()
    with Store(tmp_path / "s", "code"):
        pass
    assert () == read_store(tmp_path / "s").runs


def test_a_store_in_memory_is_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Store(None, "code") as store:
        assert {} == store.fresh(0)
    assert [] == [*tmp_path.iterdir()]


def foreign(path):
    path.write_text("mine\n")


def database(path):
    with closing(sqlite3.connect(path)) as base:
        base.execute("CREATE TABLE t (x)")


def other_application(path):
    with closing(sqlite3.connect(path)) as base:
        base.execute("PRAGMA application_id = 7")
        base.execute("CREATE TABLE t (x)")


def newer(path):
    with Store(path, "code"), closing(sqlite3.connect(path)) as base:
        base.execute(f"PRAGMA user_version = {VERSION + 1}")


def cut(path):
    with Store(path, "code"):
        pass
    os.truncate(path, path.stat().st_size // 2)


def scribbled(path):
    with Store(path, "code") as store:
        store.begin(version="1", python="3", workers=2, arguments=(), profile="")
    data = bytearray(path.read_bytes())
    data[4096:] = b"\x55" * (len(data) - 4096)
    path.write_bytes(data)


@pytest.mark.parametrize("write", [True, False], ids=["write", "read"])
@pytest.mark.parametrize(
    ("made", "words"),
    [
        (foreign, "it is no store of vmsmp's"),
        (database, "it is a database, and no store of vmsmp's"),
        (other_application, "it is a database, and no store of vmsmp's"),
        (newer, f"it has version {VERSION + 1}; this vmsmp reads up to {VERSION}"),
        (cut, "it is damaged"),
        (scribbled, "it is damaged"),
    ],
)
def test_what_is_no_sound_store_is_refused_in_a_line_and_left_alone(tmp_path, made, words, write):
    path = tmp_path / "s"
    made(path)
    before = path.read_bytes()
    with pytest.raises(UsageError) as refused:
        connect(path, write=write)
    assert (f"store '{path}': {words}", before) == (str(refused.value), path.read_bytes())


def test_a_folder_is_no_store(tmp_path):
    for path in (tmp_path, Path()):
        with pytest.raises(UsageError, match="it is no file"):
            Store(path, "code")


@pytest.mark.parametrize("made", [foreign, database])
def test_nothing_is_left_beside_what_is_no_store(tmp_path, made):
    made(tmp_path / "s")
    with pytest.raises(UsageError):
        Store(tmp_path / "s", "code")
    assert ["s"] == [path.name for path in tmp_path.iterdir()]


def test_a_store_that_is_not_there_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match="there is no such file"):
        read_store(tmp_path / "s")
    assert [] == [*tmp_path.iterdir()]


def test_a_store_that_cannot_be_made_leaves_nothing(tmp_path, monkeypatch):
    def fails(_base):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(schema, "_prepared", fails)
    with pytest.raises(UsageError, match="database or disk is full"):
        Store(tmp_path / "s", "code")
    assert [] == [*tmp_path.iterdir()]


def test_a_store_in_no_folder_cannot_be_written(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        Store(tmp_path / "no" / "s", "code")


def test_a_store_has_one_writer(store):
    with Store(store, "code"), pytest.raises(UsageError, match="another campaign is writing to it"):
        Store(store, "code")


def test_a_store_may_be_read_while_somebody_writes(store):
    with Store(store, "code") as writer:
        writer.begin(version="1", python="3", workers=2, arguments=(), profile="")
        assert ["running"] == [run.outcome for run in read_store(store).runs]


FIRST = """
PRAGMA journal_mode = WAL;
PRAGMA application_id = 1986884461;
PRAGMA user_version = 1;
INSERT INTO runs VALUES (1, 't', 1.0, 2.0, 'code', '0', '3', 2, '[]', 'old', 'failed');
INSERT INTO strands VALUES (1, 'code', 'mine', 'portfolio exact', 'controlled', '');
INSERT INTO batches VALUES (1, 1, 0, 8, '', 1, 0, 1.5, 8, 80, 0.5, 1, '', 8, 2, 5, 1, 1.5);
INSERT INTO signatures VALUES (1, 'check', 'check: x');
INSERT INTO hits VALUES (1, 1, '', 3);
INSERT INTO findings VALUES (1, 'f00d', 'mine', 1, '', 'controlled', 't', '00', 'x', '[]', '', 1,
    x'789c030000000001', 1.5, 1.5, 'new', 1.5);
INSERT INTO schedules VALUES (1, 'v1:mine:0:1.2>2', 1.5, 'code', 1.5, 'code', 'fails');
INSERT INTO traces VALUES (1, 7, 0, 0, 0);
"""


@pytest.fixture
def first(tmp_path):
    """A store as the first version made it."""
    with closing(sqlite3.connect(tmp_path / "first")) as base:
        base.executescript(schema.MIGRATIONS[0] + FIRST)
    return tmp_path / "first"


def test_a_store_of_the_first_version_is_read_merged_and_gone_on_with(first, tmp_path):
    def told(path):
        kept = read_store(path)
        ((one,),) = [signature.findings for signature in kept.signatures]
        (row,) = kept.rows
        return one.ident, one.line, one.place, kept.kills, row.executions, row.traces, row.once

    expected = ("f00d", "v1:mine:0:1.2>2", "", (), 8, 1, 1)
    assert expected == told(first)
    merge(tmp_path / "merged", [first])
    assert expected == told(tmp_path / "merged")
    with Store(first, "code") as store:
        assert ["f00d"] == [asked.ident for asked in store.corpus()]
    with closing(sqlite3.connect(first)) as base:
        assert VERSION == value(base, "user_version")
    assert expected == told(first)


def test_an_older_store_is_brought_up_to_date(store, monkeypatch):
    newest = (*schema.MIGRATIONS, "ALTER TABLE runs ADD COLUMN note TEXT NOT NULL DEFAULT ''")
    monkeypatch.setattr(schema, "MIGRATIONS", newest)
    monkeypatch.setattr(schema, "VERSION", len(newest))
    with closing(connect(store, write=True)) as base:
        columns = [row[1] for row in base.execute("PRAGMA table_info(runs)")]
        assert (len(newest), "note") == (value(base, "user_version"), columns[-1])
