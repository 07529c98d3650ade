"""A copy of a store to read from: of one moment, and without a trace beside the file.

SQLite reads a file in WAL mode by means of two others beside it, which it makes if they are not there.  Where
they are, somebody writes, or was killed while he did: then the copy is made through them.  Where no log is,
the file is all there is, and is read as one that never changes; if it has changed all the same when the copy
is made, there is another try.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

#: Tries to copy a file that changes meanwhile.
TRIES: Final = 10


def copied(path: Path, busy_s: float) -> sqlite3.Connection:
    """The content of a store, in a database of its own that ends with its connection.

    It waits at most `busy_s` seconds for others.
    Raises: sqlite3.Error or OSError if the file cannot be read, or never stands still.
    """
    for _ in range(TRIES):
        before = _looks(path)
        base = sqlite3.connect("", isolation_level=None)  # SQLite spills it to a file if it is large
        try:
            if _has_log(path):
                _through_the_log(path, base, busy_s)
                return base
            _fill(base, f"{path.resolve().as_uri()}?immutable=1", busy_s)
            if before == _looks(path):
                return base
        except sqlite3.DatabaseError:
            if before == _looks(path):
                base.close()
                raise
        except BaseException:
            base.close()
            raise
        base.close()
    raise sqlite3.OperationalError("somebody writes to it all the time")


def _through_the_log(path: Path, base: sqlite3.Connection, busy_s: float) -> None:
    """Copy a store whose last writes are in its log."""
    if _beside(path, "-shm").exists():
        try:
            _fill(base, f"{path.resolve().as_uri()}?mode=ro", busy_s)
        except sqlite3.OperationalError:  # the folder cannot be written to
            pass
        else:
            return
    with TemporaryDirectory(prefix="vmsmp-") as folder:
        other = Path(folder) / "store"
        shutil.copyfile(path, other)
        shutil.copyfile(_beside(path, "-wal"), _beside(other, "-wal"))
        _fill(base, other.as_uri(), busy_s)


def _fill(base: sqlite3.Connection, name: str, busy_s: float) -> None:
    with closing(sqlite3.connect(name, uri=True, timeout=busy_s)) as source:
        source.backup(base)


def _has_log(path: Path) -> bool:
    try:
        return _beside(path, "-wal").stat().st_size > 0
    except FileNotFoundError:
        return False


def _looks(path: Path) -> tuple[int, int, int, bool]:
    """What tells that a file has changed."""
    stat = path.stat()
    return stat.st_ino, stat.st_mtime_ns, stat.st_size, _has_log(path)


def _beside(path: Path, suffix: str) -> Path:
    path = path.resolve()
    return path.with_name(path.name + suffix)
