"""The busy protocol: hard and soft busies under handoff, waiting, lookup and rename."""

from vmsmp import scenario
from vmsmp.scenarios._kit import enter_hash, idle_pages
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_drop, vm_object_hold, vm_object_hold_shared
from vmsmp.vm.vm_page import (
    HARD,
    PBUSY_SWAPINPROG,
    PG_MAPPEDMULTI,
    vm_page_busy_try,
    vm_page_busy_wait,
    vm_page_cache,
    vm_page_flash,
    vm_page_hash_enter,
    vm_page_hash_get,
    vm_page_insert,
    vm_page_io_finish,
    vm_page_io_start,
    vm_page_lookup,
    vm_page_lookup_busy_try,
    vm_page_lookup_busy_wait,
    vm_page_lookup_sbusy_try,
    vm_page_protect,
    vm_page_remove,
    vm_page_rename,
    vm_page_sbusy_drop,
    vm_page_sbusy_hold,
    vm_page_sbusy_try,
    vm_page_set_invalid,
    vm_page_set_valid,
    vm_page_sleep_busy,
    vm_page_wakeup,
)


@scenario(cpus=3, tags={"page", "busy"})
def busy_handoff(m):
    """Three CPUs hand one page's hard busy around; no CPU may be left asleep."""
    vm = m.boot(pages=4, l2_size=1)
    (page,) = idle_pages(vm, vm_object_allocate(vm, 1), [0])
    turns = m.cell(0, name="turns")

    def worker():
        vm_page_busy_wait(page, False)
        turns.store(turns.load() + 1)
        vm_page_wakeup(page)

    for _ in range(m.ncpus):
        m.spawn(worker)
    m.join()
    m.check(turns.load() == m.ncpus, "the hard busy excludes")


@scenario(cpus=2, tags={"page", "busy"})
def busy_soft_against_hard(m):
    """A soft busy keeps a CPU that wants the page alone waiting, and its drop wakes that CPU."""
    vm = m.boot(pages=4, l2_size=1)
    (page,) = idle_pages(vm, vm_object_allocate(vm, 1), [0])

    def reader():
        for _ in m.rounds(2):
            if not vm_page_sbusy_try(page):
                vm_page_sbusy_drop(page)

    def owner():
        for _ in m.rounds(2):
            vm_page_busy_wait(page, True)
            vm_page_wakeup(page)

    for n in range(m.ncpus):
        m.spawn(reader if n == 0 else owner)
    m.join()


@scenario(cpus=4, tags={"page", "busy"})
def busy_storm(m):
    """Each CPU draws operations on two pages: busy, soft busy, wait, try, I/O."""
    vm = m.boot(pages=4, l2_size=1)
    pages = idle_pages(vm, vm_object_allocate(vm, 2), [0, 1])

    def wait_alone(page):
        vm_page_busy_wait(page, True)
        vm_page_wakeup(page)

    def wait(page):
        vm_page_busy_wait(page, False)
        vm_page_wakeup(page)

    def attempt(page):
        if not vm_page_busy_try(page, bool(m.choose(2))):
            vm_page_wakeup(page)

    def share(page):
        if not vm_page_sbusy_try(page):
            vm_page_sbusy_hold(page)
            vm_page_sbusy_drop(page)
            vm_page_sbusy_drop(page)

    def look_on(page):
        vm_page_sleep_busy(page, bool(m.choose(2)))

    def write_out(page):
        vm_page_busy_wait(page, True)
        vm_page_io_start(page)
        vm_page_wakeup(page)
        vm_page_busy_wait(page, False)
        vm_page_io_finish(page)
        vm_page_wakeup(page)

    deeds = [wait_alone, wait, attempt, share, look_on, write_out]

    def worker():
        for _ in m.rounds(2):
            deeds[m.choose(len(deeds))](pages[m.choose(2)])

    for _ in range(m.ncpus):
        m.spawn(worker)
    m.join()


@scenario(cpus=3, tags={"page", "busy"}, fixed=True)
def busy_asynchronous_io(m):
    """One CPU starts a read and a write, another finishes them, and the third waits for the pages."""
    vm = m.boot(pages=6, l2_size=1)
    obj = vm_object_allocate(vm, 2)
    written, read = idle_pages(vm, obj, [0, 1])
    device = m.semaphore(0, name="device")
    requests = []

    def write_out():
        vm_page_busy_wait(written, True)
        vm_page_io_start(written)
        vm_page_wakeup(written)
        requests.append(end_of_write)
        device.release()

    def end_of_write():
        vm_page_busy_wait(written, False)
        vm_page_io_finish(written)
        vm_page_wakeup(written)

    def read_in():
        vm_page_busy_wait(read, True)
        vm_page_set_invalid(read, 0, 4096)
        read.handed(HARD)
        requests.append(end_of_read)
        device.release()

    def end_of_read():
        read.taken_over(HARD)
        vm_page_set_valid(read, 0, 4096)
        vm_page_wakeup(read)

    def starter():
        starts = (write_out, read_in)
        first = m.choose(2)
        starts[first]()
        starts[1 - first]()

    def biodone():
        for _ in range(2):
            device.acquire()
            requests.pop(0)()

    def user():
        for page in (written, read):
            vm_page_busy_wait(page, True)
            m.check(page.valid == 0xFF, "who gets the page gets it valid")
            vm_page_wakeup(page)

    for role in (starter, biodone, user):
        m.spawn(role)
    m.join()


@scenario(cpus=3, tags={"page", "lookup"})
def lookup_against_rename(m):
    """A page moves to another object while others look it up in both; no lookup gets the wrong page."""
    vm = m.boot(pages=6, l2_size=1)
    here, there = vm_object_allocate(vm, 4), vm_object_allocate(vm, 4)
    (page,) = idle_pages(vm, here, [0])
    if m.choose(2):
        vm_page_busy_wait(page, True)
        vm_page_cache(page)

    def mover():
        vm_object_hold(here)
        found, busy = vm_page_lookup_busy_try(here, 0, True)
        vm_object_drop(here)
        if found is None or busy:
            return
        vm_object_hold(here)
        vm_object_hold(there)
        if vm_page_lookup(there, 0) is None:
            vm_page_rename(found, there, 0)
        vm_page_wakeup(found)
        vm_object_drop(there)
        vm_object_drop(here)

    def finder(obj):
        vm_object_hold_shared(obj)
        found = vm_page_lookup_busy_wait(obj, 0, bool(m.choose(2)))
        if found is not None:
            m.check(found.object is obj and found.pindex == 0, "the lookup's page is the object's")
            vm_page_wakeup(found)
        vm_object_drop(obj)

    def reader(obj):
        vm_object_hold_shared(obj)
        found = vm_page_lookup_sbusy_try(obj, 0)
        vm_object_drop(obj)
        if found is not None:
            m.check(found.valid, "a page found for reading is valid")
            vm_page_sbusy_drop(found)

    m.spawn(mover)
    for _ in range(1, m.ncpus):
        m.spawn((finder, reader)[m.choose(2)], (here, there)[m.choose(2)])
    m.join()


@scenario(cpus=3, tags={"page", "lookup", "busy"})
def lookup_during_swapin(m):
    """A page is read from swap; CPUs that want it idle wait until the read is over."""
    vm = m.boot(pages=4, l2_size=1)
    obj = vm_object_allocate(vm, 2)
    (page,) = idle_pages(vm, obj, [0])

    def pager():
        vm_page_busy_wait(page, True)
        page.busy_count.setbits(PBUSY_SWAPINPROG)
        vm_page_wakeup(page)
        page.busy_count.clearbits(PBUSY_SWAPINPROG)
        vm_page_flash(page)

    def finder():
        vm_object_hold_shared(obj)
        found = vm_page_lookup_busy_wait(obj, 0, True)
        vm_object_drop(obj)
        vm_page_wakeup(found)

    for n in range(m.ncpus):
        m.spawn(pager if n == 0 else finder)
    m.join()


@scenario(cpus=3, tags={"page", "lookup"})
def lookup_against_invalidate(m):
    """A page is invalidated while a reader looks it up: the reader gets a valid page or none."""
    vm = m.boot(pages=4, l2_size=1)
    obj = vm_object_allocate(vm, 2)
    idle_pages(vm, obj, [0])

    def truncate():
        vm_object_hold_shared(obj)
        page = vm_page_lookup_busy_wait(obj, 0, True)
        vm_page_protect(page, 0)
        vm_page_set_invalid(page, 0, 4096)
        vm_page_wakeup(page)
        vm_object_drop(obj)

    def reader():
        for _ in m.rounds(2):
            vm_object_hold_shared(obj)
            page = vm_page_lookup_sbusy_try(obj, 0)
            vm_object_drop(obj)
            if page is not None:
                m.check(page.valid == 0xFF, "a page found for reading is valid")
                vm_page_sbusy_drop(page)

    m.spawn(truncate)
    for _ in range(1, m.ncpus):
        m.spawn(reader)
    m.join()


@scenario(cpus=3, tags={"page", "hash", "lookup"})
def hash_against_rename(m):
    """A page moves between two objects again and again, and readers look for it in the page hash."""
    vm = m.boot(pages=4, l2_size=1, hash_size=1)
    objects = [vm_object_allocate(vm, 4), vm_object_allocate(vm, 4)]
    (page,) = idle_pages(vm, objects[0], [0], PG_MAPPEDMULTI)
    enter_hash(page)
    over = m.cell(False, name="over", sloppy="a reader that misses it looks once more")

    def mover():
        for obj in objects:  # hold throughout, so that each operation on the page is short
            vm_object_hold(obj)
        for turn in m.rounds(8):
            vm_page_busy_wait(page, True)
            vm_page_rename(page, objects[(turn + 1) % 2], 0)
            if turn < 2:
                vm_page_hash_enter(page)
            vm_page_wakeup(page)
        for obj in reversed(objects):
            vm_object_drop(obj)
        over.store(True)

    def reader(obj):
        for _ in m.rounds(24):
            if over.load():
                return
            found = vm_page_hash_get(vm, obj, 0)
            if found is not None:
                m.check(found.object is obj, "the hash's page is the object's")
                vm_page_sbusy_drop(found)

    m.spawn(mover)
    for n in range(1, m.ncpus):
        m.spawn(reader, objects[n % 2])
    m.join()


@scenario(cpus=3, tags={"page", "hash", "lookup"})
def hash_against_remove(m):
    """A page is removed and inserted, again and again, while its entry stays in the page hash."""
    vm = m.boot(pages=4, l2_size=1, hash_size=1, hash_set=1)
    obj = vm_object_allocate(vm, 4)
    (page,) = idle_pages(vm, obj, [0], PG_MAPPEDMULTI)
    enter_hash(page)

    def mover():
        vm_object_hold(obj)
        for _ in m.rounds(20):
            vm_page_busy_wait(page, True)
            vm_page_remove(page)
            vm_page_wakeup(page)
            vm_page_busy_wait(page, True)
            vm_page_insert(page, obj, 0)
            vm_page_wakeup(page)
        vm_object_drop(obj)

    def reader():
        for _ in m.rounds(140 // (m.ncpus - 1)):
            found = vm_page_hash_get(vm, obj, 0)
            if found is not None:
                m.check(found.object is obj, "the hash's page is the object's")
                vm_page_sbusy_drop(found)

    m.spawn(mover)
    for _ in range(1, m.ncpus):
        m.spawn(reader)
    m.join()
