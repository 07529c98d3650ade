"""The kernel's sysctls, declared beside what they show, and the tree of a machine: `vm.sysctl[NAME]`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MutableMapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NoReturn

from vmsmp.errors import UsageError


@dataclass(frozen=True, slots=True)
class Sysctl:
    """A number of the kernel by name.  `read(vm)` returns it invisibly; without `write` it is read-only."""

    name: str
    help: str
    read: Callable[[Any], int]
    write: Callable[[Any, int], None] | None = None


def tunable(name: str, where: str, text: str) -> Sysctl:
    """Return a number that may be changed; `where` is its place in the system: `fault.vm_fast_fault`."""
    part, _, attribute = where.rpartition(".")
    of = attrgetter(part)

    def read(vm: Any) -> int:
        return int(getattr(of(vm), attribute))

    def write(vm: Any, value: int) -> None:
        setattr(of(vm), attribute, value)

    return Sysctl(name, text, read, write)


class SysctlTree(MutableMapping[str, int]):
    """The sysctls of one machine, in order of their names.

    Raises: UsageError for an unknown name, and for a write of a read-only one.
    """

    def __init__(self, vm: Any, declared: Iterable[Sysctl]) -> None:
        self._vm = vm
        self._declared = {one.name: one for one in sorted(declared, key=lambda one: one.name)}

    def declared(self, name: str) -> Sysctl:
        """Return the declaration of that name."""
        if name not in self._declared:
            raise UsageError(f"unknown sysctl {name!r}: there are {', '.join(self._declared)}")
        return self._declared[name]

    def __getitem__(self, name: str) -> int:
        return self.declared(name).read(self._vm)

    def __setitem__(self, name: str, value: int) -> None:
        write = self.declared(name).write
        if write is None:
            raise UsageError(f"sysctl {name} is read-only")
        write(self._vm, value)

    def __delitem__(self, name: str) -> NoReturn:
        raise UsageError(f"sysctl {name} cannot be deleted")

    def __contains__(self, name: object) -> bool:
        return name in self._declared

    def __iter__(self) -> Iterator[str]:
        return iter(self._declared)

    def __len__(self) -> int:
        return len(self._declared)
