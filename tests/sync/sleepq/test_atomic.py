"""The one list of the atomic depth."""

from lock_runs import delay, once


def test_wakeup_one_of_the_one_list_reaches_exactly_who_came_first():
    seen = []

    def program(m):
        for _ in range(2):
            m.spawn(lambda: (m.tsleep("x"), seen.append((m.curcpu.index, m.ticks))))
        delay(m, 1)
        m.wakeup_one("x")
        delay(m, 1)
        m.wakeup_one("x")
        m.join()

    once(program, "atomic")
    assert [(1, 1), (2, 2)] == seen
