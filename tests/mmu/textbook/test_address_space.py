"""mmap and its kin: where things go, what is refused, what is seen and what reaches the disk."""

from __future__ import annotations

import errno

import pytest

from vmsmp.mmu.textbook.address_space import HIGHEST, LOWEST, AddressSpace, File
from vmsmp.mmu.textbook.paging import PAGE_BYTES
from vmsmp.mmu.textbook.segmentation import SegmentationFault

AT = 0x100000


@pytest.fixture
def space():
    return AddressSpace()


@pytest.fixture
def data():
    return File("/tmp/data", 4, inode=12)


def pages(n):
    return n * PAGE_BYTES


def refused(call, *args, **options):
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is what counts
        call(*args, **options)
    return caught.value.errno


def ranges(space):
    return [(one.start, one.end, one.permissions) for one in space.index]


# -- where ----------------------------------------------------------------------------------------


def test_without_an_address_the_highest_gap_is_chosen(space):
    first = space.mmap(None, pages(2), "rw-")
    second = space.mmap(None, 1, "r--")
    assert (HIGHEST - pages(2), HIGHEST - pages(3)) == (first, second)


def test_a_hole_is_used_again(space):
    space.mmap(None, pages(1), "rw-")
    middle = space.mmap(None, pages(1), "r--")
    space.mmap(None, pages(1), "rw-")
    space.munmap(middle, pages(1))
    assert middle == space.mmap(None, pages(1), "rw-")


def test_a_given_address_replaces_what_is_there(space):
    space.mmap(AT, pages(3), "rw-")
    space.store(AT + pages(1), 5)
    assert AT + pages(1) == space.mmap(AT + pages(1), pages(1), "r--")
    assert 0 == space.load(AT + pages(1))
    assert [
        (AT, AT + pages(1), "rw-"),
        (AT + pages(1), AT + pages(2), "r--"),
        (AT + pages(2), AT + pages(3), "rw-"),
    ] == (ranges(space))


@pytest.mark.parametrize(
    ("args", "number"),
    [
        ((AT + 1, PAGE_BYTES, "rw-"), errno.EINVAL),
        ((AT, 0, "rw-"), errno.EINVAL),
        ((None, -1, "rw-"), errno.EINVAL),
        ((HIGHEST, PAGE_BYTES, "rw-"), errno.ENOMEM),
        ((None, HIGHEST, "rw-"), errno.ENOMEM),
    ],
)
def test_a_mapping_that_cannot_be_is_refused_and_changes_nothing(space, args, number):
    assert (number, []) == (refused(space.mmap, *args), ranges(space))


def test_a_file_is_mapped_from_a_page_s_beginning_on(space, data):
    assert errno.EINVAL == refused(space.mmap, None, PAGE_BYTES, "r--", file=data, offset=5)


def test_all_of_the_addresses_can_be_mapped(space):
    assert LOWEST == space.mmap(None, HIGHEST - LOWEST, "rw-")


# -- permissions ----------------------------------------------------------------------------------


def test_an_access_that_nothing_allows_is_a_fault(space):
    space.mmap(AT, pages(1), "r--")
    with pytest.raises(SegmentationFault, match="0x100000 is r--, and w is asked for"):
        space.store(AT, 1)
    with pytest.raises(SegmentationFault, match="nothing is mapped at 0x101000"):
        space.load(AT + pages(1))


def test_mprotect_splits_and_joins_segments(space):
    space.mmap(AT, pages(4), "rw-")
    space.mprotect(AT + pages(1), pages(2), "r--")
    assert ["rw-", "r--", "rw-"] == [one[2] for one in ranges(space)]
    space.mprotect(AT + pages(1), pages(2), "rw-")
    assert [(AT, AT + pages(4), "rw-")] == ranges(space)


@pytest.mark.parametrize("name", ["mprotect", "msync", "mlock", "munlock"])
def test_calls_need_an_aligned_address_and_no_gap(space, name):
    space.mmap(AT, pages(2), "rw-")
    space.mmap(AT + pages(3), pages(1), "rw-")
    before = ranges(space)
    rights = ["r--"] if name == "mprotect" else []
    call = getattr(space, name)
    assert errno.EINVAL == refused(call, AT + 1, pages(1), *rights)
    assert errno.ENOMEM == refused(call, AT, pages(4), *rights)
    assert before == ranges(space)


def test_munmap_of_what_is_not_mapped_is_no_error_but_of_a_crooked_address_is(space):
    space.munmap(AT, pages(4))
    assert errno.EINVAL == refused(space.munmap, AT + 1, pages(1))


def test_a_file_that_may_not_be_written_is_not_shared_for_writing(space):
    program = File("/bin/program", 1, inode=1, writable=False)
    assert errno.EACCES == refused(space.mmap, None, PAGE_BYTES, "rw-", shared=True, file=program)
    at = space.mmap(None, PAGE_BYTES, "r--", shared=True, file=program)
    assert errno.EACCES == refused(space.mprotect, at, PAGE_BYTES, "rw-")
    private = space.mmap(None, PAGE_BYTES, "rw-", file=program)
    space.store(private, 1)
    assert (1, 0) == (space.load(private), program.read(0))


# -- contents -------------------------------------------------------------------------------------


def test_two_spaces_share_a_file_and_not_their_private_copies(data):
    one, other = AddressSpace(), AddressSpace()
    shared = [space.mmap(None, pages(2), "rw-", shared=True, file=data) for space in (one, other)]
    private = other.mmap(None, pages(2), "rw-", file=data)
    one.store(shared[0] + pages(1), 7)
    assert (7, 7) == (other.load(shared[1] + pages(1)), other.load(private + pages(1)))
    other.store(private + pages(1), 8)
    assert (7, 8) == (one.load(shared[0] + pages(1)), other.load(private + pages(1)))


def test_an_offset_says_which_page_of_the_file_is_shown(space, data):
    data.disk[3] = 9
    at = space.mmap(None, pages(1), "r--", file=data, offset=pages(3))
    assert 9 == space.load(at)


def test_only_msync_promises_that_the_disk_has_it(space, data):
    at = space.mmap(None, pages(2), "rw-", shared=True, file=data)
    space.store(at, 7)
    assert {} == data.disk
    assert 1 == space.msync(at, pages(2))
    space.store(at, 8)
    space.munmap(at, pages(2))
    assert ({0: 7}, 8) == (data.disk, data.read(0))
    data.lose_power()
    assert 7 == data.read(0)


def test_msync_writes_the_pages_that_it_names_alone(space, data):
    at = space.mmap(None, pages(3), "rw-", shared=True, file=data)
    for n in range(3):
        space.store(at + pages(n), n + 1)
    assert 1 == space.msync(at + pages(1), pages(1))
    assert {1: 2} == data.disk


def test_msync_of_anonymous_or_private_memory_writes_nothing(space, data):
    at = [space.mmap(None, pages(1), "rw-"), space.mmap(None, pages(1), "rw-", file=data)]
    for place in at:
        space.store(place, 1)
        assert 0 == space.msync(place, pages(1))
    assert {} == data.disk


def test_what_was_unmapped_is_gone(space):
    at = space.mmap(None, pages(1), "rw-")
    space.store(at, 5)
    space.munmap(at, pages(1))
    again = space.mmap(None, pages(1), "rw-")
    assert (at, 0) == (again, space.load(again))


# -- residency ------------------------------------------------------------------------------------


def test_a_page_is_in_memory_from_its_first_touch_on(space):
    at = space.mmap(None, pages(3), "rw-")
    assert set() == space.resident
    space.load(at + pages(1) + 5)
    assert {at + pages(1)} == space.resident


def test_mlock_brings_pages_in_and_reclaim_passes_them_by(space):
    at = space.mmap(None, pages(3), "rw-")
    space.load(at)
    space.mlock(at + pages(1), pages(1))
    assert ({at, at + pages(1)}, [at]) == (space.resident, space.reclaimable())
    space.munlock(at + pages(1), pages(1))
    assert [at, at + pages(1)] == space.reclaimable()


# -- the listing ----------------------------------------------------------------------------------


def test_a_listing_has_a_line_for_each_segment(space, data):
    space.mmap(AT, pages(1), "r-x", file=data, offset=pages(2))
    space.mmap(AT + pages(8), pages(2), "rw-", shared=True)
    assert [
        "000000100000-000000101000 r-xp 00002000 08:01 12       /tmp/data",
        "000000108000-00000010a000 rw-s 00000000 00:00 0",
    ] == space.maps()


def test_a_file_is_called_by_its_name(data):
    assert "/tmp/data" == str(data)
