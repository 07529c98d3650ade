"""One map, whose ranges several CPUs map, cut, protect, wire and remove."""

from vmsmp import scenario
from vmsmp.scenarios.vm_map._ranges import (
    ANON,
    anon_apart,
    at,
    map_at,
    map_somewhere,
    new_map,
    over,
    store,
    touch,
    unmap_all,
)
from vmsmp.vm.vm_map import (
    COWF_COPY_ON_WRITE,
    KERN_NO_SPACE,
    KERN_SUCCESS,
    MAP_RESERVE_COUNT,
    VM_INHERIT_COPY,
    VM_INHERIT_NONE,
    VM_INHERIT_SHARE,
    VM_PROT_NONE,
    VM_PROT_READ,
    VM_PROT_RW,
    VM_PROT_WRITE,
    vm_map_check_protection,
    vm_map_inherit,
    vm_map_lock,
    vm_map_lock_downgrade,
    vm_map_lock_read,
    vm_map_lock_read_to,
    vm_map_lock_read_try,
    vm_map_lock_upgrade,
    vm_map_lookup_entry,
    vm_map_protect,
    vm_map_remove,
    vm_map_unlock,
    vm_map_user_wiring,
)
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_deallocate, vm_object_reference_quick
from vmsmp.vm.vm_page import PAGE_SIZE
from vmsmp.vm.vm_pager import vnode_pager_alloc
from vmsmp.vm.vnode import VLASTWRITETS, getnewvnode, vclrflags, vn_lock, vn_unlock, vrele


@scenario(cpus=4, tags={"map", "storm"})
def map_storm(m):
    """CPUs map, cut, protect and remove overlapping ranges of one map; no entry is lost."""
    vm = m.boot(pages=12, l2_size=1)
    map = new_map(vm, 16)
    map_at(map, 2, 8)

    def worker():
        for _ in m.rounds(2):
            page, pages = 2 + m.choose(5), 1 + m.choose(3)
            deed = m.choose(5)
            if deed == 0:
                over(vm_map_remove, map, page, pages)
            elif deed == 1:
                map_at(map, page, pages)
            elif deed == 2:
                over(vm_map_protect, map, page, pages, VM_PROT_READ, False)
            elif deed == 3:
                over(vm_map_protect, map, page, pages, VM_PROT_RW, False)
            else:
                over(vm_map_inherit, map, page, pages, (VM_INHERIT_SHARE, VM_INHERIT_COPY)[m.choose(2)])

    for _ in range(m.ncpus):
        m.spawn(worker)
    m.join()
    unmap_all(m, map)


@scenario(cpus=4, tags={"map", "storm", "page"}, pages=8)
def map_storm_with_pages(m):
    """The same with pages that are mapped meanwhile, each of which a scan of backings could find."""
    vm = m.boot(pages=20, l2_size=1)
    map = new_map(vm, 16)
    map_at(map, 2, 6)

    def worker():
        for _ in m.rounds(2):
            page, pages = 2 + m.choose(5), 1 + m.choose(2)
            deed = m.choose(5)
            if deed == 0:
                over(vm_map_remove, map, page, pages)
            elif deed == 1:
                map_at(map, page, pages)
            elif deed == 2:
                over(vm_map_protect, map, page, pages, (VM_PROT_READ, VM_PROT_RW)[m.choose(2)], False)
            else:
                touch(map, page, VM_PROT_RW)
                store(map, page)

    for _ in range(m.ncpus):
        m.spawn(worker)
    m.join()
    unmap_all(m, map)


@scenario(cpus=3, tags={"map", "find"})
def find_against_find(m):
    """CPUs look for room at once in a map that has just enough: each finds its own."""
    vm = m.boot(pages=8, l2_size=1)
    each = len(m.rounds(2))
    map = new_map(vm, 2 * each * m.ncpus)
    found = m.atomic((), name="found")

    def finder(n):
        what = anon_apart(n)
        for _ in range(each):
            code, address = map_somewhere(map, 2, what)
            m.check(code == KERN_SUCCESS, "there is room for everybody")
            found.rmw(lambda before, address=address: (*before, address))

    for n in range(m.ncpus):
        m.spawn(finder, n)
    m.join()
    addresses = sorted(found.load())
    m.check(addresses == [at(2 * n) for n in range(each * m.ncpus)], "each range is somebody's, once")
    m.check(map_somewhere(map, 1)[0] == KERN_NO_SPACE, "and then there is no room left")
    unmap_all(m, map)
    again = [map_somewhere(map, 2)[1] for _ in addresses]
    m.check(sorted(again) == addresses, "all room can be found again")


@scenario(cpus=3, tags={"map", "find"})
def find_against_remove(m):
    """CPUs map and remove ranges of several sizes and alignments; every hole can be found again."""
    vm = m.boot(pages=8, l2_size=1)
    map = new_map(vm, 8 * m.ncpus)

    def user(n):
        pages = 1 + n % 2
        for turn in m.rounds(3):
            code, address = map_somewhere(map, pages, anon_apart(n), PAGE_SIZE << turn % 2)
            m.check(code == KERN_SUCCESS, "there is room")
            vm_map_remove(map, address, address + pages * PAGE_SIZE)

    for n in range(m.ncpus):
        m.spawn(user, n)
    m.join()
    m.check(not map.peek("nentries"), "everything that was mapped was removed")


@scenario(cpus=3, tags={"map", "page", "protect"}, pages=6)
def protect_against_stores(m):
    """A range becomes read-only and writeable again while its process writes: only when it is writeable."""
    vm = m.boot(pages=12, l2_size=1)
    map = new_map(vm, 8)
    map_at(map, 0, 1)
    map_at(map, 1, 3)

    def protector():
        for _ in m.rounds(2):
            over(vm_map_protect, map, 2, 1, VM_PROT_READ, False)
            m.check(not store(map, 2), "a page that was made read-only is not written")
            over(vm_map_protect, map, 2, 1, VM_PROT_RW, False)

    def writer(n):
        for turn in m.rounds(2):
            touch(map, 1 + (n + turn) % 3, VM_PROT_READ)
            touch(map, 2, VM_PROT_WRITE)
            store(map, 2)

    for n in range(m.ncpus):
        m.spawn(*((protector,) if n == 0 else (writer, n)))
    m.join()
    unmap_all(m, map)


@scenario(cpus=3, tags={"map", "page", "delete"}, pages=6)
def remove_against_faults(m):
    """Ranges with pages are removed and mapped again while a process uses them; no page stays mapped."""
    vm = m.boot(pages=12, l2_size=1)
    map = new_map(vm, 8)
    map_at(map, 1, 4)

    def remover(n):
        for turn in m.rounds(2):
            over(vm_map_remove, map, 1 + (n + turn) % 3, 2)
            map_at(map, 1 + (n + turn) % 3, 2)

    def process():
        for turn in m.rounds(3):
            if touch(map, 1 + turn, VM_PROT_RW):
                store(map, 1 + turn)

    for n in range(m.ncpus):
        m.spawn(*((process,) if n % 2 else (remover, n)))
    m.join()
    unmap_all(m, map)


@scenario(cpus=4, tags={"map", "transition"}, pages=9)
def wirings_against_changes(m):
    """Ranges are wired, with the map unlocked meanwhile, while others cut, protect and remove them."""
    vm = m.boot(pages=12, l2_size=1)
    map = new_map(vm, 12)
    map_at(map, 0, 1)
    map_at(map, 1, 6)

    def wirer(page, pages):
        over(vm_map_user_wiring, map, page, pages, False)
        over(vm_map_user_wiring, map, page, pages, True)

    def protector():
        for page in m.rounds(2):
            over(vm_map_protect, map, 2 + 2 * page, 2, VM_PROT_READ, False)
            over(vm_map_protect, map, 2 + 2 * page, 2, VM_PROT_RW, False)

    def remover():
        over(vm_map_remove, map, 3 + m.choose(2), 2)

    for n in range(m.ncpus):
        m.spawn(*((wirer, 1, 5), (protector,), (wirer, 4, 3), (remover,))[n % 4])
    m.join()
    unmap_all(m, map)


@scenario(cpus=4, tags={"map", "transition"}, pages=6)
def wirings_of_one_range(m):
    """CPUs wire, unwire and remove the same range: each waits for the one in transition."""
    vm = m.boot(pages=8, l2_size=1)
    map = new_map(vm, 8)
    map_at(map, 0, 1)
    map_at(map, 1, 2)

    def wirer():
        over(vm_map_user_wiring, map, 1, 2, False)

    def remover():
        over(vm_map_remove, map, 1, 2)
        map_at(map, 1, 2)

    for n in range(m.ncpus):
        m.spawn(remover if n % 2 else wirer)
    m.join()
    unmap_all(m, map)


@scenario(cpus=3, tags={"map", "lock"})
def versions_of_a_map(m):
    """A CPU that reads a map twice with the same timestamp finds the same entries."""
    vm = m.boot(pages=8, l2_size=1)
    map = new_map(vm, 8)
    map_at(map, 0, 1)
    map_at(map, 1, 4)

    def picture():
        entries = [*map.rb_root]
        return map.timestamp, [(entry.ba.start, entry.ba.end, entry.protection) for entry in entries]

    def reader():
        seen = None
        for _ in m.rounds(3):
            vm_map_lock_read(map)
            now = picture()
            vm_map_unlock(map)
            m.check(seen is None or seen[0] != now[0] or seen == now, "a timestamp stands for one state")
            seen = now

    def upgrader():
        for turn in m.rounds(2):
            vm_map_lock_read(map)
            if vm_map_lock_upgrade(map):
                continue  # another CPU is upgrading already, and the lock is lost
            _, entry = vm_map_lookup_entry(map, at(1))
            entry.protection = (VM_PROT_NONE, VM_PROT_READ)[turn % 2]
            vm_map_lock_downgrade(map)
            m.check(entry.protection in (VM_PROT_NONE, VM_PROT_READ), "a downgrade lets nobody in between")
            vm_map_unlock(map)

    def changer():
        for _ in m.rounds(1):
            over(vm_map_protect, map, 3, 1, VM_PROT_READ, False)

    for n in range(m.ncpus):
        m.spawn((reader, upgrader, changer)[n % 3])
    m.join()
    unmap_all(m, map)


@scenario(cpus=3, tags={"map", "lock"})
def map_readers_that_do_not_wait(m):
    """Readers that try, or wait for a tenth of a second at most, meet CPUs that change the map."""
    vm = m.boot(pages=8, l2_size=1)
    map = new_map(vm, 8)
    map_at(map, 1, 2)

    def reader(lock):
        for _ in m.rounds(2):
            if lock(map) == 0:
                m.check(vm_map_check_protection(map, at(1), at(3), VM_PROT_READ, True), "nothing was removed")
                vm_map_unlock(map)

    def writer():
        for _ in m.rounds(2):
            vm_map_lock(map)
            m.yield_()
            vm_map_unlock(map)

    for n in range(m.ncpus):
        m.spawn(*((writer,), (reader, vm_map_lock_read_try), (reader, vm_map_lock_read_to))[n % 3])
    m.join()
    unmap_all(m, map)


@scenario(cpus=2, tags={"map", "lock"})
def map_readers_are_refused(m):
    """While a map is locked for good, readers that try, or wait for a tenth of a second at most, give up."""
    vm = m.boot(pages=8, l2_size=1)
    map = new_map(vm, 8)

    def reader(lock):
        m.check(lock(map) != 0, "a map that is locked cannot be had")

    vm_map_lock(map)
    for n in range(m.ncpus):
        m.spawn(reader, (vm_map_lock_read_try, vm_map_lock_read_to)[n % 2])
    m.join()
    vm_map_unlock(map)


@scenario(cpus=3, tags={"map", "object"}, pages=11)
def maps_of_one_object(m):
    """Several maps map one object, and cut and remove their entries: its list has all of them."""
    vm = m.boot(pages=8 + 4 * m.ncpus, l2_size=1)
    obj = vm_object_allocate(vm, 4)
    maps = [new_map(vm, 8) for _ in range(m.ncpus)]

    def user(map):
        vm_object_reference_quick(obj)
        map_at(map, 0, 1)
        code = map_at(map, 2, 4, ANON._replace(object=obj))
        m.check(code == KERN_SUCCESS, "there is room")
        for page in m.rounds(2):
            touch(map, 3 + page, VM_PROT_READ)
        over(vm_map_inherit, map, 3, 1, VM_INHERIT_NONE)
        over(vm_map_remove, map, 4, 1)
        unmap_all(m, map)

    for map in maps:
        m.spawn(user, map)
    m.join()
    m.check(not obj.peek("backing_list") and obj.peek("ref_count") == 1, "nobody has the object any more")
    vm_object_deallocate(obj)


@scenario(cpus=3, tags={"map", "insert", "object"}, pages=10)
def memory_grows_and_shrinks(m):
    """Anonymous memory is extended, shrunk and extended again; the old contents are gone."""
    vm = m.boot(pages=3 * m.ncpus + 12, l2_size=1)
    map = new_map(vm, 4 * m.ncpus)

    def process(n):
        first = 4 * n + 1
        what = anon_apart(n)
        map_at(map, first, 1, what)
        touch(map, first, VM_PROT_RW)
        for _ in m.rounds(2):
            map_at(map, first + 1, 1, what)
            m.check(not store(map, first + 1), "new memory is not mapped yet")
            touch(map, first + 1, VM_PROT_RW)
            store(map, first + 1)
            over(vm_map_remove, map, first + 1, 1)

    for n in range(m.ncpus):
        m.spawn(process, n)
    m.join()
    unmap_all(m, map)


def _give_entries_back(vm):
    """Unmap the memory that entries were made of, since references must balance."""
    kernel = vm.map.kernel_map
    vm_map_remove(kernel, kernel.min_addr, kernel.max_addr)


@scenario(cpus=3, tags={"map", "entries"})
def entries_run_out(m):
    """CPUs run out of map entries at once; more are made, which itself needs some that are kept for it."""
    vm = m.boot(
        pages=8, l2_size=1, map_entry_cache=(24, 8), map_entries=0, map_reserve_slop=10, map_reserve_hyst=6
    )
    map = new_map(vm, 8 * m.ncpus)

    def user(n):
        what = anon_apart(n)
        for page in m.rounds(3):
            map_at(map, 8 * n + 2 * page, 1, what)
        over(vm_map_protect, map, 8 * n, 8, VM_PROT_READ, False)
        over(vm_map_remove, map, 8 * n, 8)

    for n in range(m.ncpus):
        m.spawn(user, n)
    m.join()
    m.check(not map.peek("nentries"), "everything that was mapped was removed")
    _give_entries_back(vm)
    m.check(vm.map.mapentzone.zfreecnt >= 0 and MAP_RESERVE_COUNT == 4, "the zone is not overdrawn")


@scenario(cpus=3, tags={"map", "entries"})
def entries_of_the_kernel_map(m):
    """Entries run out while the kernel's own map is used, which is where more of them come from."""
    vm = m.boot(pages=12, l2_size=1, map_entries=0)
    map = vm.map.kernel_map

    def user(n):
        what = anon_apart(n)
        for _ in m.rounds(2):
            code, address = map_somewhere(map, 3, what)
            m.check(code == KERN_SUCCESS, "there is room")
            vm_map_protect(map, address + PAGE_SIZE, address + 2 * PAGE_SIZE, VM_PROT_READ, False)
            vm_map_remove(map, address, address + 3 * PAGE_SIZE)

    for n in range(m.ncpus):
        m.spawn(user, n)
    m.join()
    _give_entries_back(vm)


@scenario(cpus=3, tags={"map", "protect", "vnode"}, pages=6)
def files_written_and_protected(m):
    """A mapped file is made writeable while another CPU has its vnode locked and faults in the same map."""
    vm = m.boot(pages=12, l2_size=1)
    map = new_map(vm, 12)
    vp = getnewvnode(vm, "file")
    obj = vnode_pager_alloc(vp, 4 * PAGE_SIZE)
    map_at(map, 1, 2)
    map_at(map, 4, 4, ANON._replace(object=obj, prot=VM_PROT_READ))
    vm_object_reference_quick(obj)
    map_at(map, 8, 2, ANON._replace(object=obj, prot=VM_PROT_READ, cow=COWF_COPY_ON_WRITE))

    def writer():
        for turn in m.rounds(2):
            vn_lock(vp)
            touch(map, 1 + turn, VM_PROT_READ)  # the data to write comes from the process
            vn_unlock(vp)

    def protector(n):
        over(vm_map_protect, map, 4 + n % 3, 2, VM_PROT_RW, False)
        over(vm_map_protect, map, 4 + n % 3, 2, VM_PROT_READ, False)

    for n in range(m.ncpus):
        m.spawn(*((writer,) if n == 0 else (protector, n)))
    m.join()

    def noted(page, prot):
        """Give pages these rights; return whether the file's write was noted, and its time."""
        vn_lock(vp)
        vp.v_lastwrite_ts = -1
        vclrflags(vp, VLASTWRITETS)
        vn_unlock(vp)
        began = vm.machine.ticks
        over(vm_map_protect, map, page, 2, prot, False)
        m.check(vp.v_lock.state() == free, "nobody keeps the file locked")
        stamped = began <= vp.peek("v_lastwrite_ts") <= vm.machine.ticks
        return (bool(vp.v_flag.load() & VLASTWRITETS), stamped)

    free = vp.v_lock.state()
    m.check(noted(4, VM_PROT_RW) == (True, True), "a file may be written from now on")
    m.check(noted(4, VM_PROT_READ) == (False, False), "who may read a file does not write it")
    m.check(noted(8, VM_PROT_RW) == (False, False), "nor does who has a copy")
    m.check(noted(1, VM_PROT_RW) == (False, False), "nor does memory")
    unmap_all(m, map)
    vrele(vp)


@scenario(cpus=3, tags={"map", "object", "page"}, pages=9)
def private_copies(m):
    """Processes read and write private copies of one file, and parts are protected and removed."""
    vm = m.boot(pages=28, l2_size=1)
    obj = vm_object_allocate(vm, 3)
    map = new_map(vm, 8)
    map_at(map, 0, 1)
    vm_object_reference_quick(obj)
    map_at(map, 2, 3, ANON._replace(object=obj, cow=COWF_COPY_ON_WRITE))

    def process(n):
        for turn in m.rounds(2):
            touch(map, 2 + (n + turn) % 3, VM_PROT_READ)
            if touch(map, 2 + n % 3, VM_PROT_RW):
                store(map, 2 + n % 3)

    def changer():
        over(vm_map_protect, map, 3, 1, VM_PROT_READ, False)
        over(vm_map_protect, map, 3, 1, VM_PROT_RW, False)
        over(vm_map_remove, map, 4, 1)

    for n in range(m.ncpus):
        m.spawn(*((changer,) if n == 2 else (process, n)))
    m.join()
    unmap_all(m, map)
    m.check(obj.peek("ref_count") == 1 and not obj.peek("backing_list"), "nobody has the object any more")
    vm_object_deallocate(obj)
