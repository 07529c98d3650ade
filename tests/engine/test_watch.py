"""A watch stops what works under it, more insistently the longer that takes."""

from __future__ import annotations

import pytest

from vmsmp.engine.watch import Watch


class Pool:
    """Goes home when it is stopped in one way."""

    engine = None

    def __init__(self, watch, gives_in_to):
        self.watch = watch
        self.gives_in_to = gives_in_to
        self.asked = []
        watch.enter(self)

    def _asked(self, how):
        if how not in self.asked:
            self.asked.append(how)
        if how == self.gives_in_to and self in self.watch.pools:
            self.watch.leave(self)

    def halt(self):
        self._asked("halt")

    def shake(self):
        self._asked("shake")

    def abandon(self):
        self._asked("abandon")


@pytest.mark.parametrize(
    ("gives_in_to", "expected"),
    [("halt", ["halt"]), ("shake", ["halt", "shake"]), ("abandon", ["halt", "shake", "abandon"])],
)
def test_a_pool_is_stopped_by_the_gentlest_means_that_will_do(gives_in_to, expected):
    watch = Watch()
    pool = Pool(watch, gives_in_to)
    watch.stop(TimeoutError("enough"), patience=0.04)
    assert expected == pool.asked


def test_every_pool_is_stopped():
    watch = Watch()
    pools = [Pool(watch, "halt") for _ in range(3)]
    watch.stop(TimeoutError("enough"), patience=0.04)
    assert [["halt"]] * 3 == [pool.asked for pool in pools]


def test_nothing_starts_after_the_verdict():
    watch = Watch()
    watch.stop(TimeoutError("enough"), patience=0.0)
    with pytest.raises(TimeoutError, match="enough"):
        Pool(watch, "halt")
