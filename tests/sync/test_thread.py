"""struct thread: critical sections, IPIs, refs of the token stack."""

import pytest

import vmsmp
from lock_runs import alone, delay, once
from vmsmp.sync.ipiq import lwkt_send_ipiq
from vmsmp.sync.thread import (
    TOK_EXCLREQ,
    TOK_EXCLUSIVE,
    TokRef,
    crit_enter,
    crit_exit,
    curthread,
    lwkt_process_ipiq,
    thread_of,
)
from vmsmp.sync.token.switch import lwkt_switch


def test_a_cpu_has_one_thread():
    same = alone(lambda m, seen: seen.append(curthread(m) is curthread(m)))
    assert [True] == same


def test_two_cpus_have_two_threads():
    threads = []

    def program(m):
        m.spawn(lambda: threads.append(curthread(m)))
        m.join()
        threads.append(curthread(m))

    once(program)
    assert [1, 0] == [td.cpu.index for td in threads]


def test_critical_sections_nest():
    def program(m, seen):
        td = curthread(m)
        for step in (crit_enter, crit_enter, crit_exit, crit_exit):
            step(td)
            seen.append(td.td_critcount)

    assert [1, 2, 1, 0] == alone(program)


def sent_to_boot(m, func):
    """Have CPU 1 send an IPI to the boot CPU."""
    td = curthread(m)
    m.spawn(lambda: lwkt_send_ipiq(m, td, func))
    m.yield_()


def test_an_ipi_waits_for_the_end_of_the_outermost_critical_section():
    def program(m, seen):
        td = curthread(m)
        crit_enter(td)
        crit_enter(td)
        sent_to_boot(m, lambda: seen.append("ipi"))
        crit_exit(td)
        seen.append("inner exit")
        crit_exit(td)

    assert ["inner exit", "ipi"] == alone(program)


def test_an_ipi_is_taken_before_a_critical_section_begins():
    def program(m, seen):
        td = curthread(m)
        sent_to_boot(m, lambda: seen.append(td.td_critcount))
        crit_enter(td)
        seen.append("inside")
        crit_exit(td)

    assert [1, "inside"] == alone(program)


def test_an_ipi_to_the_own_cpu_is_a_call():
    def program(m, seen):
        td = curthread(m)
        crit_enter(td)
        lwkt_send_ipiq(m, td, lambda: seen.append("ipi"))
        crit_exit(td)
        seen.append("exit")

    assert ["ipi", "exit"] == alone(program)


def test_ipis_of_one_source_are_taken_in_the_order_in_which_they_were_sent():
    def program(m, seen):
        td = curthread(m)
        crit_enter(td)
        for n in range(3):
            sent_to_boot(m, lambda n=n: seen.append(n))
        seen.append(td.state())
        crit_exit(td)
        seen.append(td.state())

    assert ["3 queued", 0, 1, 2, "0 queued"] == alone(program)


def test_of_several_sources_the_lowest_comes_first():
    def program(m, seen):
        td = curthread(m)
        go = m.atomic(0)

        def sender(turn):
            while go.load() != turn:
                m.pause()
            lwkt_send_ipiq(m, td, lambda: seen.append(turn))
            go.store(turn - 1)

        m.spawn(sender, 1)
        m.spawn(sender, 2)
        crit_enter(td)
        go.store(2)
        while go.load():
            m.pause()
        crit_exit(td)

    assert [1, 2] == alone(program)


def test_an_ipi_may_not_switch():
    def program(m):
        td = curthread(m)
        sent_to_boot(m, lambda: lwkt_switch(td))
        lwkt_process_ipiq(td)

    failure = vmsmp.explore(program, sched="dfs:0", schedules=1, locks="exact").failure
    assert "Attempt to switch from a fast interrupt, ipi, or hard code section" in failure.message


@pytest.mark.parametrize("sched", ["random", "dfs:2"])
def test_senders_whose_fifos_are_full_take_the_ipis_of_one_another(monkeypatch, sched):
    monkeypatch.setattr("vmsmp.sync.ipiq.fifo.IPIQ_LIMITS", (2, 1))
    fewest = set()

    def program(m):
        taken, go = [0, 0], m.atomic(0)

        def count(which):
            taken[which] += 1

        def sender(which):
            while not go.load():
                m.pause()
            crit_enter(curthread(m))  # nothing is taken but by the spin
            for _ in range(6):
                lwkt_send_ipiq(m, thread_of(m, m.cpus[2 - which]), lambda: count(1 - which))
            crit_exit(curthread(m))

        for which in range(2):
            m.spawn(sender, which)
        go.store(1)
        m.join()
        fewest.add(min(taken))

    assert [] == vmsmp.explore(program, sched=sched, schedules=200, locks="exact").failures
    assert 0 < max(fewest)


def test_a_thread_that_another_cpu_needed_first_is_that_of_its_cpu():
    seen = []

    def program(m):
        other = m.spawn(lambda: seen.append(curthread(m)))
        seen.append(thread_of(m, other))
        m.join()
        seen.append(m.find(seen[0].ident))

    once(program)
    assert seen[0] is seen[1] is seen[2]


def test_an_idle_cpu_takes_an_ipi_at_once():
    seen = []

    def program(m):
        sleeper = m.spawn(m.tsleep, "x", 0, "", 9)
        delay(m, 1)
        lwkt_send_ipiq(m, sleeper.td, lambda: seen.append((m.curcpu.index, m.ticks)))
        m.join()

    once(program)
    assert [(1, 1)] == seen


def test_the_queue_of_ipis_is_named_by_its_cpu():
    assert ["ipiq of cpu0"] == alone(lambda m, seen: seen.append(repr(curthread(m))))


@pytest.mark.parametrize(
    ("count", "mode"), [(TOK_EXCLUSIVE | TOK_EXCLREQ, "exclusive"), (TOK_EXCLREQ, "shared")]
)
def test_a_ref_is_exclusive_or_shared_by_its_count(count, mode):
    assert [mode] == alone(lambda m, seen: seen.append(TokRef(m.token("t"), curthread(m), count).mode))


def test_a_ref_is_shown_with_its_cpu_and_token():
    refs = alone(lambda m, seen: seen.append(repr(TokRef(m.token("t"), curthread(m), 0))))
    assert ["ref of cpu0 to t"] == refs
