"""How often a scheduler samples each order of the steps of a small program."""

from collections import Counter

import vmsmp


def orders(sched, program, schedules, seed=1):
    """How often each order in which CPUs come was seen: programs append to `seen`."""
    counts = Counter()

    def counted(m):
        seen = []
        program(m, seen)
        counts["".join(map(str, seen))] += 1

    result = vmsmp.explore(counted, sched=sched, schedules=schedules, seed=seed, check=False)
    assert (schedules, None) == (result.executions, result.failure)
    return counts


def racers(lengths, shared):
    """CPUs that store so often, to one word or to a word each."""

    def program(m, seen):
        words = [m.cell(0) for _ in lengths]

        def racer(n):
            for _ in range(lengths[n]):
                words[0 if shared else n].store(n)
                seen.append(n)

        for n in range(len(lengths)):
            m.spawn(racer, n)
        m.join()

    return program
