"""The alist answers as the kernel's own did, block for block, in every recording."""

import gzip
from itertools import islice

import pytest

from alists import alist_of
from recording import FOLDER
from vmsmp.vm.subr_alist import ALIST_BLOCK_NONE, alist_alloc, alist_free, alist_free_info

FILES = sorted(FOLDER.parent.glob("alist-*.txt.gz"))

pytestmark = pytest.mark.skipif(
    not FILES,
    reason="NO RECORDING IS FOLLOWED: ../shared/golden is not there beside this checkout",
)


def read(path):
    """The lines after the first two, each as (operation, arguments, answer, free, info)."""
    with gzip.open(path, "rt") as file:
        for line in islice(file, 2, None):
            kind, first, count, _, answer, _, free, *info = line.split()
            yield kind, (int(first), int(count)), answer, int(free), tuple(map(int, info[1:]))


def blocks_of(path):
    with gzip.open(path, "rt") as file:
        return int(file.readline().split()[2])


def did(bl, kind, arguments):
    """What the list answers."""
    if kind == "free":
        alist_free(bl, *arguments)
        return "ok"
    blk = alist_alloc(bl, *arguments)
    return "none" if blk == ALIST_BLOCK_NONE else str(blk)


def difference(path):
    """The first operation that is answered otherwise, or None; and how many were followed."""
    bl = alist_of(blocks_of(path))
    done = 0
    for kind, arguments, answer, free, info in read(path):
        found = did(bl, kind, arguments), bl.bl_free
        if found != (answer, free):
            return (kind, arguments, found), done
        if info and alist_free_info(bl) != info:
            return ("info", alist_free_info(bl), info), done
        done += 1
    return None, done


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.split(".")[0])
def test_all_answers_of_a_recording_are_the_kernel_s(path):
    assert (None, sum(1 for _ in read(path))) == difference(path)
