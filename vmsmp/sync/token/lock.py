"""What a token offers at either depth."""

from __future__ import annotations

from vmsmp.sync.lock import EXCLUSIVE, Lock
from vmsmp.sync.thread import Thread, TokRef


class Token(Lock):
    """An LWKT token at either depth."""

    kind = "token"
    sleepable = True

    def try_acquire(self) -> bool:
        """Take it exclusively if that needs no waiting."""
        raise NotImplementedError

    def acquire_shared(self) -> None:
        """Take it shared."""
        raise NotImplementedError

    def held(self) -> bool:
        """Whether the running CPU owns it exclusively (LWKT_TOKEN_HELD_EXCL)."""
        return self.engine.current.holds(self, EXCLUSIVE)

    def held_shared(self) -> bool:
        """Whether the running CPU owns it in any mode."""
        return any(hold.lock is self for hold in self.engine.current.held)

    def held_any(self) -> bool:
        """What ASSERT_LWKT_TOKEN_HELD tests: any thread's shared hold satisfies it."""
        raise NotImplementedError

    def held_excl(self) -> bool:
        """What ASSERT_LWKT_TOKEN_HELD_EXCL tests: whether the exclusive owner's ref is this thread's."""
        raise NotImplementedError

    def drop_ref(self, ref: TokRef, td: Thread) -> None:
        """Release `ref` but leave it on the stack."""
        raise NotImplementedError

    def regain_all(self, td: Thread) -> None:
        """Take every token of the thread's stack again."""
        raise NotImplementedError

    def ref_moved(self, old: TokRef, new: TokRef) -> None:
        """A swap gave the hold of `old` to `new`."""
