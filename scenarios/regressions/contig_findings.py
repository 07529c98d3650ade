"""Findings in contiguous memory: the model does what vm_contig.c and vm_page.c do, step for step."""

from vmsmp import scenario
from vmsmp.scenarios._kit import end_of_file, file_object, give_pages, idle_pages, take_pages
from vmsmp.vm.subr_alist import ALIST_BLOCK_NONE, alist_alloc, alist_create, alist_free
from vmsmp.vm.vm_contig import (
    M_WAITOK,
    NO_RUN,
    vm_contig_pg_alloc,
    vm_contig_pg_clean,
    vm_contig_pg_free,
)
from vmsmp.vm.vm_meter import vmstats_rollup
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_deallocate
from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    VM_MEMATTR_DEFAULT,
    vm_page_alloc_contig,
    vm_page_busy_wait,
    vm_page_deactivate,
    vm_page_dirty,
    vm_page_free,
    vm_page_free_contig,
    vm_page_startup_finish,
    vm_page_wakeup,
)
from vmsmp.vm.vnode import vn_lock, vn_unlock

#: Another memory attribute than the default.
UNCACHEABLE = 1


def _dirty_file(vm):
    """Return a vnode and its object with a page that is dirty and inactive."""
    vp, obj = file_object(vm, 1)
    (page,) = idle_pages(vm, obj, [0])
    vm_page_busy_wait(page, True)
    vm_page_dirty(page)
    vm_page_deactivate(page)
    vm_page_wakeup(page)
    return vp, obj


def _run(vm, pages):
    """Ask for a run of pages anywhere in memory; return the index of its first one."""
    end = len(vm.page.vm_page_array) * PAGE_SIZE
    return vm_contig_pg_alloc(vm, pages * PAGE_SIZE, 0, end, PAGE_SIZE, 0, M_WAITOK)


@scenario(
    cpus=2,
    tags={"contig", "alloc", "finding"},
    fixed=True,
    schedule="v1:contig_gives_back_nothing:0:1.12>2,2.11>1,1.13>2",
)
def contig_gives_back_nothing(m):
    """Two requests for contiguous memory meet at one page, and the kernel panics.

    Both see a page that is free, idle and suitable.  One busies it.  The other's try fails, so it gives back
    the pages of the run that it has.  It has none, since this was the first one, and `vm_contig_pg_free`
    panics when it is to free nothing.  An allocation that has the page busied causes the same.
    Repair `contig-gives-back-something`: give back only if there is something.
    """
    vm = m.boot(pages=4, l2_size=1)

    def driver():
        start = _run(vm, 2)
        if start != NO_RUN:
            vm_contig_pg_free(vm, start, 2 * PAGE_SIZE)

    m.spawn(driver, name="driver")
    m.spawn(driver, name="other")
    m.join()


@scenario(
    cpus=1,
    tags={"contig", "finding"},
    fixed=True,
    schedule="v1:contig_cleans_one_colour:0:",
)
def contig_cleans_one_colour(m):
    """A run is not found though all pages but one of it are idle, clean and inactive.

    A search that finds no run makes room: it caches the clean pages of all inactive queues.  But the cleaning
    of a queue compares the type of each page's queue, an index without its colour, with the index of the
    queue that it cleans.  They are equal for colour 0 alone, so the pages of all other colours stay.
    Repair `contig-cleans-all-colours`: compare the queue itself.
    """
    vm = m.boot(pages=4, l2_size=2)
    for page in idle_pages(vm, vm_object_allocate(vm, 3), range(3)):
        vm_page_deactivate(page)
    vmstats_rollup(vm)

    def driver():
        start = _run(vm, 3)
        m.check(start != NO_RUN, "a run is found where pages can be cached")
        vm_contig_pg_free(vm, start, 3 * PAGE_SIZE)

    m.spawn(driver, name="driver")
    m.join()


@scenario(
    cpus=1,
    tags={"contig", "dma", "finding"},
    fixed=True,
    schedule="v1:driver_outlives_the_boot:0:",
)
def driver_outlives_the_boot(m):
    """A driver frees low memory that it allocated before the end of the boot, and the memory is lost.

    The end of the boot returns unused low pages to the free queues, and moves the bound
    `vm_low_phys_reserved` down to the last of them.  A driver has a run above that.  When it frees the run,
    the address is not below the bound, so the pages are freed one by one like ordinary ones; but they are
    fictitious, and `vm_page_free_toq` leaves such pages alone.  They are neither in the alist again nor on a
    free queue.
    If the bound moves during the driver's free, the kernel may panic instead: it reads the bound twice.
    Repair `free-contig-asks-the-page`: the page's flag says whether it is low.
    """
    vm = m.boot(pages=12, l2_size=1, low_pages=8, dma_pages=2)

    def driver():
        below, mine = (vm_page_alloc_contig(vm, 0, 0, 0, 0, 4 * PAGE_SIZE) for _ in range(2))
        vm_page_free_contig(below, 4 * PAGE_SIZE)
        vm_page_startup_finish(vm)
        vm_page_free_contig(mine, 4 * PAGE_SIZE)

    m.spawn(driver, name="driver")
    m.join()


@scenario(
    cpus=1,
    tags={"contig", "dma", "finding"},
    fixed=True,
    schedule="v1:low_run_is_not_aligned:0:",
)
def low_run_is_not_aligned(m):
    """A driver asks for a page aligned to 16 KB, and gets one that is not aligned.

    Every request for contiguous memory goes to the low pages first.  `vm_page_alloc_contig` computes the
    alignment in pages, but asks the alist for the length alone, which aligns a run only to its length.  It
    also ignores the lowest address that the driver may use.  The search through the page array does both.
    Repair `low-run-is-aligned`: ask for as much as the alignment, and give back the rest.
    """
    vm = m.boot(pages=12, l2_size=1, low_pages=8, dma_pages=8)

    def driver():
        first = vm_contig_pg_alloc(vm, PAGE_SIZE, 0, 1 << 20, PAGE_SIZE, 0, M_WAITOK)
        second = vm_contig_pg_alloc(vm, PAGE_SIZE, 0, 1 << 20, 4 * PAGE_SIZE, 0, M_WAITOK)
        m.check(second % 4 == 0, "contiguous memory is aligned as was asked for")
        for start in (first, second):
            vm_contig_pg_free(vm, start, PAGE_SIZE)

    m.spawn(driver, name="driver")
    m.join()


@scenario(
    cpus=2,
    tags={"contig", "vnode", "finding"},
    fixed=True,
    schedule="v1:contig_cleans_a_revoked_file:0:1.9>2",
)
def contig_cleans_a_revoked_file(m):
    """A file is reclaimed while its pages are to make room for contiguous memory, and the kernel faults.

    `vm_contig_pg_clean` meets a dirty page of a file, drops its busy, and locks the object's vnode, to write
    the whole file out.  It has no reference to the vnode, and loses the object's token in that wait.
    Meanwhile the CPU that has the vnode locked separates it from the object.  Then the cleaning unlocks the
    object's vnode, which is NULL; the vnode itself stays locked for ever, if it still exists.
    Repair `contig-references-the-vnode`: reference and lock it as the pagedaemon does, and unlock that one.
    """
    vm = m.boot(pages=4, l2_size=1, object_hash=1)
    vp, obj = _dirty_file(vm)
    m.spawn(vm_contig_pg_clean, vm, vm.page.PQ_INACTIVE, 1, name="cleaner")
    m.spawn(end_of_file, vp, name="revoker")
    m.join()
    vm_object_deallocate(obj)


@scenario(
    cpus=1,
    tags={"contig", "vnode", "finding"},
    fixed=True,
    schedule="v1:contig_cleans_its_own_file:0:",
)
def contig_cleans_its_own_file(m):
    """A thread that has a vnode locked asks for contiguous memory, and the kernel panics.

    `vm_contig_pg_clean` locks the vnode of any dirty page that it meets, without a timeout, even if the
    thread itself has it locked.  The pagedaemon, which does the same, has no vnode locked when it begins, and
    waits only for a moment.
    Repair `contig-leaves-its-own-file`: leave a page whose vnode the thread has locked itself.
    """
    vm = m.boot(pages=4, l2_size=1, object_hash=1)
    vp, obj = _dirty_file(vm)

    def driver():
        vn_lock(vp)
        vm_contig_pg_clean(vm, vm.page.PQ_INACTIVE, 1)
        vn_unlock(vp)

    m.spawn(driver, name="driver")
    m.join()
    vm_object_deallocate(obj)
    end_of_file(vp)


@scenario(
    cpus=1,
    tags={"contig", "alist", "finding"},
    fixed=True,
    schedule="v1:search_hides_what_is_below:0:",
)
def search_hides_what_is_below(m):
    """A search of an alist from a middle block finds nothing, and then one from the first block fails, too.

    A leaf without a run of some length notes that in its hint, and is skipped from then on.  A search that
    begins inside the leaf has not seen the blocks before, so it must not change the hint.  `alst_leaf_alloc`
    means to test whether the search began before the leaf, but has by then reduced the start to a place
    within the leaf, which is less than the start of any leaf but the first.
    Repair `search-asks-where-it-began`: test before that.
    """
    vm = m.boot(pages=4, l2_size=1)

    def user():
        bl = alist_create(vm, 64)
        alist_free(bl, 32, 8)
        m.check(alist_alloc(bl, 40, 1) == ALIST_BLOCK_NONE, "nothing is free from there on")
        m.check(alist_alloc(bl, 0, 1) == 32, "what is free is found")

    m.spawn(user, name="user")
    m.join()


@scenario(
    cpus=1,
    tags={"contig", "alist", "finding"},
    fixed=True,
    schedule="v1:whole_alist_cannot_be_had:0:",
)
def whole_alist_cannot_be_had(m):
    """All blocks of an alist are free, but they cannot be allocated in one piece.

    `alist_alloc` searches its tree only for less than the tree covers.  An alist as long as its tree (32
    blocks, 512, 8192 and so on) refuses its whole length, and lengths rounded up to it, as 300 of 512.
    Repair `alist-gives-all`: only a length beyond the tree's is refused.
    """
    vm = m.boot(pages=4, l2_size=1)

    def user():
        bl = alist_create(vm, 512)
        alist_free(bl, 0, 512)
        m.check(alist_alloc(bl, 0, 300) == 0, "a run is found while all blocks are free")

    m.spawn(user, name="user")
    m.join()


@scenario(
    cpus=2,
    tags={"contig", "queue", "finding"},
    fixed=True,
    schedule="v1:contig_locks_a_marker_that_is_gone:16:1.4>2,2.5>1",
)
def contig_locks_a_marker_that_is_gone(m):
    """Two drivers have the same queue cleaned, and one writes to the other's stack.

    A scan keeps its place in a queue by a marker, which is on its stack.  `vm_contig_pg_clean` reads what is
    behind its own without a lock, and then locks that as a page, to see whether it still is the next one.
    It may be the marker of another scan, which has ended by then and is used for something else: a word of
    that is raised and lowered as if it were a lock, or waited for until it is free.
    The pagedaemon's scans lock the queue before they read.
    Repair `contig-passes-markers`: lock the queue to read, and go past a marker.
    """
    vm = m.boot(pages=4, l2_size=1)
    for name in ("driver", "other"):
        m.spawn(vm_contig_pg_clean, vm, vm.page.PQ_INACTIVE, 4, name=name)
    m.join()


@scenario(
    cpus=1,
    tags={"contig", "dma", "finding"},
    fixed=True,
    schedule="v1:low_page_stays_uncached:0:",
)
def low_page_stays_uncached(m):
    """A driver frees a page that was not to be cached, and the next one has its memory uncached.

    `vm_page_alloc_contig` sets the memory attribute that a driver asks for, unless it is the default.  Nobody
    sets the default again when the page is freed.
    Repair `low-pages-are-cached-again`: set what was asked for, whatever it is.
    """
    vm = m.boot(pages=12, l2_size=1, low_pages=8, dma_pages=8)

    def driver():
        page = vm_page_alloc_contig(vm, 0, 0, 0, 0, PAGE_SIZE, UNCACHEABLE)
        vm_page_free_contig(page, PAGE_SIZE)
        page = vm_page_alloc_contig(vm, 0, 0, 0, 0, PAGE_SIZE)
        m.check(page.pat_mode == VM_MEMATTR_DEFAULT, "memory has the attribute that was asked for")
        vm_page_free_contig(page, PAGE_SIZE)

    m.spawn(driver, name="driver")
    m.join()


@scenario(
    cpus=1, tags={"contig", "panic", "finding"}, fixed=True, schedule="v1:contig_looks_behind_the_array:0:"
)
def contig_looks_behind_the_array(m):
    """A driver that may have its memory anywhere asks for two pages as the last one alone is free: a panic.

    `vm_contig_pg_alloc` takes a page that is free for the first one of a run if the run ends before the
    highest address that was asked for, which may be far behind the end of memory.  Then it looks at the pages
    behind in `vm_page_array`, and does not ask where that ends: it reads whatever is there.
    Repair `contig-ends-with-the-array`: a run that does not end within the array is none.
    """
    vm = m.boot(pages=4, l2_size=1)
    *others, last = sorted(take_pages(vm, 4), key=lambda page: page.phys)
    vm_page_free(last)

    def driver():
        start = vm_contig_pg_alloc(vm, 2 * PAGE_SIZE, 0, 1 << 32, PAGE_SIZE, 0, M_WAITOK)
        m.check(start == NO_RUN, "one page is no run of two")

    m.spawn(driver, name="driver")
    m.join()
    give_pages(others)
