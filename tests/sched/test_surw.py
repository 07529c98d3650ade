"""SURW: every order of the accesses to one object about as likely."""

from collections import Counter
from math import comb

from sampling import orders, racers
from vmsmp.campaign.search import Runner
from vmsmp.engine.schedule import Options
from vmsmp.engine.workers import WorkerPool, current_core
from vmsmp.sched.surw import Surw


def test_surw_makes_every_order_of_accesses_to_one_object_about_as_likely():
    program = racers((1, 5), shared=True)
    total = 4_000
    likely = total / comb(6, 1)
    counts = orders("surw", program, total)
    assert 6 == len(counts)
    assert [] == [order for order, n in counts.items() if abs(n - likely) > 5 * (likely * 5 / 6) ** 0.5]


def targets(program, runs):
    """The targets of so many runs, None for a run without one."""
    surw = Surw(1)
    selected = []
    with WorkerPool(current_core()) as pool:
        runner = Runner(pool, program, Options(), check=False)

        def job():
            for _ in range(runs):
                surw.begin()
                selected.append(surw._target)
                runner.run(surw, 0).close()

        pool.drive(job)
    return selected


def three_words(m):
    """Two CPUs share three words: one often, one seldom, and one that nobody writes."""
    words = [m.cell(0) for _ in range(3)]

    def worker():
        for _ in range(9):
            words[0].store(1)
        words[1].store(1)
        words[2].load()

    m.spawn(worker)
    m.spawn(worker)
    m.join()


def test_the_first_run_has_no_target():
    assert None is targets(three_words, 1)[0]


def test_every_object_is_the_target_once_before_any_is_again():
    first, second = targets(three_words, 3)[1:]
    assert first != second


def test_what_nobody_writes_is_never_the_target():
    assert 2 == len(set(targets(three_words, 40)[1:]))


def test_an_object_is_the_target_more_often_the_more_it_is_accessed():
    often, seldom = (n for _, n in Counter(targets(three_words, 60)[3:]).most_common())
    assert often > 3 * seldom


def test_a_program_that_shares_nothing_has_no_target():
    assert {None} == set(targets(lambda m: m.spawn(m.cell(0).store, 1), 5))
