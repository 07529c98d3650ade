"""SURW: every order of the accesses to one object about as likely."""

from math import comb

from sampling import orders, racers


def test_surw_makes_every_order_of_accesses_to_one_object_about_as_likely():
    program = racers((1, 5), shared=True)
    total = 4_000
    likely = total / comb(6, 1)
    counts = orders("surw", program, total)
    assert 6 == len(counts)
    assert [] == [order for order, n in counts.items() if abs(n - likely) > 5 * (likely * 5 / 6) ** 0.5]
