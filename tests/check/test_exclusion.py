"""Mutual exclusion, seen from who owns what."""

import pytest

import vmsmp
from verdicts import found, silent
from vmsmp.patches.patch import Mutant

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])


def counting(make, shared=False):
    def program(m):
        lock, cell = make(m), m.cell(0)

        def section():
            with lock:
                cell.store(cell.load() + 1)

        def reader():
            lock.acquire_shared()
            cell.load()
            lock.release()

        m.spawn(section)
        m.spawn(reader if shared else section)
        m.join()

    return program


MAKE = {
    "spinlock": lambda m: m.spinlock("l"),
    "token": lambda m: m.token("l"),
    "lockmgr": lambda m: m.lockmgr("l"),
}
#: A lock that grants too much, by depth and sort: (function, snippet, replacement).
PLANTED = {
    ("atomic", "spinlock"): (
        "vmsmp.sync.spinlock:AtomicSpinlock._free",
        "return self._owner is None and not self._readers",
        "return True",
    ),
    ("atomic", "token"): (
        "vmsmp.sync.token.atomic:AtomicToken._grantable",
        "return self._owner is cpu",
        "return True",
    ),
    ("atomic", "lockmgr"): (
        "vmsmp.sync.lockmgr.atomic:AtomicLockmgr._can_exclusive",
        "return self._owner is None and not self._readers and self._upgrader is None",
        "return True",
    ),
    ("exact", "spinlock"): (
        "vmsmp.sync.spinlock:spin_lock",
        "if old != 0:",
        "if old > 1:",
    ),
    ("exact", "token"): (
        "vmsmp.sync.token.exact:_lwkt_trytokref_exclusive",
        "if count & ~TOK_EXCLREQ == 0:",
        "if True:",
    ),
    ("exact", "lockmgr"): (
        "vmsmp.sync.lockmgr.word:exclusive_grantable",
        "return not count & (LKC_UPREQ | LKC_EXREQ | LKC_XMASK) and not (",
        "return True or not (",
    ),
}


@pytest.mark.parametrize(("locks", "sort"), PLANTED)
def test_a_lock_that_grants_too_much_is_caught_at_the_grant(locks, sort):
    function, old, new = PLANTED[locks, sort]
    with Mutant("planted", function, old, new, "", "").plant():
        failure = found(
            counting(MAKE[sort]),
            "check",
            f"mutual exclusion: {sort} 'l' is held exclusive and exclusive at once",
            locks=locks,
        )
    assert 2 == len(failure.facts)


@pytest.mark.parametrize("locks", ["atomic", "exact"])
@pytest.mark.parametrize("sort", MAKE)
def test_exclusive_and_shared_sections_of_a_right_lock_are_silent(locks, sort):
    for shared in (False, True):
        silent(counting(MAKE[sort], shared), locks=locks)


def test_a_writer_let_in_beside_a_reader_is_caught():
    planted = Mutant(
        "planted",
        "vmsmp.sync.spinlock:AtomicSpinlock._free",
        "return self._owner is None and not self._readers",
        "return self._owner is None",
        "",
        "",
    )
    message = "mutual exclusion: spinlock 'l' is held {} and {} at once"
    with planted.plant():
        failure = vmsmp.explore(counting(MAKE["spinlock"], True), sched="random", schedules=200).failure
    assert message.format("exclusive", "shared") == failure.message


@pytest.mark.parametrize("sort", MAKE)
def test_the_free_engine_catches_it_too(sort):
    function, old, new = PLANTED["atomic", sort]

    def program(m):
        lock, inside = MAKE[sort](m), m.atomic(0)

        def section():
            with lock:
                inside.fetchadd(1)
                while inside.load() < 2:  # until the other one is inside as well
                    m.pause()

        m.spawn(section)
        m.spawn(section)
        m.join()

    with Mutant("planted", function, old, new, "", "").plant():
        outcome = vmsmp.run(program, engine="free", time_s=5)
    assert f"check: mutual exclusion: {sort} 'l' is held exclusive and exclusive at once" == (
        outcome.failure.signature
    )


def test_without_checkers_it_takes_the_programs_own_check():
    function, old, new = PLANTED["atomic", "spinlock"]
    with Mutant("planted", function, old, new, "", "").plant():
        result = vmsmp.explore(counting(MAKE["spinlock"]), sched="random", schedules=50, check=False)
    assert [] == result.failures
