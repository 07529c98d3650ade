"""Findings in the swap cache and in buffers: the model does what vm_swapcache.c and vfs_bio.c do."""

from vmsmp import scenario
from vmsmp.scenarios._kit import busied, contents, end_of_file, file_object, forget_file, idle_pages
from vmsmp.vm.vfs_bio import bdwrite, bread, brelse, bwrite, getblk
from vmsmp.vm.vm_object import (
    OBJPC_SYNC,
    vm_object_allocate,
    vm_object_deallocate,
    vm_object_drop,
    vm_object_hold,
)
from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    VM_PAGE_BITS_ALL,
    vm_page_busy_wait,
    vm_page_deactivate,
    vm_page_dirty,
    vm_page_try_to_free,
    vm_page_undirty,
    vm_page_wakeup,
)
from vmsmp.vm.vm_pageout import vm_pageout_flush
from vmsmp.vm.vm_pager import (
    swap_pager_strategy,
    swap_pager_unswapped,
    swp_pager_fault_page,
    swp_pager_freeswapspace,
    swp_pager_getswapspace,
)
from vmsmp.vm.vm_swapcache import (
    Marker,
    vm_swapcache_cleaning,
    vm_swapcache_pass,
    vm_swapcache_writing,
)


def cached_file(vm, pages):
    """Return a vnode and its object; the pages that are read from it are in swap, and not in memory."""
    vm.pager.vm_swapcache_read_enable = 1
    vp, obj = file_object(vm, pages, range(pages))
    resident = [obj.raw_rb_memq.get(pindex) for pindex in range(pages)]
    for page in resident:
        vm.memory.store(page.phys, 0, "contents")
        vp.contents[page.pindex] = vm.memory.read_pieces(page.phys)
        busied(page, vm_page_deactivate)
    vm_swapcache_writing(resident[0])
    for page in resident:
        vm_page_try_to_free(page)
    return vp, obj


def use_swap(vm):
    """Take a block of swap, and give it back."""
    swp_pager_freeswapspace(vm, swp_pager_getswapspace(vm))


def read(m, vp, pindex, expected="contents"):
    """Check what a process reads from a page of a file."""
    bp = bread(vp, pindex)
    m.check(contents(bp.page) == expected, "a file is read as it was written")
    brelse(bp)


@scenario(
    cpus=2,
    tags={"swap", "vnode", "write", "finding"},
    fixed=True,
    schedule="v1:swap_is_older_than_the_file:0:1.5>2,1.30>2",
)
def swap_is_older_than_the_file(m):
    """A page of a file goes to the swap cache while a process writes to the file, and the write is lost.

    The process has a buffer made of the page, which is only soft-busied, stores to it, and writes it to the
    file.  What is in swap is of no use from then on, so `vfs_busy_pages` has it freed: but it looks at
    PG_SWAPPED, which is set when the write to swap is over, whatever has become of the page meanwhile.
    The page goes, and who reads the file gets the older contents from swap.
    Repair `file-outdates-a-write-to-swap`: what is being written to swap then is freed when that is over.
    """
    vm = m.boot(pages=8, l2_size=1)
    vm.pager.vm_swapcache_read_enable = 1
    vp, obj = file_object(vm, 1, [0])
    page = obj.raw_rb_memq.get(0)
    busied(page, vm_page_deactivate)

    def writer():
        bp = bread(vp, 0)
        vm.memory.store(bp.page.phys, 0, "new")
        bwrite(bp)
        brelse(bp)

    m.spawn(vm_swapcache_writing, page, name="swapcached")
    m.spawn(writer)
    m.join()
    vm_page_try_to_free(page)
    m.spawn(read, m, vp, 0, "new", name="reader")
    m.join()
    forget_file(vp, obj)


@scenario(
    cpus=2,
    tags={"swap", "vnode", "finding"},
    fixed=True,
    schedule="v1:page_keeps_the_mark_of_its_swap:0:1.42>2",
)
def page_keeps_the_mark_of_its_swap(m):
    """A file is read while swap is given up, and what is read is zero.

    A buffer is made of a page that is in swap, so the page is marked with PG_SWAPPED.  Before it is read
    `swapoff` comes to the page's swap, and has `vm_object_page_remove` remove the page together with that.
    The page is wired by the buffer: it stays, with its mark, and its swap goes.  `vn_cache_strategy` trusts
    the mark, and `swap_pager_strategy` takes what has no swap for zero.
    Repair `removal-takes-the-mark-off`: a page that loses its swap loses the mark.
    """
    vm = m.boot(pages=8, l2_size=1)
    vp, obj = cached_file(vm, 1)

    def swapoff():
        vm_object_hold(obj)
        swp_pager_fault_page(obj, 0)
        vm_object_drop(obj)

    m.spawn(read, m, vp, 0, name="reader")
    m.spawn(swapoff)
    m.join()
    forget_file(vp, obj)


@scenario(
    cpus=3,
    tags={"swap", "vnode", "finding"},
    fixed=True,
    schedule="v1:cache_is_emptied_under_a_new_page:0:1.4>3,3.2>1,2.51>3",
)
def cache_is_emptied_under_a_new_page(m):
    """A file is read while the swap cache is emptied, and what is read is zero.

    `swap_pager_condfree` frees the swap of pages that share a block of metadata if none of them is resident.
    It loses the object's token where a block is freed and another CPU has vm_token.  A page that is inserted
    meanwhile is marked with PG_SWAPPED if its swap has not been freed yet, and then it is: the page is read
    from swap, where nothing is any more.
    Repair `cache-is-emptied-at-once`: take vm_token before the pages are looked for.
    """
    vm = m.boot(pages=8, l2_size=1)
    vp, obj = cached_file(vm, 2)
    m.spawn(vm_swapcache_cleaning, obj, name="swapcached")
    m.spawn(read, m, vp, 1, name="reader")
    m.spawn(use_swap, vm, name="pager")
    m.join()
    forget_file(vp, obj)


@scenario(
    cpus=3,
    tags={"swap", "vnode", "panic", "finding"},
    fixed=True,
    schedule="v1:reclaim_meets_a_block_that_is_freed:0:1.4>3,3.2>1",
)
def reclaim_meets_a_block_that_is_freed(m):
    """A vnode is reclaimed while the swap cache is emptied, and the kernel panics.

    `swp_pager_meta_free` takes a page out of a block of metadata, frees its swap, and counts the page out.
    It may sleep for vm_token in between, and loses the object's token.  All swap of the file is freed then,
    and `swp_pager_meta_free_all` panics: the block still counts a page when none is left in it.
    Repair `swap-is-counted-as-it-goes`: take vm_token before the page is taken out.
    """
    vm = m.boot(pages=8, l2_size=1)
    vp, obj = cached_file(vm, 2)
    m.spawn(vm_swapcache_cleaning, obj, name="swapcached")
    m.spawn(end_of_file, vp, name="reclaimer")
    m.spawn(use_swap, vm, name="pager")
    m.join()
    vm_object_deallocate(obj)


@scenario(
    cpus=3,
    tags={"swap", "vnode", "write", "finding"},
    fixed=True,
    schedule="v1:block_is_freed_as_it_is_written:0:1.61>2,2.58>3",
)
def block_is_freed_as_it_is_written(m):
    """A page of a process is in swap, and an older write of a page of a file comes to the same block later.

    `vm_swapcached_flush` writes the pages around a page with it, also what is in swap already: such a page is
    given a new block and keeps its mark, PG_SWAPPED.  A process that writes it to the file meanwhile has its
    swap freed, as `vfs_busy_pages` finds the mark: that is the new block, to which the page is being written
    still.  The next page that is written to swap is given the block, and the two writes end in any order.
    Repair `cache-leaves-what-is-in-swap`: leave out pages that are in swap already.
    """
    vm = m.boot(pages=8, l2_size=1, swap_pages=4)
    vp, obj = file_object(vm, 2, [0, 1])
    pages = [obj.raw_rb_memq.get(n) for n in range(2)]
    busied(pages[0], vm_page_dirty)
    vm_swapcache_writing(pages[1])
    busied(pages[0], vm_page_undirty)
    private = vm_object_allocate(vm, 1)
    (page,) = idle_pages(vm, private, [0])
    vm.memory.store(page.phys, 0, "private")
    busied(page, vm_page_dirty)

    def writer():
        bp = bread(vp, 1)
        bwrite(bp)
        brelse(bp)

    def pageout():
        vm_page_busy_wait(page, True)
        vm_pageout_flush([page], OBJPC_SYNC)

    m.spawn(vm_swapcache_writing, pages[0], name="swapcached")
    m.spawn(writer)
    m.spawn(pageout)
    m.join()
    m.check(swap_pager_strategy(private, 0)[0] == "private", "what is in swap is what was written there")
    forget_file(vp, obj)
    vm_object_deallocate(private)


@scenario(
    cpus=2,
    tags={"swap", "vnode", "panic", "finding"},
    fixed=True,
    schedule="v1:discarded_buffer_does_not_busy_its_page:0:",
)
def discarded_buffer_does_not_busy_its_page(m):
    """A buffer is discarded while a process stores to its page, and the kernel panics.

    `brelse` makes the page of a buffer that is not to be used again (B_NOCACHE) invalid, and frees its swap.
    Both is for who has the page busied, and `brelse` has it wired only.  A fault that has the page busied
    frees its swap as well: `swap_pager_unswapped` looks at PG_SWAPPED, may sleep for the object's token, and
    insists that it is set still.
    Repair `discard-busies-the-page`: busy the page.
    """
    vm = m.boot(pages=8, l2_size=1)
    vp, obj = cached_file(vm, 1)
    brelse(bread(vp, 0))
    (page,) = obj.raw_rb_memq.values()

    def reader():
        brelse(bread(vp, 0), nocache=True)

    def fault():
        vm_page_busy_wait(page, True)
        vm_page_dirty(page)
        swap_pager_unswapped(page)
        vm_page_wakeup(page)

    m.spawn(reader)
    m.spawn(fault)
    m.join()
    forget_file(vp, obj)


@scenario(
    cpus=1,
    tags={"swap", "vnode", "finding"},
    fixed=True,
    schedule="v1:cleaning_stays_with_a_finished_file:0:",
)
def cleaning_stays_with_a_finished_file(m):
    """The swap cache is full, and a pass that is to empty it frees nothing, though half of it could go.

    `vm_swapcache_cleaning` goes on to the next object when `swap_pager_condfree` says that nothing was done,
    which it never does: it says one where it has come to the end.  A file of which the rest is resident costs
    a whole pass, a page at a time, and each pass is to be made ten times a second at most.
    Repair `cleaning-passes-finished-files`: go on when there is nothing behind the last index.
    """
    vm = m.boot(pages=8, l2_size=1)
    resident, other = (cached_file(vm, 1) for _ in range(2))
    brelse(bread(resident[0], 0))

    def swapcached():
        vm_swapcache_pass([resident[1], other[1]], Marker(), 64, 64 * PAGE_SIZE)
        m.check(not other[1].peek("swblock_count"), "a pass comes to what can be freed")

    m.spawn(swapcached)
    m.join()
    for vp, obj in (resident, other):
        forget_file(vp, obj)


@scenario(
    cpus=2,
    tags={"vnode", "write", "finding"},
    fixed=True,
    schedule="v1:delayed_write_changes_a_page_in_use:0:",
)
def delayed_write_changes_a_page_in_use(m):
    """One half of a page of a file is stored to while the other half is read, and that is invalid afterwards.

    Blocks of a file may be smaller than a page, so that a page has several buffers.  `bdwrite` notes that the
    block is valid, and clean for those that look at the page, without busying the page, as the kernel's own
    comment doubts is right: who has it busied, for the end of a read or for a fault, changes the same bits,
    and one of the two changes is lost.
    Repair `delayed-write-busies-the-page`: busy the page.
    """
    vm = m.boot(pages=8, l2_size=1)
    vp, obj = file_object(vm, 1)
    half = PAGE_SIZE // 2
    first, second = getblk(vp, 0, 0, half), getblk(vp, 0, half, half)
    page = first.page

    def writer():
        vm.memory.store(page.phys, 0, "new")
        bdwrite(first)

    def reader():
        brelse(bread(vp, 0, half, half))

    m.spawn(writer)
    m.spawn(reader)
    m.join()
    m.check(page.peek("valid") == VM_PAGE_BITS_ALL, "what was read, or stored to, is valid")
    for bp in (first, second):
        bwrite(bp)
        brelse(bp)
    forget_file(vp, obj)


@scenario(cpus=1, tags={"swap", "vnode", "finding"}, fixed=True, schedule="v1:file_fails_with_its_cache:0:")
def file_fails_with_its_cache(m):
    """A page of a file is in the swap cache, that cannot be read, and the file cannot be read.

    `vn_cache_strategy` has the page read from swap because it is faster.  The function that is called at the
    end, `vn_cache_strategy_callback`, passes on whatever has become of that: an error, though the file has
    the page, too.  The next read goes to the file, since `brelse` has the swap of a failed buffer freed.
    Repair `file-is-read-instead-of-its-cache`: read the file then.
    """
    vm = m.boot(pages=8, l2_size=1)
    vp, obj = cached_file(vm, 1)
    vm.pager.device.bad_blocks.update(obj.peek("swblock_root").values())

    def reader():
        bp = bread(vp, 0)
        m.check(not bp.failed, "a file is read that can be read")
        brelse(bp)

    m.spawn(reader)
    m.join()
    forget_file(vp, obj)
