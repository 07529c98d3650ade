"""Pages with one owner each, who calls all functions on them: they are as the calls left them."""

from vmsmp import scenario
from vmsmp.scenarios._kit import busied_page, repaired
from vmsmp.vm.vm_object import (
    OBJ_MIGHTBEDIRTY,
    OBJ_WRITEABLE,
    OBJPC_TRY_TO_CACHE,
    vm_object_allocate,
    vm_object_clear_flag,
    vm_object_deallocate,
)
from vmsmp.vm.vm_page import (
    ACT_ADVANCE,
    ACT_INIT,
    DEV_BSIZE,
    PAGE_SIZE,
    PG_NEED_COMMIT,
    PG_NOSYNC,
    PG_REFERENCED,
    PG_UNQUEUED,
    VM_PAGE_BITS_ALL,
    vm_page_activate,
    vm_page_busy_wait,
    vm_page_cache,
    vm_page_clear_commit,
    vm_page_clear_dirty,
    vm_page_clear_dirty_beg_nonincl,
    vm_page_clear_dirty_end_nonincl,
    vm_page_deactivate,
    vm_page_dirty,
    vm_page_dontneed,
    vm_page_flag_clear,
    vm_page_flag_set,
    vm_page_hold,
    vm_page_is_valid,
    vm_page_need_commit,
    vm_page_reference,
    vm_page_set_invalid,
    vm_page_set_valid,
    vm_page_set_validclean,
    vm_page_set_validdirty,
    vm_page_soft_activate,
    vm_page_try_to_cache,
    vm_page_try_to_free,
    vm_page_undirty,
    vm_page_unhold,
    vm_page_unqueue,
    vm_page_unwire,
    vm_page_wakeup,
    vm_page_wire,
    vm_page_zero_invalid,
)
from vmsmp.vm.vm_pageout import Laundering, vm_pageout_page

BLOCKS = PAGE_SIZE // DEV_BSIZE
#: Flags of a page that its owner's calls set and clear.
FLAGS = PG_REFERENCED | PG_NEED_COMMIT | PG_NOSYNC | PG_UNQUEUED
#: What its object knows of a page that is to be written.
KNOWN = OBJ_WRITEABLE | OBJ_MIGHTBEDIRTY


class Owned:
    """The page of an object, and its expected state: queue, act_count, flags, counts, bits and contents."""

    def __init__(self, m, vm, number, *, ages):
        self.m, self.vm, self.number, self.ages = m, vm, number, ages
        self.obj = vm_object_allocate(vm, 1)
        self.known = self.advised = 0
        self.allocate()

    def allocate(self):
        self.page = busied_page(self.vm, self.obj, 0)
        self.queue, self.act, self.flags, self.wired, self.held = "none", 0, 0, 0, 0
        self.valid, self.dirty = VM_PAGE_BITS_ALL, 0
        self.contents = dict.fromkeys(range(BLOCKS), 0)
        self.invalidate(self.m.choose(BLOCKS + 1))
        vm_page_wakeup(self.page)

    def invalidate(self, blocks):
        """Make the first blocks invalid, which counts a new generation of the object."""
        generation = self.obj.peek("generation")
        vm_page_set_invalid(self.page, 0, blocks * DEV_BSIZE)
        self.m.check(self.obj.peek("generation") == generation + 1, "an object has another generation")
        self.valid &= ~((1 << blocks) - 1)
        self.dirty &= ~((1 << blocks) - 1)

    def check(self):
        page = self.page
        said = (
            self.vm.page.queue_type(page.peek("queue")),
            page.peek("act_count"),
            page.peek("flags") & FLAGS,
            (page.peek("wire_count"), page.peek("hold_count")),
            page.peek("valid"),
            page.peek("dirty"),
            {n: self.vm.memory.peek(page.phys, n * DEV_BSIZE) for n in range(BLOCKS)},
            self.obj.peek("flags") & KNOWN,
        )
        counts, bits = (self.wired, self.held), (self.valid, self.dirty)
        mine = (self.queue, self.act, self.flags, counts, *bits, self.contents, self.known)
        self.m.check(said == mine, "a page is as its owner's calls have left it")

    @property
    def unused(self):
        """Whether it may be taken from its owner."""
        return not (self.dirty or self.wired or self.held or self.flags & (PG_NEED_COMMIT | PG_UNQUEUED))

    def moved(self, queue):
        """Put it on a queue, unless it is to be on none."""
        if not self.flags & PG_UNQUEUED:
            self.queue = queue

    # -- how much it is used ------------------------------------------------------------------------

    def activate(self):
        (vm_page_activate, vm_page_soft_activate)[self.m.choose(2)](self.page)
        self.activated()

    def activated(self):
        self.moved("active")
        self.act = max(self.act, ACT_INIT)

    def deactivate(self):
        vm_page_deactivate(self.page)
        self.moved("inactive")

    def dontneed(self):
        if self.ages and self.vm.page.dnweight.peek() > 4:
            return  # from the sixteenth call on pages do not only age
        vm_page_dontneed(self.page)
        self.advised += 1
        if self.ages or self.queue in ("inactive", "cache"):
            self.act -= self.act >= ACT_INIT
        else:
            self.moved("inactive")
            self.flags &= ~PG_REFERENCED

    def unqueue(self):
        vm_page_unqueue(self.page)
        self.queue = "none"

    def hide(self):
        """Keep it off all queues, or no longer."""
        if self.flags & PG_UNQUEUED:
            vm_page_flag_clear(self.page, PG_UNQUEUED)
            self.flags &= ~PG_UNQUEUED
        elif self.queue == "none":
            vm_page_flag_set(self.page, PG_UNQUEUED)
            self.flags |= PG_UNQUEUED

    def hold(self):
        if self.held:
            vm_page_unhold(self.page)
        else:
            vm_page_hold(self.page)
        self.held = not self.held

    def reference(self):
        vm_page_reference(self.page)
        self.flags |= PG_REFERENCED

    def wire(self):
        if self.queue != "cache":
            vm_page_wire(self.page)
            self.wired += 1

    def unwire(self):
        if self.wired:
            activate = bool(self.m.choose(2))
            vm_page_unwire(self.page, activate)
            self.wired -= 1
            if self.wired or self.flags & PG_UNQUEUED:
                return
            if activate or self.flags & PG_NEED_COMMIT:
                self.activated()
            else:
                self.moved("inactive")

    # -- what is in it ------------------------------------------------------------------------------

    def change(self):
        """Mark a range of bytes, or all of it; a page on a cache queue must not be written to."""
        if self.queue == "cache":
            return
        base = self.m.choose(2 * BLOCKS) * self.m.choose(2) * DEV_BSIZE // 2
        size = self.m.choose((PAGE_SIZE - base) // (DEV_BSIZE // 2) + 1) * DEV_BSIZE // 2
        if self.m.choose(3) == 0:
            base, size = 0, PAGE_SIZE
        whole = (base, size) == (0, PAGE_SIZE)
        end = base + size
        touched = sum(1 << n for n in range(BLOCKS) if n * DEV_BSIZE < end and base < (n + 1) * DEV_BSIZE)
        touched *= size > 0
        way = self.m.choose(8)
        if way == 0:
            vm_page_set_valid(self.page, base, size)
            self.valid |= touched
        elif way == 1:
            vm_page_set_validclean(self.page, base, size)
            self.valid |= touched
            self.cleaned(touched, whole)
        elif way == 2:
            vm_page_set_validdirty(self.page, base, size)
            self.valid |= touched
            self.dirty |= touched
            self.known = KNOWN
        elif way == 3:
            vm_page_clear_dirty(self.page, base, size)
            self.cleaned(touched, whole)
        elif way == 4:
            vm_page_clear_dirty_beg_nonincl(self.page, base, size)
            inside = sum(1 << n for n in range(BLOCKS) if base <= n * DEV_BSIZE < end)
            self.cleaned(inside, whole)
        elif way == 5:
            vm_page_clear_dirty_end_nonincl(self.page, base, size)
            inside = sum(1 << n for n in range(BLOCKS) if base < (n + 1) * DEV_BSIZE <= end)
            self.cleaned(inside, whole)
        elif way == 6:
            vm_page_set_invalid(self.page, base, size)
            self.valid &= ~touched
            self.dirty &= ~touched
        else:
            found = vm_page_is_valid(self.page, base, size)
            self.m.check(found == bool(self.valid and not touched & ~self.valid), "it is valid where it is")

    def cleaned(self, bits, whole):
        self.dirty &= ~bits
        if whole:
            self.flags &= ~PG_NOSYNC

    def fill(self):
        keep = bool(self.m.choose(2))
        vm_page_zero_invalid(self.page, keep)
        self.contents |= {n: 0 for n in range(BLOCKS) if not self.valid >> n & 1}
        if keep:
            self.valid = VM_PAGE_BITS_ALL

    def write(self):
        block = self.m.choose(BLOCKS)
        self.vm.memory.store(self.page.phys, block * DEV_BSIZE, self.number + 1)
        self.contents[block] = self.number + 1

    def soil(self):
        if self.queue != "cache":
            vm_page_dirty(self.page)
            if self.dirty != VM_PAGE_BITS_ALL:
                self.dirty, self.known = VM_PAGE_BITS_ALL, KNOWN

    def clean(self):
        vm_page_undirty(self.page)
        vm_object_clear_flag(self.obj, KNOWN)
        self.dirty = self.known = 0

    def commit(self):
        if self.flags & PG_NEED_COMMIT:
            vm_page_clear_commit(self.page)
            self.flags &= ~PG_NEED_COMMIT
        elif self.queue != "cache":
            vm_page_need_commit(self.page)
            self.flags |= PG_NEED_COMMIT
            self.known = KNOWN

    def nosync(self):
        vm_page_flag_set(self.page, PG_NOSYNC)
        self.flags |= PG_NOSYNC

    # -- what takes it away: each drops the busy ----------------------------------------------------

    def cache(self):
        vm_page_cache(self.page)
        self.cached()

    def cached(self):
        kept = self.flags & (PG_NEED_COMMIT | PG_UNQUEUED)
        if not self.wired and not self.held and not kept and self.queue != "cache":
            self.queue = "inactive" if self.dirty else "cache"

    def try_to_cache(self):
        done = vm_page_try_to_cache(self.page)
        self.m.check(done == (self.unused and self.queue != "cache"), "it says whether it was cached")
        if done:
            self.queue = "cache"

    def try_to_free(self):
        vm_page_wakeup(self.page)
        unused = self.unused
        self.m.check(vm_page_try_to_free(self.page) == unused, "it says whether it was freed")
        if unused:
            self.allocate()

    def page_out(self):
        """As the pagedaemon does with an inactive page when memory is short: one that is dirty is written."""
        forgets = not self.valid and repaired(self.m, "nothing-is-committed-of-invalid-pages")
        committing = self.flags & PG_NEED_COMMIT and not forgets
        needed = self.wired or self.held or self.flags & PG_REFERENCED
        soiled = (self.dirty and self.valid) or committing
        if self.queue != "inactive" or (soiled and not needed and self.valid != VM_PAGE_BITS_ALL):
            vm_page_wakeup(self.page)  # what is written has to be valid altogether
            return
        gained = vm_pageout_page(self.page, Laundering(1), 1, OBJPC_TRY_TO_CACHE)
        self.m.check(gained == (not needed), "it says whether a page was gained")
        if self.wired:
            self.queue = "none"
        elif self.held:
            pass  # it is left for later
        elif self.flags & PG_REFERENCED:
            self.flags &= ~PG_REFERENCED
            self.activated()
            self.act += ACT_ADVANCE + 1
        elif self.valid or committing:
            if soiled:
                self.known = KNOWN
            self.dirty = 0
            self.queue = "inactive" if committing else "cache"
        else:
            self.allocate()

    def end(self):
        """Give everything back."""
        while self.wired or self.held:
            vm_page_busy_wait(self.page, True)
            (self.unwire if self.wired else self.hold)()
            vm_page_wakeup(self.page)
        vm_object_deallocate(self.obj)


USES = (
    *(Owned.activate, Owned.activate, Owned.deactivate, Owned.dontneed, Owned.unqueue, Owned.reference),
    *(
        Owned.hide,
        Owned.hold,
        Owned.wire,
        Owned.unwire,
        Owned.change,
        Owned.change,
        Owned.change,
        Owned.fill,
        Owned.write,
    ),
    *(Owned.soil, Owned.clean, Owned.commit, Owned.nosync),
)
ENDS = (Owned.cache, Owned.try_to_cache, Owned.try_to_free, Owned.page_out)


@scenario(cpus=2, tags={"page", "queue", "busy"}, pages=None)
def pages_of_owners(m):
    """CPUs use pages of their own in all possible ways: each is as its owner's calls have left it."""
    vm = m.boot(pages=2 * m.ncpus + 2, l2_size=1)
    ages = bool(m.choose(2))
    weight = 0 if ages else 0x10
    vm.page.dnweight.store(weight)
    pages = [Owned(m, vm, n, ages=ages) for n in range(m.ncpus)]

    def owner(mine):
        for _ in m.rounds(6):
            for deed in (USES[m.choose(len(USES))], USES[m.choose(len(USES))]):
                vm_page_busy_wait(mine.page, True)
                deed(mine)
                vm_page_wakeup(mine.page)
                mine.check()
            vm_page_busy_wait(mine.page, True)
            ENDS[m.choose(len(ENDS))](mine)
            mine.check()
        mine.end()

    for page in pages:
        m.spawn(owner, page)
    m.join()
    counted = vm.page.dnweight.peek() > weight
    m.check(counted == any(page.advised for page in pages), "what is not needed is counted")
