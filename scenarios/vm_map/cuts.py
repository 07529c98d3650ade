"""A thread alone that cuts entries, joins them, and has some made: what each maps, and how many there are."""

from vmsmp import scenario
from vmsmp.scenarios.vm_map._ranges import ANON, at, map_at, new_map, touch, unmap_all
from vmsmp.scenarios.vm_map._spaces import BASE, map_anon, map_device, new_space
from vmsmp.vm.vm_map import (
    COWF_COPY_ON_WRITE,
    MAP_ENTRY_IN_TRANSITION,
    MAP_ENTRY_NOSYNC,
    MAP_ENTRY_PARTITION_SIZE,
    VM_INHERIT_SHARE,
    VM_PROT_ALL,
    VM_PROT_READ,
    VM_PROT_RW,
    VM_PROT_WRITE,
    VM_SUBSYS_ZALLOC,
    vm_map_clip_end,
    vm_map_clip_start,
    vm_map_entry_krelease,
    vm_map_entry_kreserve,
    vm_map_entry_partition,
    vm_map_entry_release,
    vm_map_entry_reserve,
    vm_map_find,
    vm_map_lock,
    vm_map_remove,
    vm_map_simplify_entry,
    vm_map_unlock,
)
from vmsmp.vm.vm_map.tree import LONGEST, EntryTree
from vmsmp.vm.vm_object import (
    OBJ_ONEMAPPING,
    vm_object_allocate,
    vm_object_deallocate,
    vm_object_reference_quick,
)
from vmsmp.vm.vm_page import PAGE_SIZE

#: Where maps begin.
BEGIN = at(0)


def bounds(space, begin=BEGIN):
    """From which page to which each entry is; looking invisibly."""
    ends = [(entry.ba.raw_start, entry.ba.raw_end) for entry in space.raw_rb_root]
    return [((start - begin) // PAGE_SIZE, (end - begin) // PAGE_SIZE) for start, end in ends]


def entry_at(space, address):
    return space.raw_rb_root.at_or_before(address)


def offsets(*backings):
    """Which pages of their objects they begin with."""
    return [ba.raw_offset // PAGE_SIZE for ba in backings]


def shared(obj):
    """How often an object is referenced, and on how many of its entries' chains it is."""
    return obj.peek("ref_count"), len(obj.peek("backing_list"))


class Changing:
    """A map that a thread has locked, to cut and join its entries; `left` is how many it may still make."""

    def __init__(self, space, reserve=16):
        self.space = space
        self.count = vm_map_entry_reserve(space.vm, reserve)
        vm_map_lock(space)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        vm_map_unlock(self.space)
        vm_map_entry_release(self.space.vm, self.count)

    @property
    def left(self):
        return self.count.count

    def before(self, entry, page):
        """Cut an entry, so that it begins at that page if it did before that."""
        vm_map_clip_start(self.space, entry, at(page), self.count)

    def behind(self, entry, page):
        vm_map_clip_end(self.space, entry, at(page), self.count)

    def join(self, entry):
        vm_map_simplify_entry(self.space, entry, self.count)


@scenario(cpus=1, tags={"map", "clip"}, pages=None)
def cuts_alone(m):
    """A thread cuts entries in two, with what is behind them: together they map what one did before."""
    vm = m.boot(pages=10, l2_size=1)

    def memory():
        space = new_map(vm)
        map_at(space, 0, 1, ANON._replace(id=11))
        map_at(space, 2, 4)
        entry = entry_at(space, at(2))
        with Changing(space) as change:
            change.before(entry, 2)
            change.behind(entry, 6)
            m.check(bounds(space)[1:] == [(2, 6)] and change.left == 16, "what ends there is not cut")
            m.check(entry.ba.raw_object is None, "nor needs it anything")
            change.before(entry, 3)
            m.check(bounds(space)[1:] == [(2, 3), (3, 6)] and entry.ba.raw_start == at(3), "it is behind")
            change.behind(entry, 5)
            m.check(bounds(space)[1:] == [(2, 3), (3, 5), (5, 6)] and entry.ba.raw_end == at(5), "or before")
            pieces = [*space.raw_rb_root][1:]
            obj = entry.ba.raw_object
            m.check([piece.ba.raw_object for piece in pieces] == [obj] * 3, "all have one object")
            m.check(offsets(*(piece.ba for piece in pieces)) == [0, 1, 3], "each of it what it had")
            m.check((shared(obj), obj.peek("size"), change.left) == ((3, 3), 4, 14), "which knows them")
            m.check(obj.peek("flags") & OBJ_ONEMAPPING, "and that each of its pages is mapped once")
            change.before(pieces[2], 5)
            m.check(len(bounds(space)) == 4, "who is not to be cut is not joined")
            change.before(entry, 4)
            m.check(bounds(space)[1:] == [(2, 4), (4, 6)] and shared(obj) == (2, 2), "else it is, first")
            m.check(offsets(entry.ba) == [2] and change.left == 15, "and then cut")
        unmap_all(m, space)

    def copies():
        space = new_map(vm)
        obj = vm_object_allocate(vm, 6)
        vm_object_reference_quick(obj)
        map_at(space, 2, 4, ANON._replace(object=obj, offset=PAGE_SIZE, cow=COWF_COPY_ON_WRITE))
        touch(space, 2, VM_PROT_WRITE)
        entry = entry_at(space, at(2))
        with Changing(space) as change:
            change.behind(entry, 4)
            first, second = (piece.chain() for piece in space.raw_rb_root)
            m.check((len(first), len(second)) == (2, 2), "what is behind is cut, too")
            m.check(offsets(*first, *second) == [0, 1, 2, 3], "where it is")
            m.check(
                [ba.raw_object for ba in first] == [ba.raw_object for ba in second], "of the same objects"
            )
            m.check([shared(ba.raw_object) for ba in first] == [(2, 2), (3, 2)], "which know both")
            change.before(entry, 3)
            chains = [piece.chain() for piece in space.raw_rb_root]
            m.check(bounds(space) == [(2, 3), (3, 4), (4, 6)], "the part before goes as well")
            m.check([offsets(*chain) for chain in chains] == [[0, 1], [1, 2], [2, 3]], "each has its own")
        m.check(touch(space, 5, VM_PROT_WRITE) and touch(space, 3, VM_PROT_WRITE), "both can be written to")
        unmap_all(m, space)
        m.check(shared(obj) == (1, 0), "in the end nobody has what was behind")
        vm_object_deallocate(obj)

    def large():
        """What is larger than a partition has no object of its own, and none after a cut."""
        size = MAP_ENTRY_PARTITION_SIZE // PAGE_SIZE
        vmspace = new_space(vm)
        space = vmspace.vm_map
        map_anon(m, space, BASE, 1)
        map_anon(m, space, MAP_ENTRY_PARTITION_SIZE - PAGE_SIZE, size + 2)
        entry = entry_at(space, MAP_ENTRY_PARTITION_SIZE)
        with Changing(space) as change:
            vm_map_entry_partition(space, entry, MAP_ENTRY_PARTITION_SIZE + PAGE_SIZE, change.count)
            pieces = bounds(space, MAP_ENTRY_PARTITION_SIZE)[1:]
            m.check(pieces == [(-1, 0), (0, size), (size, size + 1)], "a partition is cut out of it")
            m.check({one.ba.raw_object for one in space.raw_rb_root} == {None}, "and nobody has an object")
            for pages, has_object in (2, False), (1, True):
                end = MAP_ENTRY_PARTITION_SIZE + pages * PAGE_SIZE
                vm_map_clip_end(space, entry, end, change.count)
                m.check((entry.ba.raw_object is not None) is has_object, "within a partition there is one")
        vm_map_remove(space, space.min_addr, space.max_addr)
        kernel = vm.map.kernel_map
        _, start = vm_map_find(kernel, kernel.min_addr, 2 * PAGE_SIZE, PAGE_SIZE, True, ANON)
        with Changing(kernel) as change:
            entry = entry_at(kernel, start)
            vm_map_clip_start(kernel, entry, start + PAGE_SIZE, change.count)
            m.check(entry.ba.raw_object is None, "but in the kernel's own map")
        vm_map_remove(kernel, start, start + 2 * PAGE_SIZE)

    def thread():
        part = (memory, copies, large)[m.choose(3)]
        part()

    m.spawn(thread)
    m.join()


@scenario(cpus=1, tags={"map", "clip"}, pages=None)
def joins_alone(m):
    """A thread joins entries that map the same thing, where they meet; others are left as they are."""
    vm = m.boot(pages=10, l2_size=1)
    space = new_map(vm)
    obj = vm_object_allocate(vm, 8)
    map_at(space, 0, 1, ANON._replace(id=11))

    def put(page, pages, offset, what=ANON):
        """Map pages of the object there, apart from what is there already; return the entry."""
        vm_object_reference_quick(obj)
        map_at(space, page, pages, what._replace(object=obj, offset=offset * PAGE_SIZE, id=90 + page))
        return entry_at(space, at(page))

    def alike(*entries):
        """Let them be somebody's who does not tell them apart."""
        for entry in entries:
            entry.id = 9
        return entries

    def joined():
        first, second, third = put(2, 1, 0), put(3, 2, 1), put(5, 1, 3)
        size = space.peek("size")
        with Changing(space) as change:
            alike(first, second, third)
            change.join(second)
            m.check(bounds(space)[1:] == [(2, 6)] and offsets(second.ba) == [0], "who is alike is joined")
            m.check(entry_at(space, at(2)) is second and first.freed and third.freed, "who was asked stays")
            m.check((shared(obj), change.left) == ((2, 1), 18), "the others are given back")
            m.check(space.peek("size") == size, "as much is mapped as before")

    def different():
        first, second = put(2, 2, 0), put(4, 2, 2)
        with Changing(space) as change:
            alike(first, second)
            says = {
                "eflags": MAP_ENTRY_NOSYNC,
                "protection": VM_PROT_READ,
                "inheritance": VM_INHERIT_SHARE,
                "id": 12,
                "wired_count": 1,
            }
            for name, value in says.items():
                before = getattr(second, name)
                setattr(second, name, value)
                change.join(first)
                change.join(second)
                m.check(len(bounds(space)) == 3, "who is different is not joined")
                setattr(second, name, before)
            second.max_protection.store(VM_PROT_RW)
            change.join(first)
            m.check(len(bounds(space)) == 3, "not even in what it may be one day")
            second.max_protection.store(VM_PROT_ALL)
            first.ba.backing_ba = second.ba
            change.join(second)
            m.check(len(bounds(space)) == 3, "nor in what is behind")
            first.ba.backing_ba = None
            before = first.eflags
            first.eflags = second.eflags = before | MAP_ENTRY_IN_TRANSITION
            change.join(second)
            m.check(len(bounds(space)) == 3, "who is in transition is waited for")
            first.eflags = second.eflags = before
            change.join(first)
            m.check(bounds(space)[1:] == [(2, 6)], "and is joined then")

    def apart():
        entries = [put(2, 1, 0), put(4, 1, 1), put(5, 1, 3)]
        other = vm_object_allocate(vm, 8)
        map_at(space, 6, 1, ANON._replace(object=other, offset=4 * PAGE_SIZE, id=96))
        with Changing(space) as change:
            alike(*entries, entry_at(space, at(6)))
            for entry in entries:
                change.join(entry)
            m.check(bounds(space)[1:] == [(2, 3), (4, 5), (5, 6), (6, 7)], "who does not meet is not joined")
            change.join(entry_at(space, at(6)))
            m.check(len(bounds(space)) == 5, "nor is another object")

    def devices():
        class Device:
            minor = 9

        device, how = Device(), lambda *_: 0
        for page in (2, 3):
            map_device(m, space, device, how, at(page), 1)
        with Changing(space) as change:
            change.join(entry_at(space, at(2)))
            change.join(entry_at(space, at(3)))
            m.check(bounds(space)[1:] == [(2, 3), (3, 4)], "what a device shows is not joined")

    def thread():
        part = (joined, different, apart, devices)[m.choose(4)]
        part()
        unmap_all(m, space)

    m.spawn(thread)
    m.join()
    m.check(shared(obj) == (1, 0), "in the end nobody has the object")
    vm_object_deallocate(obj)


@scenario(cpus=1, tags={"map", "entries"}, pages=None)
def reserves_alone(m):
    """A thread reserves entries, uses some and gives others back: its CPU has as many as it should."""
    plenty = m.choose(2)
    vm = m.boot(
        pages=8, l2_size=1, map_entry_cache=(24, 8), map_reserve_slop=10, map_reserve_hyst=6,
        map_entries=82 if plenty else 0,
    )  # fmt: skip
    kernel, zone = vm.map.kernel_map, vm.map.mapentzone
    space = new_map(vm) if plenty else None
    refs = vm.objects.kernel_object.peek("ref_count")

    def kept():
        """The CPU's entries, how many of them are available, and those of the zone, free and in the cache."""
        gd = vm.map.supply()
        return gd.gd_vme_base, gd.gd_vme_avail, zone.zfreecnt, zone.zpcpu.get(gd.index, 0)

    def enough():
        m.check(kept() == (8, -8, 50, 0), "a CPU begins with a debt")
        some = vm_map_entry_reserve(vm, 4)
        m.check((kept(), some.count) == ((20, 0, 18, 20), 4), "which it pays first")
        more = vm_map_entry_reserve(vm, 4)
        m.check(kept() == (24, 0, 18, 16), "what it lacks is made")
        vm_map_entry_release(vm, more)
        more = vm_map_entry_reserve(vm, 4)
        m.check(kept() == (24, 0, 18, 16), "and no more than that")
        vm_map_entry_release(vm, more)
        vm_map_entry_release(vm, some)
        map_at(space, 2, 1)
        m.check(kept() == (23, 7, 18, 16), "what is used is not there")
        unmap_all(m, space)
        m.check(kept() == (24, 8, 18, 16), "and is there again then")
        for count, left in (10, (26, 10, 18, 14)), (11, (22, 6, 18, 18)):
            vm_map_entry_release(vm, vm_map_entry_reserve(vm, count))
            m.check(kept() == left, "who has too many gives some back, but not all")
        some = vm_map_entry_kreserve(vm, 8)
        m.check((kept(), some.count) == ((22, -2, 18, 18), 8), "what stays behind may be had at once")
        vm_map_entry_krelease(vm, some)
        m.check(kept() == (22, 6, 18, 18), "and is given back")

    def made():
        """More are made out of the kernel's map, of which each costs one, and is a page of 21."""
        some = vm_map_entry_reserve(vm, 4)
        m.check(
            kept() == (20, 0, 0, 8), "first its own, then what the zone needs, and the rest is the zone's"
        )
        (entry,) = kernel.raw_rb_root
        ba = entry.ba
        m.check(
            (ba.raw_start, ba.raw_end) == (kernel.min_addr, kernel.min_addr + PAGE_SIZE), "a page is used"
        )
        m.check((ba.raw_object, ba.raw_offset) == (vm.objects.kernel_object, ba.raw_start), "of the kernel's")
        rights = entry.raw_protection, entry.peek("max_protection"), entry.raw_id
        m.check(rights == (VM_PROT_ALL, VM_PROT_ALL, VM_SUBSYS_ZALLOC), "with all rights")
        m.check(vm.objects.kernel_object.peek("ref_count") == refs + 1, "which is counted")
        m.check(not kernel.lock.holders and not zone.zgetlk.holders, "nothing is locked")
        behind = vm_map_entry_kreserve(vm, 35)
        vm_map_entry_release(vm, vm_map_entry_reserve(vm, 1))
        used = len([*kernel.raw_rb_root])
        base, avail, free, cached = kept()
        m.check(base + free + cached + used == 8 + 21 * used, "no entry is lost")
        m.check((used, avail) == (3, 3), "and no more pages are used than must be")
        vm_map_entry_krelease(vm, behind)
        vm_map_entry_release(vm, some)
        vm_map_remove(kernel, kernel.min_addr, kernel.max_addr)

    m.spawn(enough if plenty else made)
    m.join()


@scenario(cpus=1, tags={"map", "entries"}, pages=None)
def many_entries_alone(m):
    """A thread puts more entries into a tree than one list of it has, and takes them out again."""
    vm = m.boot(pages=4, l2_size=1)
    space = new_map(vm)
    map_at(space, 0, 1)
    count, step = LONGEST + 9, 7

    class Entry:
        """One that is in no map: it begins somewhere."""

        def __init__(self, start):
            self.ba = self
            self.raw_start = start

    def thread():
        tree = EntryTree()
        m.check((tree.first(), tree.last(), tree.at_or_before(9)) == (None, None, None), "none is in it")
        there = {}
        for n in range(count):
            start = 10 * ((step * n + LONGEST // 2) % count)
            there[start] = Entry(start)
            if tree.insert(there[start]) is not None:
                m.check(False, "where none begins one may")
        first, last = 0, 10 * (count - 1)
        m.check(tree.insert(Entry(70)) is there[70] and len(tree) == count, "where one begins none else may")
        m.check([entry.raw_start for entry in tree] == sorted(there), "they are in order")
        m.check((tree.first(), tree.last()) == (there[first], there[last]), "from the first to the last")
        pairs = [(there[start], there[start + 10]) for start in range(first, last, 10)]
        m.check(all(tree.next(one) is other for one, other in pairs), "one comes after another")
        m.check(all(tree.prev(other) is one for one, other in pairs), "and before another")
        found = all(tree.at_or_before(one.raw_start + 9) is one for one, _ in pairs)
        m.check(found, "each reaches up to the next")
        m.check(tree.prev(there[first]) is None and tree.next(there[last]) is None, "and none beyond")
        m.check(tree.at_or_before(-1) is None, "nor before")
        for start in (50, first, last):
            entry = there[start]
            entry.raw_start += 5
            tree.moved(entry, start)
            m.check(tree.at_or_before(start) is not entry, "who begins later is not found before")
            m.check(tree.at_or_before(start + 5) is entry, "but from there on")
        m.check(tree.at_or_before(first + 4) is None, "nor is anybody else then")
        lost = there[150]
        for lost.raw_start in (10 * count + 9, 155):  # and the tree is not told
            m.check(tree.next(lost) is there[160], "who is not where he should be is looked for")
        lost.raw_start = 150
        for start in sorted(there, key=lambda start: start // 10 * step % count):
            tree.remove(there.pop(start))
            if len(there) % 128 == 0:
                left = [there[start] for start in sorted(there)]
                m.check([*tree] == left, "who is taken out is gone")
                found = [tree.at_or_before(entry.raw_start + 4) for entry in left]
                m.check(found == left, "and the others are found")
                m.check(not left or tree.at_or_before(left[0].raw_start - 1) is None, "up to the first")
        m.check(not len(tree) and tree.first() is None, "in the end all are")
        unmap_all(m, space)

    m.spawn(thread)
    m.join()
