"""State words: what a lock's word says fits who owns it, or is said to be wrong."""

import pytest

import vmsmp
from verdicts import found, silent
from vmsmp.patches.patch import Mutant
from vmsmp.sync.spinlock import SPINLOCK_EXCLWAIT

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])


def using(make, how="acquire"):
    def program(m):
        lock = make(m)

        def section():
            getattr(lock, how)()
            m.yield_()
            lock.release()

        m.spawn(section)
        m.spawn(section)
        m.join()

    return program


def caught(program, function, old, new, message):
    with Mutant("planted", function, old, new, "", "").plant():
        return found(program, "check", message, locks="exact")


def test_a_spinlock_word_that_counts_too_little_is_caught():
    caught(
        using(lambda m: m.spinlock("l"), "acquire_shared"),
        "vmsmp.sync.spinlock:spin_lock_shared",
        "old = spin.lock.fetchadd(1)",
        "old = spin.lock.fetchadd(0 if spin.lock.peek() & SPINLOCK_SHARED else 1)",
        "state word of spinlock 'l': 2 hold it but the word counts 1",
    )


def test_a_spinlock_word_that_is_left_behind_is_caught_at_the_end():
    """SP-01: a try that fails and leaves its increment."""

    def program(m):
        lock = m.spinlock("l")
        m.spawn(lambda: lock.try_acquire() and lock.release())
        with lock:
            m.yield_()
        m.join()

    caught(
        program,
        "vmsmp.sync.spinlock:spin_trylock",
        "_spin_leave(td)\nreturn False",
        "_spin_leave(td)\nspin.lock.fetchadd(1)\nreturn False",
        "state word of spinlock 'l': nobody uses it but the word is 1",
    )


def test_a_token_s_count_that_is_left_behind_is_caught():
    caught(
        using(lambda m: m.token("l"), "acquire_shared"),
        "vmsmp.sync.token.exact:_lwkt_reltokref",
        "if tok.t_count.fetchadd(-TOK_INCR) & TOK_COUNTMASK == 0:",
        "if tok.t_count.fetchadd(0) & TOK_COUNTMASK == 0:",
        "state word of token 'l': 1 count in it but t_count is 2",
    )


def test_a_token_whose_owner_stays_set_is_caught():
    def program(m):
        token = m.token("l")
        token.acquire()
        token.release()

    caught(
        program,
        "vmsmp.sync.token.exact:_lwkt_reltokref",
        "tok.t_ref.store(None)",
        "pass",
        "state word of token 'l': t_ref is set and EXCLUSIVE is not",
    )


def test_a_lockmgr_word_that_stays_shared_under_an_owner_is_caught():
    def program(m):
        lock = m.lockmgr("l")
        lock.acquire_shared()
        lock.release()
        lock.acquire()
        lock.release()

    caught(
        program,
        "vmsmp.sync.lockmgr.exclusive:lockmgr_exclusive",
        "granted, count = lkp.lk_count.fcmpset(count, (count + 1) & ~LKC_SHARED)",
        "granted, count = lkp.lk_count.fcmpset(count, count + 1)",
        "state word of lockmgr 'l': XMASK and SHARED are both set",
    )


def test_a_lockmgr_word_that_is_left_behind_is_caught_at_the_end():
    def program(m):
        lock = m.lockmgr("l")
        lock.acquire()
        m.spawn(lambda: lock.lock(vmsmp.LK_SHARED | vmsmp.LK_NOWAIT)).join()
        lock.release()

    caught(
        program,
        "vmsmp.sync.lockmgr.shared:undo_shreq",
        "count = lkp.lk_count.fetchadd(-LKC_SCOUNT) - LKC_SCOUNT",
        "count = lkp.lk_count.fetchadd(0)",
        "state word of lockmgr 'l': nobody uses it but lk_count is SHARED|S1",
    )


@pytest.mark.parametrize("sort", ["spinlock", "token", "lockmgr"])
@pytest.mark.parametrize("how", ["acquire", "acquire_shared"])
def test_right_words_are_silent_at_every_step(sort, how):
    silent(using(lambda m: getattr(m, sort)("l"), how), locks="exact", schedules=400)


def test_the_free_engine_asks_every_word_at_the_end():
    def program(m):
        spin = m.spinlock("s")
        spin.acquire()
        m.spawn(spin.try_acquire).join()
        spin.release()

    failure = vmsmp.run(program, engine="free", locks="exact", mutants=["SP-01"]).failure
    assert "check: state word of spinlock 's': nobody uses it but the word is N" == failure.signature


def test_the_free_engine_asks_every_word_at_a_rendezvous():
    def program(m):
        spin, flag = m.spinlock("s"), m.cell(0)
        spin.lock.store(SPINLOCK_EXCLWAIT)

        def works_on():
            while True:
                flag.load()

        m.spawn(works_on)
        m.join()

    failure = vmsmp.run(program, engine="free", locks="exact", time_s=20.0).failure
    assert "check: state word of spinlock 's': N writers wait but the word counts N" == failure.signature


TAKEN = "taken, count = tok.t_count.fcmpset(count, count & ~TOK_EXCLREQ | TOK_EXCLUSIVE)"


def users_of_a_token(m):
    """Two writers, one of which takes it twice, and a reader."""
    token = m.token("l")

    def writer():
        with token, token:
            m.yield_()

    def reader():
        token.acquire_shared()
        m.yield_()
        token.release()

    for role in (writer, writer, reader):
        m.spawn(role)
    m.join()


def test_exclusive_that_its_owner_left_behind_is_caught():
    def program(m):
        with m.token("l"):
            pass
        m.yield_()

    caught(
        program,
        "vmsmp.sync.token.exact:_lwkt_reltokref",
        "tok.t_count.clearbits(TOK_EXCLUSIVE)",
        "tok.t_count.clearbits(0)",
        "state word of token 'l': 0 own it exclusively but t_count is EXCL|0",
    )


def test_a_count_of_nobody_beside_an_owner_is_caught():
    failure = planted(
        users_of_a_token,
        "vmsmp.sync.token.exact:_lwkt_trytokref_shared",
        "count = tok.t_count.fetchadd(-TOK_INCR) - TOK_INCR",
        "count = tok.t_count.load()",
    )
    assert failure.message.startswith("state word of token 'l': ")
    assert " count in it but t_count is " in failure.message


def test_a_request_that_outlives_its_grant_is_caught():
    caught(
        users_of_a_token,
        "vmsmp.sync.token.exact:_lwkt_trytokref_exclusive",
        TAKEN,
        TAKEN.replace("count & ~TOK_EXCLREQ | TOK_EXCLUSIVE", "count | TOK_EXCLUSIVE"),
        "state word of token 'l': EXCLREQ is set and nobody has asked since the last exclusive owner",
    )


def test_a_sleeper_that_keeps_its_token_is_caught():
    def program(m):
        token = m.token("l")

        def sleeper():
            with token:
                m.tsleep("nap", 0, "", 5)

        m.spawn(sleeper)
        m.yield_()
        with token:
            pass
        m.join()

    switch = "vmsmp.sync.token.switch:lwkt_switch"
    with Mutant("planted", switch, "lwkt_relalltokens(td)", "td.td_toks_have = None", "", "").plant():
        result = vmsmp.explore(program, sched="random", schedules=300, locks="exact", stop="never")
    assert "state word of token 'l': cpu1 sleeps and owns it" in {f.message for f in result.failures}


def test_shared_beside_an_owner_is_caught_while_others_ask():
    """INV-SP3 holds at every step, not only when nobody is inside an acquire."""

    def program(m):
        lock = m.spinlock("l")

        def reader():
            lock.acquire_shared()
            lock.release()

        def writer():
            with lock:
                m.yield_()

        for role in (reader, writer, writer):
            m.spawn(role)
        m.join()

    caught(
        program,
        "vmsmp.sync.spinlock:_spin_lock_contested",
        "if old == SPINLOCK_SHARED and word.cmpset(SPINLOCK_SHARED | 1, 1):",
        "if old == SPINLOCK_SHARED:",
        "state word of spinlock 'l': SHARED is set beside an exclusive owner",
    )


def planted(program, function, old, new):
    """The failure that a search finds with a guard taken out."""
    with Mutant("planted", function, old, new, "", "").plant():
        return vmsmp.explore(program, sched="random", schedules=500, locks="exact").failure


@pytest.mark.parametrize(
    ("function", "old", "told"),
    [
        ("vmsmp.sync.spinlock:_spin_leave", "crit_exit(td)", "1 critical sections and 0 spinlocks"),
        ("vmsmp.sync.spinlock:_spin_leave", "td.gd_spinlocks -= 1", "0 critical sections and 1 spinlocks"),
    ],
)
def test_a_cpu_that_ends_is_in_no_critical_section_and_counts_no_spinlock(function, old, told):
    def program(m):
        lock = m.spinlock("l")

        def user():
            with lock:
                pass

        m.spawn(user)
        m.join()

    assert f"INV-SP4: cpu1 ended in {told}" == planted(program, function, old, "").message


def test_a_cpu_that_ends_with_a_spinlock_held_leaks_it():
    def program(m):
        m.spawn(m.spinlock("l").acquire)
        m.join()

    assert "leak" == vmsmp.explore(program, schedules=1, locks="exact").failure.kind


def test_a_request_for_a_token_that_is_not_published_is_caught():
    caught(
        using(lambda m: m.token("l")),
        "vmsmp.sync.token.exact:_lwkt_trytokref_exclusive",
        "tok.t_count.setbits(TOK_EXCLREQ)",
        "pass",
        "state word of token 'l': EXCLREQ is clear and somebody has asked since the last exclusive owner",
    )
