"""What a body's CPUs write down, where the outcomes of both depths of a lock are compared."""


class Diary:
    """A word only counts once others could have written before it.

    An exact operation takes several steps and is written down after the last of them, so a visible
    operation before each word lets an atomic one be written down as late.
    """

    def __init__(self, m, log):
        self._page = m.atomic(0, "diary")
        self._log = log

    def note(self, word):
        self._page.fetchadd(1)
        self._log.append(word)
