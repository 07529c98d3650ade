"""CPUs that are spawned and have not started."""

from __future__ import annotations

from types import SimpleNamespace

from vmsmp.sched.unstarted import UnstartedCpus


def cpu(index, *, started=False):
    return SimpleNamespace(index=index, started=started)


def with_spawned(*cpus):
    unstarted = UnstartedCpus()
    for one in cpus:
        unstarted.spawned(one)
    return unstarted


def test_a_spawned_cpu_is_there_once():
    one = cpu(1)
    unstarted = with_spawned(one)
    assert one is unstarted.next()
    assert None is unstarted.next()


def test_a_cpu_that_has_started_is_passed_over():
    one, other = cpu(1), cpu(2, started=True)
    assert one is with_spawned(one, other).next()


def test_the_boot_cpu_has_started():
    assert not with_spawned(cpu(0))


def test_a_new_run_forgets_the_cpus_of_the_last():
    assert not with_spawned(cpu(1), cpu(0))
