"""The one list of the atomic depth."""

from lock_runs import delay, once


def test_wakeup_one_reaches_one_thread_of_every_cpu():
    seen = []

    def program(m):
        for _ in range(2):
            m.spawn(lambda: (m.tsleep("x"), seen.append((m.curcpu.index, m.ticks))))
        delay(m, 1)
        m.wakeup_one("x")
        m.join()

    once(program, "atomic")
    assert [(1, 1), (2, 1)] == seen
