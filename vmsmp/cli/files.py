"""Files that a command writes: beside their place first, then moved there, so that a failure keeps the old.

A file that is there already is replaced, or a log appended to it, only if vmsmp wrote it, or by force.  A
link is followed within its folder and no further.  What is no file, such as a device, is not written at all.
"""

from __future__ import annotations

import argparse
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from vmsmp.errors import UsageError, quoted

#: What every file that vmsmp writes, and does not append to, has near its beginning.
MARKS: Final = (b"Written by `vmsmp", b"vmsmp.trace/")
#: How far from its beginning.
HEAD: Final = 4096


def add_force(parser: argparse.ArgumentParser, does: str = "overwrite") -> None:
    """The option that is needed where a file is the user's; what it `does` to the file then."""
    parser.add_argument(
        "--force", action="store_true", help=f"{does} a file that is there and that vmsmp did not write"
    )


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A place to write to: its name as the user said it, and where that is behind links."""

    name: str
    path: Path

    def write(self, data: bytes) -> None:
        """Put `data` there, all of it or none.

        Raises: UsageError in one sentence.
        """
        try:
            part = self._new_beside()
            try:
                with part.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                if self.path.exists():
                    shutil.copymode(self.path, part)
                part.replace(self.path)
            finally:
                part.unlink(missing_ok=True)
        except OSError as error:
            _refuse(self.name, f"{error.strerror}")

    def _new_beside(self) -> Path:
        """A new file in the same folder."""
        n = 0
        while True:
            part = self.path.with_name(f".vmsmp-{os.getpid()}-{n}.part")
            try:
                part.open("xb").close()
            except FileExistsError:
                n += 1
            else:
                return part


def output_file(name: str, *, force: bool, marks: tuple[bytes, ...] = MARKS) -> OutputFile:
    """The file of that name, which may be written: one that is there already has one of the `marks`.

    Raises: UsageError in one sentence if it may not, or could not.
    """
    try:
        path = Path(os.path.realpath(name))
        folder = os.path.realpath(os.path.dirname(name) or ".")
        if os.path.islink(name) and str(path.parent) != folder:
            _refuse(name, "it is a link out of its folder")
        _check_old(name, path, None if force else marks)
        if not os.access(path.parent, os.W_OK | os.X_OK):
            _refuse(name, "its folder may not be written to")
    except OSError as error:
        _refuse(name, f"{error.strerror}")
    except UsageError:
        raise
    except ValueError as error:  # a name with a NUL
        _refuse(name, f"{error}")
    return OutputFile(name, path)


def _check_old(name: str, path: Path, marks: tuple[bytes, ...] | None) -> None:
    """Raises: UsageError or OSError if what is there may not be replaced, or nothing can be there."""
    try:
        kind = os.stat(path).st_mode
    except FileNotFoundError:
        os.stat(path.parent)
        return
    if stat.S_ISDIR(kind):
        _refuse(name, "Is a directory")
    if not stat.S_ISREG(kind):
        _refuse(name, "it is no file")
    if marks is not None and not _has_one(path, marks):
        _refuse(name, "it is there, and no such file of vmsmp's (--force writes it all the same)")


def _has_one(path: Path, marks: tuple[bytes, ...]) -> bool:
    """Whether that file has one of the marks, or is empty."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    return not head or any(mark in head for mark in marks)


def same_file(one: OutputFile, other: OutputFile) -> bool:
    """Whether both are one file, under two names maybe."""
    if one.path == other.path:
        return True
    return one.path.exists() and other.path.exists() and one.path.samefile(other.path)


def _refuse(name: str, why: str) -> NoReturn:
    raise UsageError(f"cannot write {quoted(name, 300)}: {why}")
