"""Findings in swap and the table of its devices: the model does what swap_pager.c and vm_swap.c do."""

from vmsmp import scenario
from vmsmp.scenarios._kit import busied, idle_pages
from vmsmp.sync.errno import EBUSY, EINTR, EIO
from vmsmp.vm.vm_object import (
    OBJPC_SYNC,
    vm_object_allocate,
    vm_object_deallocate,
    vm_object_drop,
    vm_object_hold,
)
from vmsmp.vm.vm_page import vm_page_busy_wait, vm_page_dirty
from vmsmp.vm.vm_pageout import vm_pageout_flush
from vmsmp.vm.vm_pager import (
    swap_pager_haspage,
    swap_pager_read,
    swap_pager_reserve,
    swp_pager_freeswapspace,
    swp_pager_getswapspace,
    swp_pager_meta_build,
)
from vmsmp.vm.vm_swap import SWB_DMMAX, Swap, swapacctspace, swapdev_strategy, sys_swapoff, sys_swapon
from vmsmp.vm.vnode import getnewvnode, vrele


@scenario(cpus=1, tags={"swap", "vnode", "finding"}, fixed=True, schedule="v1:swapoff_keeps_the_vnode:0:")
def swapoff_keeps_the_vnode(m):
    """A device is swapped to and then no more, and its vnode is referenced for ever.

    `sys_swapoff` looks the device up by its name, which references the vnode, and drops the reference of the
    table.  That of the look-up is dropped by nobody, also where it finds that the device is none.
    Repair `swapoff-drops-what-it-looked-up`: drop it in the end.
    """
    vm = m.boot(pages=4, l2_size=1)
    swap = Swap(vm)
    disk = getnewvnode(vm, "disk")

    def user():
        m.check(not sys_swapon(swap, disk), "there is room for a device")
        m.check(not sys_swapoff(swap, disk), "a device that is swapped to can be given up")
        m.check(disk.v_refcnt.load() == 1, "a device that is given up is not referenced")

    m.spawn(user)
    m.join()
    vrele(disk)


@scenario(cpus=1, tags={"swap", "vnode", "finding"}, fixed=True, schedule="v1:device_is_swapped_to_twice:0:")
def device_is_swapped_to_twice(m):
    """A device is added to the swap once more, and what is written to it is written over.

    `swaponvp` looks at the slots of the table in order.  It refuses a device that is in one of them, and
    takes the first slot that is empty: if the one of a device before was given up, it does not come to the
    slot that has the device already.  Both have all of its blocks.
    Repair `swapon-looks-at-all-slots`: look at all of them before.
    """
    vm = m.boot(pages=4, l2_size=1)
    swap = Swap(vm)
    disks = [getnewvnode(vm, f"disk{n}") for n in range(2)]

    def user():
        for disk in disks:
            sys_swapon(swap, disk)
        sys_swapoff(swap, disks[0])
        m.check(sys_swapon(swap, disks[1]) == EBUSY, "a device is swapped to once")

    m.spawn(user)
    m.join()
    for disk in disks:
        vrele(disk)


@scenario(
    cpus=1, tags={"swap", "vnode", "finding"}, fixed=True, schedule="v1:swapoff_tried_again_takes_twice:0:"
)
def swapoff_tried_again_takes_twice(m):
    """A device could not be given up, is given up once more, and the swap that is left is smaller than it is.

    `swapoff_one` takes the blocks of the device off the size of all swap (vm_swap_max) before it reads back
    what is there.  If some of that cannot be read the device stays, and may be tried again: its blocks are
    taken off again.
    Repair `swapoff-takes-off-what-it-closes`: take them off when the device is closed.
    """
    vm = m.boot(pages=4, l2_size=1)
    swap = Swap(vm)
    disks = [getnewvnode(vm, f"disk{n}") for n in range(2)]

    def user():
        for disk in disks:
            sys_swapon(swap, disk)
        swap.swdevt[0].stuck = 1
        m.check(sys_swapoff(swap, disks[0]) == EINTR, "a device stays while something is there")
        swap.swdevt[0].stuck = 0
        m.check(not sys_swapoff(swap, disks[0]), "a device that is swapped to can be given up")
        m.check(swap.vm_swap_max == swap.swdevt[1].free, "all swap is that of the devices that there are")

    m.spawn(user)
    m.join()
    for disk in disks:
        vrele(disk)


@scenario(cpus=2, tags={"swap", "finding"}, fixed=True, schedule="v1:swapoff_counts_beside_others:0:1.4>2")
def swapoff_counts_beside_others(m):
    """A device is given up while a page leaves another one, and there is more swap free than there is.

    The swap pager counts free blocks with vm_token.  `swapoff_one` takes those of its device off with
    swap_mtx alone, which the pager does not have: one of the two is lost.  The bitmap of the blocks is not
    protected from it any better.
    Repair `swapoff-takes-the-token`: take the token as well.
    """
    vm = m.boot(pages=4, l2_size=1)
    swap = Swap(vm)
    disks = [getnewvnode(vm, f"disk{n}") for n in range(2)]
    for disk in disks:
        sys_swapon(swap, disk)
    left = swap.swdevt[1]
    swapacctspace(swap, left, -1)
    m.spawn(sys_swapoff, swap, disks[0], name="administrator")
    m.spawn(swapacctspace, swap, left, 1, name="pager")
    m.join()

    def user():
        m.check(swap.vm_swap_size.load() == left.free, "free swap is that of the devices that there are")

    m.spawn(user)
    m.join()
    for disk in disks:
        vrele(disk)


@scenario(
    cpus=1, tags={"swap", "object", "finding"}, fixed=True, schedule="v1:reservation_frees_what_is_behind:0:"
)
def reservation_frees_what_is_behind(m):
    """A part of a disk in memory is given its swap beforehand, and what is behind it in swap is lost.

    `swap_pager_reserve` takes 64 blocks at a time and gives one to each page.  Those that are left in the end
    are in no page's place; it is to give them back, and frees as many pages behind the range instead.  The
    blocks are never used again, and those pages have lost what they had in swap.
    Repair `reservation-gives-back-blocks`: give the blocks back.
    """
    vm = m.boot(pages=4, l2_size=1, swap_pages=128)
    disk = vm_object_allocate(vm, 4)

    def user():
        m.check(swap_pager_reserve(disk, 2, 1), "there is swap for a page")
        m.check(swap_pager_reserve(disk, 0, 1), "there is swap for another page")
        m.check(swap_pager_haspage(disk, 2), "a page keeps its swap as one before it is given some")
        m.check(vm.pager.vm_swap_size == 126, "two pages have two blocks of swap")

    m.spawn(user)
    m.join()
    vm_object_deallocate(disk)


@scenario(cpus=1, tags={"swap", "write", "finding"}, fixed=True, schedule="v1:bad_block_is_taken_again:0:")
def bad_block_is_taken_again(m):
    """A block of swap is bad, and no page is written out any more, though there is swap enough.

    `swp_pager_async_iodone` takes the block from a page that could not be written, and frees it, though its
    comments say that a block with an error is never used again.  The free block with the lowest number is the
    one that the next page is given: it fails as well, and so does each one after it.
    Repair `failed-block-waits`: another block is taken next.
    """
    vm = m.boot(pages=8, l2_size=1, swap_pages=8)
    obj = vm_object_allocate(vm, 1)
    (page,) = idle_pages(vm, obj, [0])
    busied(page, vm_page_dirty)
    vm.pager.device.bad_blocks.add(0)

    def pageout():
        for _ in range(2):
            vm_page_busy_wait(page, True)
            vm_pageout_flush([page], OBJPC_SYNC)
        m.check(not page.peek("dirty"), "a page is written out while there is a good block")

    m.spawn(pageout)
    m.join()
    vm_object_deallocate(obj)


@scenario(cpus=1, tags={"swap", "vnode", "finding"}, fixed=True, schedule="v1:swap_ends_behind_its_device:0:")
def swap_ends_behind_its_device(m):
    """A device is swapped to whose size is no multiple of 64 pages, and pages are written behind its end.

    `swaponvp` rounds the number of a device's blocks up to whole stripes, and all of them are free: up to 63
    that there are not.  `swapdev_strategy` compares with the rounded number, too, so it is the device that
    refuses them.
    Repair `swapon-rounds-down`: leave out the last stripe if the device does not have all of it.
    """
    vm = m.boot(pages=4, l2_size=1)
    swap = Swap(vm)
    disk = getnewvnode(vm, "disk")

    def user():
        sys_swapon(swap, disk, 2 * SWB_DMMAX + 1)
        errors = [swapdev_strategy(swap, 0, n) for n in range(SWB_DMMAX, swap.swdevt[0].sw_nblks)]
        m.check(not any(errors), "a block that is free can be written to")

    m.spawn(user)
    m.join()
    vrele(disk)


@scenario(cpus=1, tags={"swap", "write", "finding"}, fixed=True, schedule="v1:split_swap_is_full:0:")
def split_swap_is_full(m):
    """No page is written out any more, though half of the swap is free.

    `swap_pager_putpages` looks for adjacent blocks: for all pages of a cluster, for half of them, and so on,
    until there are four or fewer, which is the last try.  In swap that has been in use for a while free
    blocks are everywhere and may not be adjacent anywhere.  A page by itself would be written; those of a
    cluster fail, again and again, and the swap counts as full, for which processes are killed.
    Repair `swap-is-taken-in-single-blocks`: in the end look for one block.
    """
    vm = m.boot(pages=12, l2_size=1, swap_pages=16)
    obj = vm_object_allocate(vm, 5)
    pages = idle_pages(vm, obj, range(5))
    blocks = [swp_pager_getswapspace(vm) for _ in range(16)]
    for blk in blocks[::2]:
        swp_pager_freeswapspace(vm, blk)

    def pageout():
        for page in pages:
            vm_page_busy_wait(page, True)
            vm_page_dirty(page)
        vm_pageout_flush(pages, OBJPC_SYNC)
        m.check(not any(page.peek("dirty") for page in pages), "pages are written out while there is swap")

    m.spawn(pageout)
    m.join()
    for blk in blocks[1::2]:
        swp_pager_freeswapspace(vm, blk)
    vm_object_deallocate(obj)


@scenario(
    cpus=1, tags={"swap", "write", "finding"}, fixed=True, schedule="v1:short_write_to_swap_is_whole:0:"
)
def short_write_to_swap_is_whole(m):
    """A page is written to swap that is a file on a server, not all of it arrives, and it is marked clean.

    `swp_pager_async_iodone` looks whether the transfer has failed (B_ERROR), and not what it has left out
    (b_resid).  A write that ends early need not have failed.  The page can be taken, and what is read later
    is what was in the block before.
    Repair `short-write-to-swap-has-failed`: take a transfer that has left something out for a failed one.
    """
    vm = m.boot(pages=8, l2_size=1, swap_pages=8)
    obj = vm_object_allocate(vm, 1)
    (page,) = idle_pages(vm, obj, [0])
    busied(page, vm_page_dirty)
    vm.pager.device.short_blocks.add(0)

    def pageout():
        vm_page_busy_wait(page, True)
        vm_pageout_flush([page], OBJPC_SYNC)
        blk = obj.peek("swblock_root").get(0)
        m.check(page.peek("dirty") or blk in vm.pager.contents, "a clean page is in swap")

    m.spawn(pageout)
    m.join()
    vm_object_deallocate(obj)


@scenario(cpus=1, tags={"swap", "finding"}, fixed=True, schedule="v1:disk_in_memory_hides_its_error:0:")
def disk_in_memory_hides_its_error(m):
    """Swap cannot be read, and who reads a disk in memory that is there hears of a wrong argument.

    `swap_pager_strategy` makes a request of many pages into parts.  The part that fails leaves its error in
    the request, and marks not the request as failed (B_ERROR) but itself, which it is already.  In the end
    `swap_chain_iodone` finds a request that has not failed and is not complete, and says EINVAL.
    Repair `failed-part-fails-the-request`: mark the request.
    """
    vm = m.boot(pages=4, l2_size=1, swap_pages=8)
    disk = vm_object_allocate(vm, 2)
    vm_object_hold(disk)
    for pindex in range(2):
        swp_pager_meta_build(disk, pindex, swp_pager_getswapspace(vm))
    vm_object_drop(disk)
    vm.pager.device.bad_blocks.add(1)

    def user():
        m.check(
            swap_pager_read(disk, 0, 2).b_error == EIO, "what cannot be read is an error of input or output"
        )

    m.spawn(user)
    m.join()
    vm_object_deallocate(disk)
