"""An allocator of aligned runs of blocks: a radix tree of bitmaps over the blocks 0 to n-1.

Models: sys/kern/subr_alist.c.
A leaf has a bit for each of 32 blocks, 1 if the block is free.  A meta node has two bits for each of 16
children: 00 all allocated, 01 some free, 11 all free.  The nodes below a child that is 00 or 11 are stale,
and are rebuilt when the child becomes 01.  `bm_bighint` bounds the runs that a search from block 0 finds
below a node; a search that fails lowers it, so that the next one skips the node.
Locks: none of its own: the caller serialises, for `vm_contig_alist` with vm_contig_spin, which is the
record's spinlock.
Deviations:
  * the nodes are objects that know their children; in the kernel they lie in one array, at distances that
    `bl_skip` gives.  `bl_rootblks` is what that array would need.
  * nothing is printed (`alist_print`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vmsmp.records.field import field, plain
from vmsmp.records.letters import Letter
from vmsmp.records.record import Record, has, record
from vmsmp.sync.lock import EXCLUSIVE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmsmp.vm.system import VmSystem

ALIST_BLOCK_NONE: Final = -1
#: Blocks of a leaf, and children of a meta node.
ALIST_BMAP_RADIX: Final = 32
ALIST_META_RADIX: Final = 16
#: Records that suffice for an alist of 65536 blocks.
ALIST_RECORDS_65536: Final = 2193
_ALL: Final = 0xFFFFFFFF
#: Requests of another size than a power of two are rounded up to this at least, from this on.
_LARGE: Final = 256


# -- nodes ----------------------------------------------------------------------------------------


class Leaf:
    """A node for 32 blocks."""

    __slots__ = ("bm_bighint", "bm_bitmap")

    #: Blocks below it.
    radix: Final = ALIST_BMAP_RADIX

    def __init__(self) -> None:
        self.bm_bitmap = 0
        self.bm_bighint = 0

    def set_all(self, bitmap: int, bighint: int) -> None:
        """Set all blocks free or all allocated."""
        self.bm_bitmap = bitmap
        self.bm_bighint = bighint

    def free_blocks(self) -> int:
        """The number of free blocks below it."""
        return self.bm_bitmap.bit_count()

    def alloc(self, blk: int, start: int, count: int) -> int:
        """Allocate an aligned run from the node of base `blk`; return its first block or ALIST_BLOCK_NONE.

        A search that fails lowers the hint, unless it began inside the leaf.  As in the kernel, the test for
        that takes `start` modulo the leaf's size.
        """
        free = self.bm_bitmap
        if blk < start < blk + ALIST_BMAP_RADIX:
            free &= _ALL << start - blk
        start %= ALIST_BMAP_RADIX
        if not free:
            if start <= blk:
                self.bm_bighint = 0
            return ALIST_BLOCK_NONE
        run = (1 << count) - 1
        for first in range(0, ALIST_BMAP_RADIX, count):
            if free >> first & run == run:
                self.bm_bitmap &= ~(run << first)
                return blk + first
        if start <= blk:
            self.bm_bighint = count - 1
        return ALIST_BLOCK_NONE

    def free(self, bl: Alist, blk: int, first: int, count: int) -> None:
        """Free blocks of the node of base `blk`."""
        run = (1 << count) - 1 << first - blk
        if self.bm_bitmap & run:
            bl.vm.panic("alist_free: freeing free block")
        self.bm_bitmap |= run
        self.bm_bighint = ALIST_BMAP_RADIX

    def info(self, blk: int) -> tuple[int, int]:
        """The highest free block, as a run of one; (0, 0) if there is none."""
        return (blk + self.bm_bitmap.bit_length() - 1, 1) if self.bm_bitmap else (0, 0)


class Meta:
    """A node for 16 children of `unit` blocks each, made when a path leads through them.

    Children beyond the last block do not exist.
    """

    __slots__ = ("_made", "blocks", "bm_bighint", "bm_bitmap", "radix", "unit")

    def __init__(self, radix: int, blocks: int) -> None:
        self.bm_bitmap = 0
        self.bm_bighint = 0
        self.radix = radix
        self.unit = radix // ALIST_META_RADIX
        self.blocks = min(blocks, radix)
        self._made: dict[int, Node] = {}

    def child(self, n: int) -> Node:
        """Return child `n`; a new one has no free block."""
        if n not in self._made:
            self._made[n] = _node(self.unit, self.blocks - n * self.unit)
        return self._made[n]

    def set_all(self, bitmap: int, bighint: int) -> None:
        """Set all blocks free or all allocated; the children become stale."""
        self.bm_bitmap = bitmap
        self.bm_bighint = bighint

    def state(self, n: int) -> int:
        """The two bits of a child."""
        return self.bm_bitmap >> 2 * n & 3

    def _set_state(self, n: int, state: int) -> None:
        self.bm_bitmap = self.bm_bitmap & ~(3 << 2 * n) | state << 2 * n

    def free_blocks(self) -> int:
        """The number of free blocks below it."""
        return sum(
            self.unit if state == 3 else self.child(n).free_blocks()
            for n in range(ALIST_META_RADIX)
            if (state := self.state(n))
        )

    def alloc(self, blk: int, start: int, count: int) -> int:
        """As `Leaf.alloc`: whole children if the run is as long as one, else from below a child."""
        if not self.bm_bitmap:
            self.bm_bighint = 0
            return ALIST_BLOCK_NONE
        found = (self._alloc_children if count >= self.unit else self._alloc_below)(blk, start, count)
        if found == ALIST_BLOCK_NONE and self.bm_bighint >= count and start <= blk:
            self.bm_bighint = count >> 1
        return found

    def _alloc_children(self, blk: int, start: int, count: int) -> int:
        together = count // self.unit
        run = (1 << 2 * together) - 1
        for n in range(0, ALIST_META_RADIX, together):
            if self.bm_bitmap >> 2 * n & run == run and blk + n * self.unit >= start:
                self.bm_bitmap &= ~(run << 2 * n)
                return blk + n * self.unit
        return ALIST_BLOCK_NONE

    def _alloc_below(self, blk: int, start: int, count: int) -> int:
        for n in range(ALIST_META_RADIX):
            base = blk + n * self.unit
            state = self.state(n)
            if not state:
                continue
            child = self.child(n)
            if state == 3:
                child.set_all(_ALL, self.unit)
            if count > child.bm_bighint or base + self.unit <= start:
                continue
            found = child.alloc(base, start, count)
            if found != ALIST_BLOCK_NONE:
                self._set_state(n, 1 if child.bm_bitmap else 0)
                return found
        return ALIST_BLOCK_NONE

    def free(self, bl: Alist, blk: int, first: int, count: int) -> None:
        """As `Leaf.free`, child by child; the nodes below a child that is freed as a whole become stale."""
        end = first + count
        while first < end:
            n = (first - blk) // self.unit
            base = blk + n * self.unit
            if base >= blk + self.blocks:
                bl.vm.panic("alist_free: freeing unexpected range")
            part = min(base + self.unit, end) - first
            if part == self.unit:
                if self.state(n):
                    bl.vm.panic("alist_free: freeing free blocks")
                self._set_state(n, 3)
                self.bm_bighint = self.radix
            else:
                self._free_below(bl, n, base, first, part)
            first += part

    def _free_below(self, bl: Alist, n: int, base: int, first: int, count: int) -> None:
        child = self.child(n)
        if not self.state(n):
            child.set_all(0, 0)
        child.free(bl, base, first, count)
        if child.bm_bitmap == _ALL:
            self._set_state(n, 3)
            self.bm_bighint = self.radix
        else:
            self.bm_bitmap |= 1 << 2 * n
            self.bm_bighint = max(self.bm_bighint, child.bm_bighint)

    def info(self, blk: int) -> tuple[int, int]:
        """The highest child that is all free, or else the result for the highest child with free blocks."""
        for n in reversed(range(ALIST_META_RADIX)):
            base = blk + n * self.unit
            if self.state(n) == 3:
                return base, self.unit
            if self.state(n):
                return self.child(n).info(base)
        return 0, 0


Node = Leaf | Meta


def _node(radix: int, blocks: int) -> Node:
    """Make the tree for that many of `radix` blocks, all allocated."""
    return Leaf() if radix == ALIST_BMAP_RADIX else Meta(radix, min(blocks, radix))


def _records(node: Node) -> int:
    """The length of the kernel's array for the tree, in which children are as far apart as complete ones.

    After the last child comes a terminator, unless all children exist.
    """
    if isinstance(node, Leaf):
        return 1
    apart, radix = 1, ALIST_BMAP_RADIX
    while radix < node.unit:
        radix *= ALIST_META_RADIX
        apart = 1 + apart * ALIST_META_RADIX
    children = -(-node.blocks // node.unit)
    if children < ALIST_META_RADIX:
        return 1 + children * apart + 1
    return 1 + (children - 1) * apart + _records(node.child(children - 1))


# -- the list -------------------------------------------------------------------------------------


ALIST_LEGEND: Final = {
    "A": Letter("the alist's spinlock", lambda cpu, bl: has(cpu, bl.spin_made, EXCLUSIVE)),
}


@record(legend=ALIST_LEGEND)
class Alist(Record):
    """struct alist.  `bl_radix` is the number of blocks below a complete root node."""

    kind = "alist"

    # invariant: bl_free is the number of free blocks in the tree below bl_root
    bl_free: int = field("A")
    bl_root: Any = field("A", format=lambda root: f"{root.free_blocks()} free", default=None)

    bl_blocks: int = plain(0)
    bl_radix: int = plain(0)
    bl_rootblks: int = plain(0)
    _name: str = plain("alist")

    @property
    def name(self) -> str:
        return self._name

    def state(self) -> str:
        return f"{self.peek('bl_free')} of {self.bl_blocks} blocks free"

    def free_runs(self) -> Iterator[tuple[int, int]]:
        """Yield the runs of free blocks (first, count) in order, read invisibly: for checkers and reports."""
        root = self.peek("bl_root")
        if root is not None:
            yield from _joined(_runs(root, 0))


def _runs(node: Node, blk: int) -> Iterator[tuple[int, int]]:
    if isinstance(node, Leaf):
        yield from ((blk + n, 1) for n in range(ALIST_BMAP_RADIX) if node.bm_bitmap >> n & 1)
        return
    for n in range(ALIST_META_RADIX):
        base = blk + n * node.unit
        if node.state(n) == 3:
            yield base, node.unit
        elif node.state(n):
            yield from _runs(node.child(n), base)


def _joined(runs: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    first, count = 0, 0
    for blk, more in runs:
        if count and blk == first + count:
            count += more
            continue
        if count:
            yield first, count
        first, count = blk, more
    if count:
        yield first, count


def alist_init(bl: Alist, blocks: int, records: int) -> None:
    """Make `bl` a list of `blocks` blocks, all of them allocated, with room for `records` nodes."""
    _plant(bl, blocks)
    if bl.bl_rootblks > records:
        bl.vm.panic("alist_init: too few records")


def _plant(bl: Alist, blocks: int) -> None:
    radix = ALIST_BMAP_RADIX
    while radix < blocks:
        radix *= ALIST_META_RADIX
    bl.bl_blocks = blocks
    bl.bl_radix = radix
    bl.bl_free = 0
    bl.bl_root = _node(radix, blocks)
    bl.bl_rootblks = _records(bl.bl_root)


def alist_create(vm: VmSystem, blocks: int, name: str = "alist") -> Alist:
    """Make a list with as many records as it needs, all blocks allocated."""
    bl = Alist(vm, _name=name)
    _plant(bl, blocks)
    return bl


def alist_alloc(bl: Alist, start: int, count: int) -> int:
    """Allocate `count` blocks, from `start` on; return the first, or ALIST_BLOCK_NONE.

    The run is aligned to `count`, rounded up to a power of two.
    Locks: the caller's, as for all operations on the list.
    """
    if not count:
        bl.vm.panic("alist_alloc: no blocks asked for")
    if count & count - 1:
        return _alloc_rounded(bl, start, count)
    if count >= bl.bl_radix:
        return ALIST_BLOCK_NONE
    blk: int = bl.bl_root.alloc(0, start, count)
    if blk != ALIST_BLOCK_NONE:
        bl.bl_free -= count
    return blk


def _alloc_rounded(bl: Alist, start: int, count: int) -> int:
    """Allocate the next power of two, and free the rest."""
    rounded = _LARGE if count >= _LARGE else 1
    while rounded < count:
        rounded <<= 1
    blk = alist_alloc(bl, start, rounded)
    if blk != ALIST_BLOCK_NONE:
        alist_free(bl, blk + count, rounded - count)
    return blk


def alist_free(bl: Alist, blkno: int, count: int) -> None:
    """Free blocks, of any alignment; they may be a part of one allocated run, or of several."""
    if blkno < 0 or blkno + count > bl.bl_blocks:
        bl.vm.panic("alist_free: freeing blocks beyond the end")
    bl.bl_root.free(bl, 0, blkno, count)
    bl.bl_free += count


def alist_free_info(bl: Alist) -> tuple[int, int, int]:
    """Return how many blocks are free, and one run of free blocks: its first block and its length (0: none).

    The run is the first node that is all free on the way down to the highest free block.
    """
    start, count = bl.bl_root.info(0)
    return bl.bl_free, start, count
