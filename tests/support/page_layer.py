"""What tests of the page layer start from and look at: limits, queues, objects, words."""

from vmsmp.records.word import Word
from vmsmp.scenarios._kit import busied_page, set_limits
from vmsmp.vm.vm_object import (
    OBJ_DEAD,
    vm_object_allocate,
    vm_object_drop,
    vm_object_hold,
    vm_object_hold_shared,
)
from vmsmp.vm.vm_page import (
    PG_MAPPEDMULTI,
    VM_ALLOC_NORMAL,
    _vm_page_add_queue_spinlocked,
    _vm_page_and_queue_spin_unlock,
    _vm_page_rem_queue_spinlocked,
    vm_page_activate,
    vm_page_alloc,
    vm_page_and_queue_spin_lock,
    vm_page_flag_set,
    vm_page_lookup_busy_wait,
    vm_page_wakeup,
)

LIMITS = (
    "v_free_reserved",
    "v_free_severe",
    "v_free_min",
    "v_paging_wait",
    "v_paging_start",
    "v_paging_target1",
    "v_paging_target2",
)


def limit(vm, **limits):
    """Set these limits and all others of `LIMITS` to zero."""
    return set_limits(vm, **{**dict.fromkeys(LIMITS, 0), **limits})


def wanting(vm):
    """Have the scans never find enough."""
    return limit(vm, v_paging_target2=1000)


def on(m):
    """The type of the queue that the page is on."""
    return m.vm.page.queue_type(m.peek("queue"))


def move(m, queue):
    """Put a page straight onto the queue of that index, whose colour it gets."""
    vm_page_and_queue_spin_lock(m)
    _vm_page_rem_queue_spinlocked(m)
    if queue:
        m.pc = queue - m.vm.page.vm_page_queues[queue].base
        _vm_page_add_queue_spinlocked(m, queue)
    _vm_page_and_queue_spin_unlock(m)


def spins_held(m, *indexes):
    """Whether the running CPU holds the page's spinlock, and those of these queues."""
    return [m.spin.held(), *(m.vm.page.vm_page_queues[n].spin.held() for n in indexes)]


def intact(vm):
    """Every list is as long as its queue says, and has pages only."""
    for pq in vm.page.vm_page_queues:
        there = [*pq.pages()]
        assert len(there) == pq.peek("lcnt")
        assert all(m.phys >= 0 for m in there)
    return True


def busied(vm):
    """A page in no object, hard-busied and on no queue."""
    return vm_page_alloc(vm, None, 0, VM_ALLOC_NORMAL)


def active(vm):
    """A page in no object, on its active queue, not busied."""
    page = vm_page_alloc(vm, None, 0, VM_ALLOC_NORMAL)
    vm_page_activate(page)
    vm_page_wakeup(page)
    return page


def shared_page(vm, obj, pindex):
    """A valid page of the object on its active queue, not busied, that the hash may know."""
    page = busied_page(vm, obj, pindex)
    vm_page_flag_set(page, PG_MAPPEDMULTI)
    vm_page_activate(page)
    vm_page_wakeup(page)
    return page


def by_tree(vm, obj):
    """Look the object's first page up under its token, and let go of it."""
    vm_object_hold_shared(obj)
    page = vm_page_lookup_busy_wait(obj, 0, True)
    if page is not None:
        vm_page_wakeup(page)
    vm_object_drop(obj)


def made(vm, refs=1):
    obj = vm_object_allocate(vm, 8)
    obj.ref_count.value = refs
    return obj


def dead(vm, refs=0):
    """An object whose termination is over but for its memory."""
    obj = made(vm, refs)
    obj.flags.setbits(OBJ_DEAD)
    return obj


def held_object(vm, hold=vm_object_hold):
    obj = vm_object_allocate(vm, 8)
    hold(obj)
    return obj


def poke(thing, **values):
    """Write fields and words behind everybody's back."""
    for name, value in values.items():
        declared = thing.fields[name]
        if declared.atomic:
            Word.value.__set__(declared.peek(thing), value)  # the slot, which no twin guards
        else:
            declared.poke(thing, value)
