"""A program to be replayed in other processes, on interpreters that may have no pytest."""

from __future__ import annotations

import vmsmp


def racy(m):
    """Sets, dictionaries and strings beside the shared words: what hash seeds would disturb."""
    word, seen = m.cell(0, name="word"), m.atomic(frozenset(), format=lambda s: str(sorted(s)))
    locks = {name: m.spinlock(name) for name in ("active", "inactive", "cache")}
    token = m.token("vm")

    def worker(name):
        for _ in range(2):
            with locks[name]:
                word.store(word.load() + 1)
            seen.rmw(lambda old: old | {name})
        with token:
            m.tsleep(name, 0, "nap", 1 + m.choose(3))
        m.wakeup("cache")

    for name in sorted(locks):
        m.spawn(worker, name)
    while len(seen.load()) < 3:
        m.pause()
    m.join()
    m.check(word.load() == 6, "every increment is counted")


def digests(lines, *, check):
    """[digest, signature] of every line."""
    found = []
    for line in lines:
        outcome = vmsmp.replay(racy, line, check=check)
        found.append([outcome.digest, outcome.failure.signature if outcome.failure else ""])
    return found
