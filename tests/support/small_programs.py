"""Small programs that searches are tried on: a bug in a crowd, two bugs, and none."""

from __future__ import annotations


def noisy(m):
    """The same bug among much that has nothing to do with it."""
    word, noise = m.cell(0), m.cell(0)

    def incrementer():
        for n in range(5):
            noise.store(n)
        word.store(word.load() + 1)
        for n in range(5):
            noise.store(n)

    for _ in range(3):
        m.spawn(incrementer)
    m.join()
    m.check(word.load() == 3, "every increment is counted")


def two_bugs(m):
    word = m.cell(0)

    def incrementer():
        word.store(word.load() + 1)

    def reader():
        m.check(word.load() != 1, "somebody saw the middle")

    m.spawn(incrementer)
    m.spawn(incrementer)
    m.spawn(reader)
    m.join()
    m.check(word.load() == 2, "both increments are counted")


def clean(m):
    word = m.atomic(0)
    m.spawn(word.fetchadd, 1)
    m.spawn(word.fetchadd, 1)
    m.join()
    m.check(word.load() == 2, "both increments are counted")
