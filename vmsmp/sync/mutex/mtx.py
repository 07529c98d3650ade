"""struct mtx and struct mtx_link: the words that the functions work on, and their invariants.

| bits of `mtx_lock` | meaning |
|---|---|
| MTX_EXCLUSIVE | the count is its owner's |
| MTX_SHWANTED | requests wait in the shared list |
| MTX_EXWANTED | requests wait in the exclusive list |
| MTX_LINKSPIN | a CPU changes the lists |
| MTX_MASK | the count of holds |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from vmsmp.sync.lock import EXCLUSIVE, SHARED
from vmsmp.sync.mutex.lock import Mutex
from vmsmp.sync.services import Services
from vmsmp.sync.thread import Thread

MTX_EXCLUSIVE: Final = 0x80000000
MTX_SHWANTED: Final = 0x40000000
MTX_EXWANTED: Final = 0x20000000
MTX_LINKSPIN: Final = 0x10000000
MTX_MASK: Final = 0x0FFFFFFF

MTX_LINK_IDLE: Final = 0
#: Set in both states in which a link is in a list.
MTX_LINK_LINKED: Final = 0x1000
MTX_LINK_LINKED_SH: Final = 0x1001
MTX_LINK_LINKED_EX: Final = 0x1002
MTX_LINK_ACQUIRED: Final = 3
MTX_LINK_CALLEDBACK: Final = 4
MTX_LINK_ABORTED: Final = 5

_BITS: Final = (
    ("EX", MTX_EXCLUSIVE),
    ("SHWANTED", MTX_SHWANTED),
    ("EXWANTED", MTX_EXWANTED),
    ("LINKSPIN", MTX_LINKSPIN),
)
_STATES: Final = {
    MTX_LINK_IDLE: "idle",
    MTX_LINK_LINKED_SH: "linked shared",
    MTX_LINK_LINKED_EX: "linked exclusive",
    MTX_LINK_ACQUIRED: "acquired",
    MTX_LINK_CALLEDBACK: "called back",
    MTX_LINK_ABORTED: "aborted",
}


def word_text(word: int) -> str:
    """The word as a report shows it: `EX|EXWANTED|1`."""
    parts = [name for name, bit in _BITS if word & bit]
    if word & MTX_MASK or not parts:
        parts.append(str(word & MTX_MASK))
    return "|".join(parts)


class MtxLink:
    """struct mtx_link: one request that waits, and the ident that it sleeps on; or one with a callback.

    The kernel's field `state` is `link_state` here.
    """

    __slots__ = ("args", "callback", "ident", "link_state", "owner", "sake")

    def __init__(
        self,
        machine: Services,
        mtx: StructMtx,
        callback: Callable[..., object] | None = None,
        args: tuple[Any, ...] = (),
    ) -> None:
        self.callback = callback
        self.args = args
        self.ident = machine.enroll(self)
        self.link_state = machine.atomic(MTX_LINK_IDLE, f"{mtx.name}.link.state", format=_STATES.__getitem__)
        self.owner: Thread | None = None
        #: The lock that its sleeper waits for, for reports.
        self.sake = mtx

    @property
    def name(self) -> str:
        return self.sake.name

    def state(self) -> str:
        return f"{self.sake.state()}, its link {self.link_state.state()}"

    def overdue(self) -> str | None:
        """Why its sleeper may stop waiting, or waits in vain; or None."""
        state, word = self.link_state.peek(), self.sake.mtx_lock.peek()
        if not state & MTX_LINK_LINKED:
            return f"its request is {_STATES[state]}"
        if not word & (MTX_EXWANTED if state == MTX_LINK_LINKED_EX else MTX_SHWANTED):
            return "the word does not say that it waits"
        if not word & MTX_MASK:
            return "nobody is left to grant it the lock"
        return None

    def __repr__(self) -> str:
        return f"link to {self.sake}"


class StructMtx(Mutex):
    """struct mtx: `mtx_lock`, `mtx_owner`, and the lists of links, first come first."""

    def __init__(self, machine: Services, name: str | None = None) -> None:
        super().__init__(machine, name)
        self.mtx_lock = machine.atomic(0, f"{self.name}.mtx_lock", format=word_text)
        self.mtx_owner = machine.atomic(None, f"{self.name}.mtx_owner", format=_owner)
        # invariant: changed by the CPU that has set LINKSPIN
        self.mtx_exlink: list[MtxLink] = []
        self.mtx_shlink: list[MtxLink] = []
        # ghost: links that were granted the mutex and whose threads have not run since
        self.granted: list[MtxLink] = []
        machine.words[self.mtx_lock.ident] = machine.words[self.mtx_owner.ident] = self

    def link(self, callback: Callable[..., object] | None = None, *args: Any) -> MtxLink:
        return MtxLink(self.machine, self, callback, args)

    def check_word(self) -> str | None:
        """INV-MX1, INV-MX2, INV-MX3."""
        word = self.mtx_lock.peek()
        owners = {cpu.index for cpu, mode in self.holders if mode == EXCLUSIVE}
        readers = [cpu for cpu, mode in self.holders if mode == SHARED]
        if word & MTX_EXCLUSIVE and readers:
            return "EXCLUSIVE is set while readers hold it"
        if owners and not word & MTX_EXCLUSIVE:
            return "EXCLUSIVE is clear while it is owned exclusively"
        if len(owners) > 1:
            return f"{len(owners)} exclusive owners"
        holds = len(self.holders) + len(self.granted)
        if word & MTX_MASK < holds:
            return f"{holds} holds but the word counts {word & MTX_MASK}"
        owner = self.mtx_owner.peek()
        if isinstance(owner, Thread) and owners and owner.cpu.index not in owners:
            return f"mtx_owner is cpu{owner.cpu.index}, which does not own it"
        return None if word & MTX_LINKSPIN else self._check_lists(word)

    def _check_lists(self, word: int) -> str | None:
        """INV-MX3, while no CPU changes the lists: the word says which of them are empty."""
        if bool(word & MTX_EXWANTED) != bool(self.mtx_exlink):
            return f"{len(self.mtx_exlink)} exclusive requests wait and the word is {word_text(word)}"
        if bool(word & MTX_SHWANTED) != bool(self.mtx_shlink):
            return f"{len(self.mtx_shlink)} shared requests wait and the word is {word_text(word)}"
        return None

    def check_rest(self) -> str | None:
        """INV-MX4: no CPU holds or wants it, so the word is 0."""
        word = self.mtx_lock.peek()
        if word or self.mtx_owner.peek() is not None:
            return f"nobody uses it but mtx_lock is {word_text(word)}"
        return None

    def state(self) -> str:
        return f"{word_text(self.mtx_lock.peek())} ({super().state()})"


def _owner(td: Any) -> str:
    return f"cpu{td.cpu.index}" if isinstance(td, Thread) else str(td)
