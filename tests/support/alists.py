"""Alists without a machine around them: one CPU uses them, so nothing is locked or shown to checkers."""

from types import SimpleNamespace

from vmsmp.vm.subr_alist import alist_create


class Panic(Exception):
    """The kernel would have stopped."""


def panic(message):
    raise Panic(message)


HOME = SimpleNamespace(
    machine=SimpleNamespace(reserve=lambda _count, _finder: 0),
    engine=SimpleNamespace(parallel=False),
    panic=panic,
)


def alist_of(blocks, *, free=True):
    """A list of that many blocks, all of them free or all allocated."""
    bl = alist_create(HOME, blocks)
    if free:
        bl.bl_root.free(bl, 0, 0, blocks)
        bl.bl_free = blocks
    return bl


def free_blocks(bl):
    """The numbers of the free blocks."""
    return {blk for first, count in bl.free_runs() for blk in range(first, first + count)}
