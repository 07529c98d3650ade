"""struct thread: critical sections, IPIs, refs of the token stack."""

import pytest

from lock_runs import alone, delay, once
from vmsmp.sync.thread import (
    TOK_EXCLREQ,
    TOK_EXCLUSIVE,
    TokRef,
    crit_enter,
    crit_exit,
    curthread,
    lwkt_process_ipiq,
    lwkt_send_ipiq,
)


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


def test_an_ipi_waits_for_the_end_of_the_outermost_critical_section():
    def program(m, seen):
        td = curthread(m)
        crit_enter(td)
        crit_enter(td)
        lwkt_send_ipiq(m, td, lambda: seen.append("ipi"))
        crit_exit(td)
        seen.append("inner exit")
        crit_exit(td)

    assert ["inner exit", "ipi"] == alone(program)


def test_an_ipi_is_taken_before_a_critical_section_begins():
    def program(m, seen):
        td = curthread(m)
        lwkt_send_ipiq(m, td, lambda: seen.append(td.td_critcount))
        crit_enter(td)
        seen.append("inside")
        crit_exit(td)

    assert [1, "inside"] == alone(program)


def test_ipis_are_taken_in_the_order_in_which_they_were_sent():
    def program(m, seen):
        td = curthread(m)
        for n in range(3):
            lwkt_send_ipiq(m, td, lambda n=n: seen.append(n))
        seen.append(td.state())
        lwkt_process_ipiq(td)
        seen.append(td.state())

    assert ["3 queued", 0, 1, 2, "0 queued"] == alone(program)


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
