"""Folders that a command fills: new or empty ones, those that it has filled before, or others by force.

A list in the folder says which files are the command's: those that it does not write again go, others stay.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, NoReturn

from vmsmp.errors import UsageError, quoted

#: The list's name, and its first line.
LIST: Final = "vmsmp-files.txt"
MARK: Final = "Written by `vmsmp report`: the files that are replaced when it is run again\n"


@dataclass(frozen=True, slots=True)
class OutputFolder:
    """A folder to fill: its name as the user said it, and where that is."""

    name: str
    path: Path

    def fill(self, files: Iterable[tuple[str, bytes]]) -> int:
        """Write files in their order, each whole or not at all, and return how many; old ones go at the end.

        Raises: UsageError in one sentence.
        """
        try:
            self.path.mkdir(exist_ok=True)
            before = self._listed()
            written: dict[str, None] = {}
            with self._beside(LIST).open("w", encoding="utf-8") as listing:
                listing.writelines([MARK, *(f"{name}\n" for name in before)])
                listing.flush()
                self._put(LIST)
                for name, data in files:
                    listing.write(f"{name}\n")
                    listing.flush()  # what is there is listed, whenever this ends
                    self._write(name, data)
                    written[name] = None
            for name in before:
                if name not in written:
                    (self.path / name).unlink(missing_ok=True)
            self._write(LIST, "".join([MARK, *(f"{name}\n" for name in written)]).encode())
        except OSError as error:
            _refuse(self.name, f"{error.strerror}")
        return len(written)

    def _write(self, name: str, data: bytes) -> None:
        part = self._beside(name)
        try:
            part.write_bytes(data)
            self._put(name)
        finally:
            part.unlink(missing_ok=True)

    def _beside(self, name: str) -> Path:
        """The file that becomes the one of that name, in a folder that is there and no link."""
        folder = (self.path / name).parent
        if folder != self.path:
            if folder.is_symlink():
                _refuse(self.name, f"{quoted(folder.name)} in it is a link")
            folder.mkdir(exist_ok=True)
        return (self.path / name).with_name(f".vmsmp-{os.getpid()}.part")

    def _put(self, name: str) -> None:
        self._beside(name).replace(self.path / name)

    def _listed(self) -> list[str]:
        """What the list says that the command has written; nothing outside of the folder."""
        if not (self.path / LIST).is_file():
            return []
        lines = (self.path / LIST).read_text(encoding="utf-8", errors="replace").splitlines()[1:]
        return [*dict.fromkeys(line for line in lines if _is_within(line))]


def _is_within(name: str) -> bool:
    """Whether it is a file of the folder or of a folder in it, by a plain name."""
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts and len(path.parts) <= 2


def output_folder(name: str, *, force: bool) -> OutputFolder:
    """The folder of that name, which may be filled.

    Raises: UsageError in one sentence if it may not, or could not.
    """
    try:
        path = Path(os.path.realpath(name))
        if path.exists():
            if not path.is_dir():
                _refuse(name, "it is no folder")
            if not force and any(path.iterdir()) and not _is_ours(path):
                _refuse(name, "it holds files that vmsmp did not write (--force writes beside them)")
        elif not path.parent.is_dir():
            _refuse(name, "No such file or directory")
        if not os.access(path if path.exists() else path.parent, os.W_OK | os.X_OK):
            _refuse(name, "it may not be written to")
    except OSError as error:
        _refuse(name, f"{error.strerror}")
    except UsageError:
        raise
    except ValueError as error:  # a name with a NUL
        _refuse(name, f"{error}")
    return OutputFolder(name, path)


def _is_ours(path: Path) -> bool:
    listing = path / LIST
    if not listing.is_file():
        return False
    with listing.open(encoding="utf-8", errors="replace") as file:
        return file.readline() == MARK


def _refuse(name: str, why: str) -> NoReturn:
    raise UsageError(f"cannot fill the folder {quoted(name, 300)}: {why}")
