"""POS: orders of dependent operations, whatever else a CPU does."""

from sampling import orders, racers


def test_pos_leaves_the_priority_of_an_operation_that_nothing_depends_on():
    """A long CPU of its own does not push a short one's single operation to the front."""
    counts = orders("pos", racers((1, 12), shared=False), 2_000)
    last = sum(n for order, n in counts.items() if order.index("0") == 12)
    assert last > 2_000 / 30  # a random walk gives 1 in 4,096
