"""The queues, hints and masks of the exact depth."""

import vmsmp
import vmsmp.machine
from lock_runs import delay, once
from vmsmp import PINTERLOCKED
from vmsmp.sync.sleepq import MATCH_ALL, bucket_of


def same_bucket(count):
    """So many idents of one bucket."""
    return [n for n in range(1, 1000) if bucket_of(n) == bucket_of(1)][:count]


def test_an_announcement_shows_in_the_hints_which_stay_and_in_the_mask():
    seen = []

    def program(m):
        m.tsleep_interlock(1)
        queue = m.sleepq._queue(m.curcpu, bucket_of(1))
        seen.append(([h.peek() for h in queue.hints], m.sleepq.slpque_cpumasks[bucket_of(1)].peek()))
        m.tsleep(1, PINTERLOCKED, "", 1)
        seen.append(([h.peek() for h in queue.hints], m.sleepq.slpque_cpumasks[bucket_of(1)].peek()))

    vmsmp.explore(program, schedules=1, locks="exact", check=False)
    assert [([1, None, None, None], 1), ([1, None, None, None], 0)] == seen


def test_the_hint_is_stored_before_the_mask():
    """SL-10: a waker that sees the bit must find the ident."""
    kinds = []

    class Spy:
        def __init__(self, word, name):
            self.word, self.name = word, name

        def __getattr__(self, item):
            if item in ("store", "setbits"):
                kinds.append(self.name)
            return getattr(self.word, item)

    def program(m):
        queues, bucket = m.sleepq, bucket_of(1)
        hints = queues._queue(m.curcpu, bucket).hints
        hints[:] = [Spy(hint, "hint") for hint in hints]
        queues.slpque_cpumasks[bucket] = Spy(queues.slpque_cpumasks[bucket], "mask")
        m.tsleep_interlock(1)

    vmsmp.explore(program, schedules=1, locks="exact")
    assert ["hint", "mask"] == kinds


def test_more_idents_than_hints_make_the_first_one_match_all():
    """SL-09: hints stay after a sleep, so one thread that sleeps on five idents runs out of them."""
    seen = []

    def program(m):
        def sleeper():
            for ident in same_bucket(5)[:4]:
                m.tsleep(ident, 0, "", 1)
            seen.append(m.tsleep(same_bucket(5)[4]))

        m.spawn(sleeper)
        delay(m, 9)
        hints = m.sleepq._queue(m.cpus[1], bucket_of(1)).hints
        seen.append([hint.peek() for hint in hints])
        m.wakeup(same_bucket(5)[4])
        m.join()
        seen.append([hint.peek() for hint in hints])

    once(program)
    assert [[MATCH_ALL, *same_bucket(4)[1:]], 0, [None] * 4] == seen


def test_a_wakeup_of_another_ident_drops_stale_hints_and_keeps_the_overflow():
    seen = []

    def program(m):
        last, other = same_bucket(6)[4:]

        def sleeper():
            for ident in same_bucket(6)[:4]:
                m.tsleep(ident, 0, "", 1)
            m.tsleep(last)

        m.spawn(sleeper)
        delay(m, 9)
        m.wakeup(other)
        delay(m, 1)
        seen.append([hint.peek() for hint in m.sleepq._queue(m.cpus[1], bucket_of(1)).hints])
        m.wakeup(last)
        m.join()

    once(program)
    assert [[MATCH_ALL, None, None, None]] == seen


def test_a_move_to_another_queue_clears_hints_and_mask_of_the_old_one():
    seen = []

    def program(m):
        other = next(n for n in range(2, 100) if bucket_of(n) != bucket_of(1))
        m.tsleep_interlock(1)
        m.tsleep_interlock(other)
        queue = m.sleepq._queue(m.curcpu, bucket_of(1))
        seen.append([hint.peek() for hint in queue.hints])
        seen.append(m.sleepq.slpque_cpumasks[bucket_of(1)].peek())

    once(program)
    assert [[None] * 4, 0] == seen


def test_ipis_go_to_the_lowest_cpu_first():
    sent = []

    def program(m):
        for _ in range(3):
            m.spawn(lambda: m.tsleep(1))
        delay(m, 1)
        m.hooks.op = (*m.hooks.op, lambda cpu, code: sent.append(m.describe(code)))
        m.engine.on_op = m.hooks.op
        m.wakeup(1)
        m.join()

    once(program)
    assert [f"ipi ipiq of cpu{n}" for n in (1, 2, 3)] == [word for word in sent if word.startswith("ipi")]


def test_idents_of_one_bucket_do_not_wake_each_other():
    seen = []
    first, second = same_bucket(2)

    def program(m):
        for ident in (first, second):
            m.spawn(lambda i=ident: (m.tsleep(i), seen.append(i)))
        delay(m, 1)
        m.wakeup(second)
        delay(m, 1)
        m.wakeup(first)
        m.join()

    once(program)
    assert [second, first] == seen
