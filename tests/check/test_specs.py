"""The sequential specifications: each by itself, and against the real locks."""

from functools import partial

import pytest

import verdicts
import vmsmp
from vmsmp.check.linearize import ANY, History, Operation, check
from vmsmp.check.specs import (
    AddressMap,
    Allocator,
    BuddyBlocks,
    Mutex,
    PageQueue,
    Queue,
    Register,
    Residency,
    RwLock,
)
from vmsmp.errors import UsageError

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])
silent = partial(verdicts.silent, schedules=200)


def follow(spec, *lines):
    """Do (name, args, result) one after another; the first that cannot be, or None."""
    states = [spec.initial()]
    for line in lines:
        states = [after for state in states for after in spec.step(state, *line)]
        if not states:
            return line
    return None


POSSIBLE = {
    "a register": (
        Register(5),
        [
            ("load", (), 5),
            ("store", (1,), None),
            ("cmpset", (1, 2), True),
            ("cmpset", (1, 3), False),
            ("fetchadd", (2,), 2),
            ("load", (), 4),
        ],
    ),
    "a queue": (
        Queue(),
        [
            ("get", (), None),
            ("put", (1,), None),
            ("put", (2,), None),
            ("get", (), 1),
            ("get", (), 2),
            ("get", (), None),
        ],
    ),
    "a mutex": (
        Mutex(),
        [
            ("acquire", (0,), None),
            ("try_acquire", (1,), False),
            ("release", (0,), None),
            ("try_acquire", (1,), True),
            ("release", (1,), None),
        ],
    ),
    "readers and an owner": (
        RwLock(),
        [
            ("acquire_shared", (1,), None),
            ("acquire_shared", (2,), None),
            ("try_acquire", (3,), False),
            ("try_upgrade", (1,), False),
            ("release_shared", (2,), None),
            ("try_upgrade", (1,), True),
            ("release", (1,), None),
            ("acquire", (3,), None),
            ("release", (3,), None),
            ("try_acquire", (3,), True),
        ],
    ),
    "a reader who reads twice": (
        RwLock(),
        [
            ("acquire_shared", (1,), None),
            ("acquire_shared", (1,), None),
            ("try_upgrade", (1,), False),
            ("release_shared", (1,), None),
            ("try_upgrade", (1,), True),
        ],
    ),
    "a page queue": (
        PageQueue(),
        [
            ("insert_tail", ("q", 1), None),
            ("insert_tail", ("q", 2), None),
            ("insert_head", ("q", 3), None),
            ("remove", ("q", 1), None),
            ("take_first", ("q",), 3),
            ("take_first", ("q",), 2),
            ("take_first", ("q",), None),
        ],
    ),
    "an allocator": (
        Allocator("pq"),
        [
            ("alloc", (), "q"),
            ("alloc", (), "p"),
            ("alloc", (), None),
            ("free", ("q",), None),
            ("alloc", (), "q"),
        ],
    ),
    "an allocator that may fail": (Allocator("pq", may_fail=True), [("alloc", (), None), ("alloc", (), "p")]),
    "an allocator that gave somebody something": (
        Allocator("pq"),
        [("alloc", (), ANY), ("alloc", (), "q"), ("alloc", (), None)],
    ),
    "a buddy allocator": (
        BuddyBlocks([("zone", 0, 8)], 3),
        [
            ("alloc", (0,), 0),
            ("alloc", (1,), 2),
            ("alloc", (0,), 1),
            ("free", (2, 1), None),
            ("alloc", (1,), 2),
            ("alloc", (2,), 4),
            ("alloc", (0,), None),
            ("free", (0, 0), None),
            ("free", (1, 0), None),
            ("free", (2, 1), None),
            ("free", (4, 2), None),
            ("alloc", (3,), 0),
        ],
    ),
    "a buddy allocator whose first zone is full": (
        BuddyBlocks([("high", 2, 4), ("low", 0, 2)], 3),
        [("alloc", (1,), 2), ("alloc", (1,), 0), ("alloc", (0,), None)],
    ),
    "a buddy allocator that passes a zone by": (
        BuddyBlocks([("high", 2, 4), ("low", 0, 2)], 3, may_fail=True),
        [("alloc", (1,), 0), ("alloc", (0,), None)],
    ),
    "a map": (
        AddressMap(4, "copy", "none"),
        [
            ("map", (1, 2, 3), True),
            ("map", (2, 2, 3), False),
            ("find", (2, 1), None),
            ("find", (1, 1), 0),
            ("allows", (0, 3, 1), True),
            ("allows", (0, 3, 3), False),
            ("allows", (2, 2, 1), False),
            ("protect", (0, 4, 1), None),
            ("inherit", (2, 2, "none"), None),
            ("fork", (), ((1, "copy"), (1, "copy"), None, None)),
            ("remove", (0, 2), None),
            ("find", (2, 3), 0),
            ("fork", (), ((3, "copy"), (3, "copy"), None, None)),
            ("allows", (2, 1, 1), True),
        ],
    ),
    "residency": (
        Residency(),
        [
            ("lookup", ("o", 0), None),
            ("insert", ("o", 0, "p"), True),
            ("insert", ("o", 0, "q"), False),
            ("lookup", ("o", 0), "p"),
            ("remove", ("o", 0), None),
            ("lookup", ("o", 0), None),
        ],
    ),
    "a mutex that may fail": (Mutex(may_fail=True), [("try_acquire", (1,), False), ("acquire", (1,), None)]),
    "an upgrade that may fail": (
        RwLock(may_fail=True),
        [("try_acquire", (1,), False), ("acquire_shared", (1,), None), ("try_upgrade", (1,), False)],
    ),
}
#: The last line cannot be.
IMPOSSIBLE = {
    "a stale load": (Register(), [("store", (1,), None), ("load", (), 0)]),
    "a cmpset of another value": (Register(), [("cmpset", (1, 2), True)]),
    "an acquire of an owned mutex": (Mutex(), [("acquire", (0,), None), ("acquire", (1,), None)]),
    "a try of an owned mutex": (Mutex(), [("acquire", (0,), None), ("try_acquire", (1,), True)]),
    "a failed try of a free mutex": (Mutex(), [("try_acquire", (1,), False)]),
    "a release by another": (Mutex(), [("acquire", (0,), None), ("release", (1,), None)]),
    "a release of a free mutex": (Mutex(may_fail=True), [("release", (1,), None)]),
    "an owner beside a reader": (RwLock(), [("acquire_shared", (1,), None), ("acquire", (2,), None)]),
    "a reader beside an owner": (RwLock(), [("acquire", (1,), None), ("acquire_shared", (2,), None)]),
    "an upgrade beside a reader": (
        RwLock(may_fail=True),
        [("acquire_shared", (1,), None), ("acquire_shared", (2,), None), ("try_upgrade", (1,), True)],
    ),
    "an upgrade without a hold": (RwLock(may_fail=True), [("try_upgrade", (1,), False)]),
    "a failed upgrade of the only reader": (
        RwLock(),
        [("acquire_shared", (1,), None), ("try_upgrade", (1,), False)],
    ),
    "a reader's release by another": (
        RwLock(),
        [("acquire_shared", (1,), None), ("release_shared", (2,), None)],
    ),
    "an owner's release by a reader": (RwLock(), [("acquire_shared", (1,), None), ("release", (1,), None)]),
    "a page on a queue twice": (
        PageQueue(),
        [("insert_tail", ("q", 1), None), ("insert_head", ("q", 1), None)],
    ),
    "a page taken off that is not on": (PageQueue(), [("remove", ("q", 1), None)]),
    "a page that is not the first": (
        PageQueue(),
        [("insert_tail", ("q", 1), None), ("insert_tail", ("q", 2), None), ("take_first", ("q",), 2)],
    ),
    "a page given out twice": (Allocator("pq"), [("alloc", (), "p"), ("alloc", (), "p")]),
    "a page that there is not": (Allocator("pq"), [("alloc", (), "x")]),
    "nothing though there are pages": (Allocator("pq"), [("alloc", (), "p"), ("alloc", (), None)]),
    "a page freed twice": (
        Allocator("pq"),
        [("alloc", (), "p"), ("free", ("p",), None), ("free", ("p",), None)],
    ),
    "two mappings of one page": (
        AddressMap(4, "copy", "none"),
        [("map", (0, 2, 3), True), ("map", (1, 2, 3), True)],
    ),
    "a hole that is passed by": (AddressMap(4, "copy", "none"), [("find", (1, 3), 1)]),
    "a copy of half a change": (
        AddressMap(2, "copy", "none"),
        [("map", (0, 2, 3), True), ("protect", (0, 2, 1), None), ("fork", (), ((3, "copy"), (1, "copy")))],
    ),
    "a block that is not the smallest that fits": (
        BuddyBlocks([("zone", 0, 8)], 3),
        [("alloc", (0,), 0), ("alloc", (0,), 2)],
    ),
    "a block that is not the lowest": (BuddyBlocks([("zone", 0, 16)], 3), [("alloc", (3,), 8)]),
    "a block that overlaps another": (
        BuddyBlocks([("zone", 0, 8)], 3),
        [("alloc", (1,), 0), ("alloc", (0,), 1)],
    ),
    "a block of another zone though the first has one": (
        BuddyBlocks([("high", 2, 4), ("low", 0, 2)], 3),
        [("alloc", (1,), 0)],
    ),
    "a block freed twice": (
        BuddyBlocks([("zone", 0, 2)], 1),
        [("alloc", (0,), 0), ("free", (0, 0), None), ("free", (0, 0), None)],
    ),
    "two pages at one index": (
        Residency(),
        [("insert", ("o", 0, "p"), True), ("insert", ("o", 0, "q"), True)],
    ),
    "a lookup of another page": (Residency(), [("insert", ("o", 0, "p"), True), ("lookup", ("o", 0), "q")]),
    "a removal of nothing": (Residency(), [("remove", ("o", 0), None)]),
}


@pytest.mark.parametrize("name", POSSIBLE)
def test_what_can_be_is_possible(name):
    spec, lines = POSSIBLE[name]
    assert None is follow(spec, *lines)


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_what_cannot_be_is_impossible(name):
    spec, lines = IMPOSSIBLE[name]
    assert lines[-1] == follow(spec, *lines)


@pytest.mark.parametrize(
    "spec",
    [
        Register(),
        Queue(),
        Mutex(),
        RwLock(),
        Allocator("p"),
        BuddyBlocks([], 0),
        AddressMap(1, 1, 2),
        Residency(),
    ],
)
def test_an_unknown_operation_is_the_callers_mistake(spec):
    with pytest.raises(UsageError, match=rf"{type(spec).__name__} has no operation 'step', only "):
        spec.step(spec.initial(), "step", (), None)


def test_a_reader_leaves_the_state_that_he_found():
    """States are equal whatever way they were come by, or the search would go through them again."""
    spec = RwLock()
    (state,) = spec.step(spec.initial(), "acquire_shared", (1,), None)
    (state,) = spec.step(state, "acquire_shared", (2,), None)
    (state,) = spec.step(state, "release_shared", (1,), None)
    (state,) = spec.step(state, "release_shared", (2,), None)
    assert spec.initial() == state


@pytest.mark.parametrize(
    ("spec", "name", "args", "key"),
    [
        (PageQueue(), "take_first", ("q",), ("q",)),
        (PageQueue(), "remove", ("q", 1), ("q",)),
        (Residency(), "insert", ("o", 3, "p"), ("o", 3)),
        (Residency(), "lookup", ("o", 3), ("o", 3)),
        (Queue(), "get", (), None),
    ],
)
def test_an_operation_belongs_to_what_it_is_done_to(spec, name, args, key):
    assert key == spec.key(name, args)


def test_one_of_two_pages_is_named_by_what_comes_later():
    """An allocation that is pending took the page that nobody else gets."""
    operations = [
        Operation(1, "alloc", (), None, 0, None),
        Operation(2, "alloc", (), "q", 1, 2),
        Operation(2, "free", ("p",), None, 3, 4),
    ]
    assert "ok" == check(operations, Allocator("pq")).verdict
    assert "illegal" == check(operations[1:], Allocator("pq")).verdict


# -- the real locks -----------------------------------------------------------------------------------


def contending(spec, *, shared=False, upgrades=False, cpus=3):
    """CPUs that acquire and try a spinlock, and read under it, and upgrade."""

    def program(m):
        lock, told = m.spinlock("l"), History(m)

        def operate(name, who):
            with told.operation(name, who) as op:
                op.result = getattr(lock, name)()
            if op.result is not False:
                m.yield_()  # so that a hold lasts
            return op.result

        def user(who):
            operate("acquire", who)
            operate("release", who)
            if operate("try_acquire", who):
                operate("release", who)

        def reader(who):
            operate("acquire_shared", who)
            if upgrades and operate("try_upgrade", who):
                operate("release", who)
            else:
                operate("release_shared", who)

        for n in range(1, cpus + 1):
            m.spawn(reader if shared and n % 2 else user, n)
        m.join()
        told.judge(spec)

    return program


@DEPTHS
@pytest.mark.parametrize("spec", [Mutex(may_fail=True), RwLock(may_fail=True)])
def test_a_spinlock_is_a_mutex_whose_tries_may_fail(locks, spec):
    silent(contending(spec), locks=locks)


@pytest.mark.parametrize("spec", [Mutex(), RwLock()])
def test_an_atomic_spinlock_never_fails_a_try_for_nothing(spec):
    silent(contending(spec), locks="atomic")


@DEPTHS
@pytest.mark.parametrize("upgrades", [False, True])
def test_a_shared_spinlock_is_a_lock_of_readers_and_an_owner(locks, upgrades):
    silent(contending(RwLock(may_fail=True), shared=True, upgrades=upgrades, cpus=4), locks=locks)


def test_an_exact_spinlock_fails_a_try_for_who_waits():
    """A queued writer is in the word when nobody owns it; the kernel's `spin_trylock` gives up on that."""
    failure = vmsmp.explore(
        contending(Mutex()), locks="exact", sched="random", schedules=3000, time_s=20
    ).failure
    assert "linearizability" == failure.kind
    assert any("try_acquire" in fact and "-> False" in fact for fact in failure.facts)


def test_a_spinlock_with_two_owners_is_no_mutex():
    """The history alone tells, with all checkers off."""
    from vmsmp.patches.patch import Mutant

    planted = Mutant(
        "planted",
        "vmsmp.sync.spinlock:AtomicSpinlock._free",
        "return self._owner is None and not self._readers",
        "return True",
        "",
        "",
    )
    with planted.plant():
        failure = vmsmp.explore(
            contending(Mutex(may_fail=True)), sched="random", schedules=200, check=False
        ).failure
    assert "linearizability: Mutex: no order of the operations explains their results" == failure.signature


def test_the_free_engines_spinlock_is_a_mutex():
    program = contending(RwLock(may_fail=True), shared=True, cpus=4)
    assert None is vmsmp.run(program, engine="free", locks="exact", seed=2, time_s=5).failure
