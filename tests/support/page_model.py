"""A plain sequential model of the page layer: what every call does to pages, queues and counts.

It knows nothing of locks, words or links: pages are records, queues are lists of page numbers.
"""

from dataclasses import dataclass, field

ALL = 0xFF
ACT_INIT = 5
#: At how many free pages a normal and a system request stop.
RESERVED = 2
INTERRUPT_MIN = 1


@dataclass
class Page:
    """What the model knows of one page.  `place` is (object, index), `kind` the type of its queue."""

    n: int
    colour: int
    kind: str = "free"
    place: tuple[str, int] | None = None
    allocated: bool = False
    hard: bool = False
    soft: int = 0
    #: How many of the soft busies are I/O in progress.
    io: int = 0
    hold: int = 0
    wire: int = 0
    valid: int = 0
    dirty: int = 0
    act: int = 0
    flags: set[str] = field(default_factory=set)
    pte: str = ""
    written: bool = False

    @property
    def usable(self):
        """Whether the caller's busy or a wiring keeps it what it is."""
        return self.allocated and (self.hard or self.soft > 0 or self.wire > 0)

    @property
    def mine(self):
        return self.allocated and self.hard

    def shown(self):
        """All that is compared."""
        return {
            "queue": self.kind,
            "place": self.place,
            "busy": (self.hard, self.soft),
            "hold": self.hold,
            "wire": self.wire,
            "valid": self.valid,
            "dirty": self.dirty,
            "act": self.act,
            "flags": sorted(self.flags),
            "pte": (self.pte, self.written),
        }


class Memory:
    """The plain model: what every call does to pages and queues."""

    def __init__(self, colours):
        self.colours = colours
        self.pages = []
        self.queues = {}
        for number, colour in enumerate(colours):
            self.pages.append(Page(number, colour))
            self.queue("free", colour).insert(0, number)
        self.shift = {"a": 0, "b": 1}
        self.generation = {"a": 1, "b": 1}
        self.cached = [[None, None, 0] for _ in range(4)]  # the page hash: page, place, when it was used
        self.ticks = 0
        self.unneeded = 0

    def queue(self, kind, colour):
        return self.queues.setdefault((kind, colour), [])

    def move(self, p, kind, athead=False):
        if p.kind != "none":
            self.queue(p.kind, p.colour).remove(p.n)
        p.kind = kind
        if kind != "none":
            queue = self.queue(kind, p.colour)
            queue.insert(0 if athead or kind == "free" else len(queue), p.n)

    def count(self, *kinds):
        return sum(p.kind in kinds for p in self.pages)

    def at(self, place):
        return next((p for p in self.pages if p.place == place), None)

    # -- allocation

    def search(self, kinds, colour):
        """The first page of the nearest queue that has any; those in use go out of the way."""
        others = [c for c in sorted(set(self.colours)) if c != colour]
        while True:
            order = [(kind, c) for c in [colour, *others] for kind in kinds]
            found = next((self.queue(*q)[0] for q in order if self.queue(*q)), None)
            if found is None:
                return None, None
            p = self.pages[found]
            kind = p.kind
            in_the_way = p.hard or p.soft or (kind == "cache" and (p.hold or p.wire))
            self.move(p, "inactive" if in_the_way else "none")
            if not in_the_way:
                return p, kind

    def alloc(self, place, pindex, request):
        colour = (pindex + (self.shift[place[0]] if place else 0)) % len(set(self.colours))
        while True:
            free = self.count("free")
            gate = (
                free >= RESERVED
                or ("interrupt" in request and free > 0)
                or ("system" in request and self.count("cache") == 0 and free > INTERRUPT_MIN)
            )
            kinds = ["free"] if gate else ["cache"] * ("normal" in request)
            p, kind = self.search(kinds, colour)
            if p is None and not gate:
                return None
            if p is not None and kind == "free":
                break
            if p is not None:
                self.free(p)
        p.allocated, p.hard, p.valid, p.act = True, True, 0, 0
        p.flags.clear()
        if place and not self.insert(p, place):
            self.free(p)
            return None
        return p

    def insert(self, p, place):
        self.generation[place[0]] += 1
        if self.at(place):
            return False
        p.place = place
        return True

    def free(self, p):
        self.remove(p)
        p.valid = p.dirty = 0
        p.allocated = p.hard = False
        self.move(p, "hold" if p.hold else "free")

    def remove(self, p):
        if p.place:
            self.generation[p.place[0]] += 1
            p.place = None

    # -- mappings

    def map(self, p, pte):
        if p.pte == pte:
            return
        p.flags.add("multi" if "mapped" in p.flags else "mapped")
        p.flags |= {"writeable"} if pte == "rw" else set()
        if p.written:
            p.dirty = ALL
        p.pte, p.written = pte, False

    def unmap(self, p):
        if p.written:
            p.dirty = ALL
        p.pte, p.written = "", False
        if "multi" not in p.flags:
            p.flags -= {"mapped", "writeable"}

    def protect(self, p, prot):
        if prot == "none" and "mapped" in p.flags:
            self.unmap(p)
            p.flags -= {"mapped", "multi", "writeable"}
        elif prot == "read" and "writeable" in p.flags:
            if p.written:
                p.dirty = ALL
            p.pte, p.written = p.pte[:1], False
            p.flags.discard("writeable")

    # -- queues

    def deactivate(self, p, athead=False):
        if p.kind != "inactive":
            self.move(p, "inactive", athead)

    def dontneed(self, p):
        self.unneeded += 1
        if self.unneeded & 0x1F0 == 0 or p.kind in ("inactive", "cache"):
            p.act -= p.act >= ACT_INIT
            return
        if p.written and "writeable" in p.flags:
            p.dirty = ALL
        self.deactivate(p, athead=not p.dirty and self.unneeded & 0x70 != 0)

    def activate(self, p):
        p.act = max(p.act, ACT_INIT)
        if p.kind != "active":
            self.move(p, "active")

    def cache(self, p):
        if not (p.soft or p.wire or p.hold) and p.kind != "cache":
            self.protect(p, "none")
            if p.dirty:
                self.deactivate(p)
            else:
                self.move(p, "cache")
        p.hard = False

    def unwire(self, p, activate):
        p.wire -= 1
        if p.wire == 0:
            (self.activate if activate else self.deactivate)(p)

    # -- the hash

    def enter(self, p):
        if "multi" not in p.flags or p.place is None:
            return
        for entry in self.cached:
            if entry[:2] == [p.n, p.place]:
                entry[2] = self.ticks
                return
        older = [entry for entry in self.cached if entry[2] < self.cached[0][2]]
        replaced = older[-1] if older else self.cached[0]
        replaced[:] = [p.n, p.place, self.ticks]

    def known(self):
        """The places that the hash knows a page for, or knew; some place if none."""
        return [place for _, place, _ in self.cached if place] or [("a", 0)]

    def hashed(self, place):
        for entry in self.cached:
            if entry[1] == place:
                p = self.pages[entry[0]]
                if p.place == place and not p.hard:
                    p.soft += 1
                    entry[2] = self.ticks
                    return p
        return None


def pieces(base, size):
    """The bits of the 512-byte pieces of a page that a range of bytes touches."""
    return sum(1 << n for n in range(8) if size and n * 512 < base + size and (n + 1) * 512 > base)


#: What becomes of (valid, dirty), by what is done to a range that touches these bits.
BITS = {
    "set_valid": lambda valid, dirty, bits: (valid | bits, dirty),
    "set_validclean": lambda valid, dirty, bits: (valid | bits, dirty & ~bits),
    "set_validdirty": lambda valid, dirty, bits: (valid | bits, dirty | bits),
    "set_invalid": lambda valid, dirty, bits: (valid & ~bits, dirty & ~bits),
    "clear_dirty": lambda valid, dirty, bits: (valid, dirty & ~bits),
}
#: The same by what is done to a page, through whose mapping somebody has written or not.
CONTENT = {
    "zero_invalid": lambda valid, dirty, written: (ALL, dirty),
    "dirty": lambda valid, dirty, written: (valid, ALL),
    "undirty": lambda valid, dirty, written: (valid, 0),
    "test_dirty": lambda valid, dirty, written: (valid, ALL if written else dirty),
}
