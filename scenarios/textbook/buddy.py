"""The buddy allocator: zones under contention, blocks split and merged, and a history of calls."""

from vmsmp import scenario
from vmsmp.check.linearize import History
from vmsmp.check.specs import BuddyBlocks
from vmsmp.mmu.textbook.buddy import MAX_ORDER, BuddyMemory


def whole(m, memory):
    """Check that all frames are free again, in as few blocks as possible."""
    for zone in memory.zones:
        m.check(zone.peek("nr_free") == zone.end - zone.first, "all frames of a zone are free again")


@scenario(cpus=3, tags={"textbook", "buddy"})
def buddy_split_and_merge(m):
    """CPUs take blocks of different orders from one zone and give them back: split blocks are merged."""
    memory = BuddyMemory(m, 16, {"NORMAL": None})

    def user(me):
        for n in m.rounds(2):
            blocks = [memory.alloc((me + n) % 3), memory.alloc(1)]
            for block in blocks:
                if block is not None:
                    memory.free(block)

    for n in range(m.ncpus):
        m.spawn(user, n)
    m.join()
    whole(m, memory)
    m.check([*memory.zones[0].free_blocks()] == [(0, 4)], "the zone is one block again")


@scenario(cpus=3, tags={"textbook", "buddy"})
def buddy_zones_fall_back(m):
    """If a zone is empty, a lower one is used; a request for DMA memory gets DMA memory or nothing."""
    memory = BuddyMemory(m, 12, {"DMA": 4, "DMA32": 8, "NORMAL": None})

    def user(me):
        zone = ("DMA", "DMA32", None)[me % 3]
        blocks = [memory.alloc(n % 2, zone) for n in m.rounds(3)]
        for block in blocks:
            if block is not None:
                m.check(
                    zone is None or block < (4 if zone == "DMA" else 8), "the zone asked for is the highest"
                )
                memory.free(block)

    for n in range(m.ncpus):
        m.spawn(user, n)
    m.join()
    whole(m, memory)


@scenario(cpus=3, tags={"textbook", "buddy", "contention"})
def buddy_zones_are_apart(m):
    """CPUs that each use a zone of their own never wait for one another."""
    memory = BuddyMemory(m, 12, {"DMA": 4, "DMA32": 8, "NORMAL": None})

    def user(me):
        for _ in m.rounds(2):
            block = memory.alloc(0, memory.zones[me % 3].name.strip("zone[]"))
            m.check(block is not None, "a zone that one CPU uses has memory")
            memory.free(block)

    for n in range(min(m.ncpus, 3)):
        m.spawn(user, n)
    m.join()
    m.check(all(zone.spin.contested == 0 for zone in memory.zones), "no lock was waited for")


@scenario(cpus=3, tags={"textbook", "buddy", "history"})
def buddy_history(m):
    """Each call gets the lowest of the smallest blocks that fit: some order of the calls explains it."""
    memory = BuddyMemory(m, 8, {"DMA": 4, "NORMAL": None})
    history = History(m)

    def user(me):
        for n in m.rounds(2):
            order = (me + n) % 2
            with history.operation("alloc", order) as op:
                op.result = block = memory.alloc(order)
            if block is not None:
                with history.operation("free", block, order):
                    memory.free(block)

    for n in range(m.ncpus):
        m.spawn(user, n)
    m.join()
    zones = [(zone.name, zone.first, zone.end) for zone in reversed(memory.zones)]
    history.judge(BuddyBlocks(zones, MAX_ORDER, may_fail=True))
