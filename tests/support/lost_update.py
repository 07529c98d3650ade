"""The smallest program with a bug: two CPUs add to one cell, and one of them is not counted."""


def lost_update(m):
    word = m.cell(0, name="word")

    def incrementer():
        word.store(word.load() + 1)

    m.spawn(incrementer)
    m.spawn(incrementer)
    m.join()
    m.check(word.load() == 2, "both increments are counted")
