"""One normal form a trace: the same for all of its runs, and a run itself."""

import pytest

import reference
import vmsmp
from vmsmp.campaign.runner import Runner
from vmsmp.engine.options import Options
from vmsmp.engine.workers import WorkerPool, current_core
from vmsmp.sched import normal_form
from vmsmp.sched.fingerprint import fingerprint
from vmsmp.sched.names import make_scheduler
from vmsmp.sched.replay import LogReplay

PROGRAMS = [reference.account, reference.bluetooth, reference.reorder(3), reference.twostages(1, 1)]


def logs(program, schedulers, runs=1):
    """The logs of runs without checkers."""
    found = []
    with WorkerPool(current_core()) as pool:
        runner = Runner(pool, program, Options(), check=False)

        def job():
            for scheduler in schedulers:
                for _ in range(runs):
                    scheduler.begin()
                    machine = runner.run(scheduler, 0)
                    if machine.violation is None:
                        found.append(runner.engine.execution.log)
                    machine.close()

        pool.drive(job)
    return found


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_runs_have_one_normal_form_if_and_only_if_they_are_of_one_trace(program):
    seen = {}
    for log in logs(program, [make_scheduler("random", 0)], runs=400):
        seen.setdefault(fingerprint(log), set()).add(normal_form.digest(log))
    assert len(seen) > 1
    assert all(len(forms) == 1 for forms in seen.values())
    assert len(set.union(*seen.values())) == len(seen)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_a_normal_form_is_a_run_and_its_own_normal_form(program):
    forms = []
    for log in logs(program, [make_scheduler("pos", 1)], runs=20):
        order = normal_form.order_of(log)
        forms.append(normal_form.as_log(order, normal_form.grouped(order)))
    again = logs(program, [LogReplay(form, []) for form in forms])
    assert forms == again
    assert all(normal_form.digest(form) == vmsmp.engine.trace.digest(form) for form in forms)


def test_a_form_has_fewer_switches_than_the_run_it_is_made_of():
    """On the whole: what is looked for is the next step, not the least number of switches."""
    runs = logs(reference.reorder(4), [make_scheduler("random", 3)], runs=50)
    orders = [normal_form.order_of(log) for log in runs]
    forms = [normal_form.as_log(order, normal_form.grouped(order)) for order in orders]
    switches = [[sum(code < 0 for code in log) for log in some] for some in (runs, forms)]
    assert sum(switches[1]) < 0.75 * sum(switches[0])
    assert all(after <= before + 1 for before, after in zip(*switches, strict=True))


def test_a_run_that_is_too_long_has_none():
    assert "" == normal_form.digest([0] * (normal_form.LIMIT + 1))


def test_failures_of_one_trace_say_so():
    def program(m):
        word, other = m.cell(0), m.cell(0)

        def writer():
            other.store(1)
            word.store(1)

        def reader():
            m.check(word.load(), "seen")

        m.spawn(writer)
        m.spawn(reader)
        m.join()

    traces = {vmsmp.explore(program, sched="random", seed=n, schedules=50).failure.trace for n in range(12)}
    digests = {vmsmp.explore(program, sched="random", seed=n, schedules=50).failure.digest for n in range(12)}
    assert 1 == len(traces) < len(digests)


def test_a_failure_before_the_first_step_has_a_trace():
    def program(m):
        m.panic("at once")

    assert vmsmp.explore(program).failure.trace == normal_form.digest([])
