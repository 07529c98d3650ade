"""URW: every interleaving about as likely."""

from math import comb

from sampling import orders, racers


def test_urw_makes_every_interleaving_about_as_likely_where_a_random_walk_does_not():
    program = racers((1, 5), shared=True)
    total = 4_000
    likely = total / comb(6, 1)
    urw, walk = (orders(sched, program, total) for sched in ("urw", "random"))
    # starts and joins are operations too, so the orders of the stores are not quite uniform
    assert [] == [order for order, n in urw.items() if not likely / 2 < n < likely * 2]
    assert (6, True) == (len(urw), min(walk.values()) < likely / 3)
