"""The queues, hints and masks of the exact depth."""

import vmsmp
import vmsmp.machine
from lock_runs import delay, once
from vmsmp import PINTERLOCKED
from vmsmp.sync.sleepq import MATCH_ALL, bucket_of


def same_bucket(count):
    """So many idents of one bucket."""
    return [n for n in range(1, 1000) if bucket_of(n) == bucket_of(1)][:count]


def test_an_announcement_shows_in_the_hints_and_in_the_mask():
    seen = []

    def program(m):
        m.tsleep_interlock(1)
        queue = m.sleepq._queue(m.curcpu, bucket_of(1))
        seen.append(([h.peek() for h in queue.hints], m.sleepq.slpque_cpumasks[bucket_of(1)].peek()))
        m.tsleep(1, PINTERLOCKED, "", 1)
        seen.append(([h.peek() for h in queue.hints], m.sleepq.slpque_cpumasks[bucket_of(1)].peek()))

    vmsmp.explore(program, schedules=1, locks="exact", check=False)
    assert [([1, None, None, None], 1), ([None] * 4, 0)] == seen


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


def test_a_wakeup_by_a_hint_that_matches_all_reaches_the_sleeper():
    """SL-09: more idents than hints make the first one match everything."""
    seen = []

    def program(m):
        def sleeper():
            hints = m.sleepq._queue(m.curcpu, bucket_of(1)).hints
            for hint, other in zip(hints, same_bucket(6)[1:], strict=False):
                hint.store(other)  # as if other threads of this CPU slept on these
            seen.append(m.tsleep(1))

        m.spawn(sleeper)
        delay(m, 1)
        seen.append(m.sleepq._queue(m.cpus[1], bucket_of(1)).hints[0].peek())
        m.wakeup(1)
        m.join()

    once(program)
    assert [MATCH_ALL, 0] == seen


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
